"""Every command that a page shows runs, on little data; what cannot says why, and is checked."""

import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from helpers.doc_blocks import Call, blocks, calls, fences
from helpers.doc_world import (
    NEW_MODEL,
    PRETRAIN,
    PROBE,
    RANDOM,
    Makes,
    cut,
    small,
    small_study,
    write_world,
)
from helpers.repository import NAMES, ROOT
from helpers.tiny_study import InProcess
from toolkit_common.cli import study
from toolkit_common.errors import InputError
from toolkit_common.sources.lesions import sample
from toolkit_common.study.commands import find_command

PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("packages/*/README.md"),
     *ROOT.glob("docs/*.md")]
)  # fmt: skip
WITH_BLOCKS = [page for page in PAGES if blocks(page)]
COLUMNS = 80
LANGUAGES = {"bash", "python", "yaml", "text", "math"}
REFUSED = 2
LEAK = 3  # the exit code of `toolkit data audit`
DERM = ("pretrain", "slimp", "--data", "lesions", *RANDOM, *PRETRAIN, *NEW_MODEL, "--bank")
JUDGED = ("probe", "--method", "ep,linear", "--backbone", "runs/derm", *PROBE)
# Page -> the runs that lie there already, and the calls that made them.
RUNS: dict[str, dict[str, Sequence[str]]] = {
    "docs/sharing.md": {"runs/derm": DERM, "runs/probe-1": JUDGED},
}

by_name = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def folder(world: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the test's folder, with everything that pages name in it."""
    for path in world.iterdir():
        if path.name != "made":
            (own_folder / path.name).symlink_to(path)
    (own_folder / "studies").symlink_to(ROOT / "studies")
    monkeypatch.setattr(sample, "FOLDER", world / "PATH")
    monkeypatch.setattr(study, "_executor", lambda *_, **__: InProcess())
    return own_folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # so little data: constant columns, classes without rows
@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_run(page: Path, world: Path, folder: Path, run_cli) -> None:
    for run, words in RUNS.get(str(page.relative_to(ROOT)), {}).items():
        done = run_cli(*words, "--output", run)
        assert done.exit_code == 0, done.output
    if "name: slimp-or-simclr" in page.read_text(encoding="utf-8"):
        small_study(page, folder / "FILE")
    made = calls(page, folder)
    if (folder / "clinic").is_dir():
        cut(folder / "clinic")
    for call in made:
        check(call)
        if call.block.reason is None:
            assert call.words[0] == "toolkit", f"mark its block as not run: {call}"
            done = run_cli(*small(call.words[1:], Makes(world)))
            ends = {0, LEAK} if call.words[1:3] == ("data", "audit") else {0}
            if "|| echo" in call.block.code and LEAK not in ends:
                ends = {REFUSED}
            assert done.exit_code in ends, f"{call}\n{done.output}\n{done.exception!r}"


def check(call: Call) -> None:
    """Assert that a command has the options, targets or extras that a page gives it."""
    program, *words = call.words
    try:
        CHECKS[program](words)
    except (InputError, SystemExit, KeyError) as error:
        raise AssertionError(f"{call}: {error}") from None


def check_toolkit(words: Sequence[str]) -> None:
    if words[0] in ("--help", "--version", "--install-completion"):
        return
    count = next((at for at in (2, 1) if is_command(words[:at])), 1)
    if "--help" not in words:
        find_command(" ".join(words[:count])).check(words[count:])


def is_command(words: Sequence[str]) -> bool:
    try:
        return bool(find_command(" ".join(words)))
    except InputError:
        return False


def check_make(words: Sequence[str]) -> None:
    targets = re.findall(r"^([\w%-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    known = [re.escape(target).replace("%", ".+") for target in targets]
    missing = [word for word in words if not any(re.fullmatch(name, word) for name in known)]
    assert not missing, f"no target {missing} in the Makefile"


def check_pip(words: Sequence[str]) -> None:
    for word in words:
        found = re.fullmatch(r"(?:packages/|toolkit-)(\w+)(?:\[([\w,-]+)\])?", word)
        if found is None:
            continue
        assert found[1] in NAMES, f"no package {word}"
        text = (ROOT / f"packages/{found[1]}/pyproject.toml").read_text()
        extras = tomllib.loads(text)["project"]["optional-dependencies"]
        assert set((found[2] or "all").split(",")) <= set(extras), f"no such extra: {word}"


def check_torchrun(words: Sequence[str]) -> None:
    from torch.distributed.run import get_args_parser

    check_launched(get_args_parser().parse_args(words))


def check_accelerate(words: Sequence[str]) -> None:
    from accelerate.commands.launch import launch_command_parser

    assert words[0] == "launch"
    check_launched(launch_command_parser().parse_args(words[1:]))


def check_launched(given) -> None:
    assert given.module, "-m toolkit_common"
    assert given.training_script == "toolkit_common"
    check_toolkit(given.training_script_args)


CHECKS: dict[str, Callable[[Sequence[str]], None]] = {
    "toolkit": check_toolkit,
    "make": check_make,
    "pip": check_pip,
    "torchrun": check_torchrun,
    "accelerate": check_accelerate,
    "pre-commit": lambda words: None,
}


@by_name
def test_commands_stand_in_blocks_of_bash(page: Path) -> None:
    """So that none is passed over."""
    assert {*fences(page)} <= LANGUAGES
    indented = re.findall(r"^    +toolkit .*", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert not indented


@by_name
def test_blocks_fit_a_terminal(page: Path) -> None:
    lines = [line for block in blocks(page) for line in block.code.splitlines()]
    assert [line for line in lines if len(line) > COLUMNS] == []


PAGE = """\
```bash
toolkit probe --epochs 1 \\
  --output "runs/a b"  # a run
```

<!-- not run: needs a GPU -->
```bash
torchrun --nproc-per-node 8 -m toolkit_common probe --no-such 1
```
"""


def test_blocks_are_read_as_a_shell_reads_them(own_folder: Path) -> None:
    page = own_folder / "page.md"
    page.write_text(PAGE)
    first, second = calls(page, own_folder)
    assert first.words == ("toolkit", "probe", "--epochs", "1", "--output", "runs/a b")
    assert (first.block.line, first.block.reason) == (1, None)
    assert second.block.reason == "needs a GPU"
    with pytest.raises(AssertionError, match="No such option: --no-such"):
        check(second)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("toolkit prob", "unknown command 'prob'; did you mean 'probe'"),
        ("toolkit probe --method epp", "epp"),
        ("make no-such", "no-such"),
        ("pip install toolkit-common[none]", "no such extra"),
        ("torchrun --nodes 2 -m toolkit_common probe", "2"),
    ],
)
def test_a_command_that_is_not_there_is_seen(own_folder: Path, words: str, message: str) -> None:
    page = own_folder / "page.md"
    page.write_text(f"```bash\n{words}\n```\n")
    (call,) = calls(page, own_folder)
    with pytest.raises(AssertionError, match=re.escape(message)):
        check(call)
