"""The command line: instant help, commands from entry points, exit codes that mean something."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from conftest import assert_bad_input
from helpers.plugins import module_of, write_plugin
from toolkit_common.cli import app as cli

RunCli = Callable[..., Result]
HEAVY = {"torch", "timm", "open_clip", "datasets", "numpy", "accelerate", "pandas", "sklearn"}


def run_toolkit(*args: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `toolkit ARGS` in a process of its own, with one more folder to import from."""
    places = [str(path or ""), os.environ.get("PYTHONPATH", "")]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))}
    command = [sys.executable, "-m", "toolkit_common", *args]
    return subprocess.run(command, capture_output=True, text=True, env=variables)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Install a command for one test."""
    folder = tmp_path / "site"
    monkeypatch.syspath_prepend(str(folder))

    def install(command: str, source: str) -> Path:
        cli._plugins.cache_clear()
        monkeypatch.delitem(sys.modules, module_of(command), raising=False)
        return write_plugin(folder, command, source)

    yield install
    cli._plugins.cache_clear()


# Help


@pytest.mark.slow
@pytest.mark.parametrize("args", [["--help"], ["probe", "--help"], ["pretrain", "slimp", "--help"]])
def test_help_imports_nothing_heavy(args: list[str]) -> None:
    code = f"""
import atexit, sys
from toolkit_common.cli.app import app
atexit.register(lambda: print("imported:", *sorted({HEAVY} & set(sys.modules))))
app({args}, prog_name="toolkit")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Usage: toolkit" in done.stdout
    assert done.stdout.splitlines()[-1] == "imported:"


def test_the_root_lists_every_command_with_its_line(run_cli: RunCli) -> None:
    result = run_cli("--help")
    assert result.exit_code == 0
    lines = [line.split()[1] for line in result.output.splitlines() if line.startswith("│ ")]
    commands = [name for name in lines if not name.startswith("-")]
    assert commands == sorted(commands)
    assert {"backbones", "data", "doctor", "pretrain", "probe"} <= set(commands)
    assert "Exit codes: 0 ok, 1 failed, 2 bad input or configuration" in result.output


def test_a_dot_in_the_name_makes_a_group(run_cli: RunCli) -> None:
    result = run_cli("pretrain", "--help")
    assert result.exit_code == 0
    assert "Pre-train an image encoder." in result.output
    assert "slimp" in result.output


def test_the_version_is_that_of_the_package(run_cli: RunCli) -> None:
    result = run_cli("--version")
    assert (result.exit_code, result.output) == (0, "toolkit 0.1.0\n")


# Misspelt names


def test_an_unknown_command_is_answered_with_the_nearest(run_cli: RunCli) -> None:
    result = run_cli("prob", "--method", "ep")
    assert_bad_input(result, "unknown command 'prob'; did you mean 'probe'?", "choose from: ")


def test_an_unknown_command_of_a_group_is_answered_with_the_nearest(run_cli: RunCli) -> None:
    assert_bad_input(run_cli("pretrain", "slim"), "unknown command 'slim'; did you mean 'slimp'?")


def test_an_unknown_option_is_answered_with_the_nearest(run_cli: RunCli) -> None:
    result = run_cli("probe", "--metod", "ep")
    assert_bad_input(result, "No such option: --metod", "--method", "see toolkit probe --help")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["data", "audit"], ["Missing argument", "see toolkit data audit --help"]),
        (["probe", "--num-processes", "0"], ["--num-processes", "greater than or equal to 1"]),
        (["pretrain", "slimp", "--epochs", "x"], ["--epochs", "valid integer"]),
    ],
)
def test_wrong_usage_is_reported_in_one_line(
    run_cli: RunCli, words: list[str], parts: list[str]
) -> None:
    result = run_cli(*words)
    assert_bad_input(result, *parts)
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["probe", "--output", ""], "--output"),
        (["report", "runs/a", "-o", ""], "-o"),
        (["study", "run", "a.yaml", "--output="], "--output"),
        (["export", "--from", "runs/a", "", "--json"], "an argument"),
        (["data", "make", "ph2", ""], "an argument"),
    ],
)
def test_an_empty_word_is_no_folder(run_cli: RunCli, words: list[str], name: str) -> None:
    result = run_cli(*words)
    assert_bad_input(result, f"error: {name} is empty: give a value, or leave it out")
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("words", "name"),
    [(["probe", "--data", "csv:a\0b"], "--data"), (["report", "csv:a\0b"], "an argument")],
)
def test_a_nul_is_in_no_word(run_cli: RunCli, words: list[str], name: str) -> None:
    message = rf"error: {name} holds a NUL character, got csv:a\x00b: leave it out"
    assert_bad_input(run_cli(*words), message)


@pytest.mark.parametrize("text", ["embedded null byte", "scandir: embedded null character in path"])
def test_what_python_says_of_a_nul_in_a_name_is_known(text: str) -> None:
    assert cli.wrong_name(ValueError(text)) == "a name of a file holds a NUL character"


def test_an_unknown_setting_is_answered_with_the_nearest(run_cli: RunCli) -> None:
    result = run_cli("probe", "--set", "epoch=3")
    assert_bad_input(result, "--set: unknown setting epoch; did you mean 'epochs' or")


def test_an_unknown_method_is_answered_with_the_nearest(run_cli: RunCli) -> None:
    result = run_cli("probe", "--method", "ep,lineer")
    assert_bad_input(result, "unknown method 'lineer'; did you mean 'linear'?")


def test_a_bad_value_is_named_with_its_option(run_cli: RunCli) -> None:
    result = run_cli("probe", "--epochs", "many")
    assert_bad_input(result, "epochs: ", "valid integer", "got 'many' (from --epochs)")


# Commands that fail

FAILING = """
    import errno, os
    import typer
    from toolkit_common.errors import InputError

    app = typer.Typer()
    ERRORS = {"input": InputError("no file at data.csv"), "stop": KeyboardInterrupt(),
              "ours": RuntimeError("list index"), "value": ValueError("not for users"),
              "full": OSError(errno.ENOSPC, "full", "runs/a"), "memory": MemoryError(),
              "gone": FileNotFoundError(errno.ENOENT, "no", "a.png"),
              "words": RuntimeError("I/O error: No space left on device (os error 28)")}

    @app.command()
    def fail(how: str, batch_size: int = 3, resume: bool = False) -> None:
        raise ERRORS[how]
"""


WAITING = """
    import time
    import typer

    app = typer.Typer()

    @app.command()
    def wait() -> None:
        try:
            print("waiting", flush=True)
            time.sleep(60)
        finally:
            print("in order")
"""


def test_bad_input_is_one_line_without_traceback(run_cli: RunCli, plugin: Callable) -> None:
    plugin("fail", FAILING)
    result = run_cli("fail", "input")
    assert (result.exit_code, result.stderr) == (2, "error: no file at data.csv\n")
    assert result.stdout == ""


@pytest.mark.parametrize("command", ["fail", "group.fail"])
@pytest.mark.parametrize(
    ("how", "code", "line"),
    [
        (
            "full",
            1,
            "no space is left on the disk at runs/a: free some, or write elsewhere, and",
        ),
        ("words", 1, "no space is left on the disk: free some, or write elsewhere, and go on"),
        ("memory", 1, "memory ran out: lower --batch-size, and go on with --resume"),
        ("gone", 2, "no such file or folder at a.png: it may have been removed while this ran"),
    ],
)
def test_a_failure_of_the_outside_is_one_line(
    run_cli: RunCli, plugin: Callable, command: str, how: str, code: int, line: str
) -> None:
    plugin(command, FAILING)
    result = run_cli(*command.split("."), how)
    assert result.exit_code == code
    assert result.stderr.startswith(f"error: {line}")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_as_ctrl_c_does(plugin: Callable, number: int) -> None:
    site = plugin("wait", WAITING)
    command = [sys.executable, "-m", "toolkit_common", "wait"]
    variables = os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(number)
        assert process.communicate(timeout=60)[0] == "in order\n"
    assert process.returncode == 130


def test_bad_input_inside_a_group_is_printed_once(run_cli: RunCli, plugin: Callable) -> None:
    plugin("group.fail", FAILING)
    result = run_cli("group", "fail", "input")
    assert (result.exit_code, result.stderr) == (2, "error: no file at data.csv\n")


@pytest.mark.slow
def test_an_interrupted_command_ends_with_130(plugin: Callable) -> None:
    site = plugin("fail", FAILING)
    done = run_toolkit("fail", "stop", path=site)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


HALF_DONE = """
    import os, signal
    import typer

    app = typer.Typer()

    ERRORS = {"import": ImportError, "deep": RecursionError, "asked": typer.Abort}

    def end(how: str) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt as error:
            raise ERRORS[how] from error

    @app.command()
    def halt(how: str) -> None:
        end(how)

    if "IN_MODULE" in os.environ:
        end("import")
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", ["halt", "group.halt"])
@pytest.mark.parametrize("how", ["import", "deep", "asked", "IN_MODULE"])
def test_what_follows_an_interrupt_is_the_interrupt(
    plugin: Callable, monkeypatch: pytest.MonkeyPatch, command: str, how: str
) -> None:
    site = plugin(command, HALF_DONE)
    if how == "IN_MODULE":
        monkeypatch.setenv(how, "1")
    done = run_toolkit(*command.split("."), how, path=site)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ours", "value"])
def test_a_fault_of_ours_keeps_its_traceback(plugin: Callable, how: str) -> None:
    site = plugin("fail", FAILING)
    done = run_toolkit("fail", how, path=site)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last)")
    assert done.stderr.splitlines()[-1].startswith(("RuntimeError: ", "ValueError: "))


def test_other_ranks_wait_for_the_first_and_give_their_number(
    run_cli: RunCli, plugin: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin("fail", FAILING)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(cli, "RANK_PATIENCE_S", 0.0)
    result = run_cli("fail", "input")
    assert (result.exit_code, result.stderr) == (2, "error: [rank 1] no file at data.csv\n")


# Broken plug-ins


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import a_package_nobody_has", "ModuleNotFoundError: No module named 'a_package_nobody"),
        ("app = (", "SyntaxError"),
        ("raise RuntimeError('at import')", "RuntimeError: at import"),
        ("application = 3", "AttributeError"),
        ("app = 3", "AttributeError"),
    ],
)
def test_a_broken_plug_in_takes_no_help_down(
    run_cli: RunCli, plugin: Callable, source: str, reason: str
) -> None:
    plugin("broken", source)
    result = run_cli("--help")
    assert result.exit_code == 0
    line = next(line for line in result.output.splitlines() if "broken" in line)
    assert "(not available: " in line
    assert reason in line
    assert "Judge a frozen encoder" in result.output


def test_a_broken_plug_in_says_why_when_it_is_run(run_cli: RunCli, plugin: Callable) -> None:
    plugin("broken", "import a_package_nobody_has")
    result = run_cli("broken")
    assert result.exit_code == 1
    assert result.stderr.startswith("toolkit broken failed to load: ModuleNotFoundError: No module")


def test_a_group_of_one_broken_plug_in_is_still_listed(run_cli: RunCli, plugin: Callable) -> None:
    plugin("pretrain.broken", "import a_package_nobody_has")
    result = run_cli("pretrain", "--help")
    assert result.exit_code == 0
    assert "slimp" in result.output
    assert "(not available: ModuleNotFoundError" in result.output


# Where output goes


@pytest.mark.slow
def test_lines_of_a_log_file_are_wide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("COLUMNS")
    done = run_toolkit("probe", "--help")
    assert max(map(len, done.stdout.splitlines())) == 120


# Completion


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("toolkit p", {"pretrain", "probe"}),
        ("toolkit data ", {"audit", "describe", "make", "schema"}),
        ("toolkit probe --select-b", {"--select-by"}),
    ],
)
def test_a_shell_completes_commands_and_options(
    words: str, expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_TOOLKIT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    done = run_toolkit()
    assert done.returncode == 0, done.stderr
    assert {*done.stdout.split()} >= expected
    assert all(word.startswith(words.split(" ")[-1]) for word in done.stdout.split())


def test_a_current_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.executable, sys.argv[1:])"
    words = [sys.executable, "-m", "toolkit_common", "doctor"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=gone, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr == "error: the current folder is gone: cd to one that is there\n"


def test_a_version_that_cannot_be_printed_is_one_line() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 (a device)
        done = subprocess.run(
            [sys.executable, "-m", "toolkit_common", "--version"],
            stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "error: cannot print: No space left on device\n"
