"""The shelf: what is cited is there, and what docs/ names exists and is called so today."""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from helpers.repository import ROOT
from toolkit_common.config import Settings
from toolkit_probing.results.contents import Results
from toolkit_probing.results.rows import Row
from toolkit_probing.settings import ProbeSettings
from toolkit_slimp.settings import SlimpSettings

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
FOLDERS = ("packages", "tests", "benchmarks", "docs")
READMES = [*ROOT.glob("*.md"), *ROOT.glob("packages/*/*.md")]
CITED = re.compile(
    r"((?:docs|benchmarks|packages|tests)/[\w/.-]+\.md)((?:,? \d+)*)(?:, \"([^\"]+)\")?"
)
LINKED = re.compile(r"\]\(([a-z]+\.md)\)")  # from one page to another
PLACEHOLDER = re.compile(r"NAME|/P/|/toolkit_P/")  # in a walkthrough: whatever it is called
FOREIGN = re.compile(r"\bspecs/|\bDESIGN\.md|\bSTYLE\.md")
OUTPUT = re.compile(r"^```text\n.*?^```$", re.DOTALL | re.MULTILINE)  # what commands printed
NAMED = re.compile(r"`([\w.-]+(?:/[\w.-]+)+\.(?:py|md)|[\w-]+\.py)(?:::(\w+))?`")
COMMANDS = {"probing": ProbeSettings, "slimp": SlimpSettings, "pretraining": SlimpSettings}


def texts() -> Iterator[tuple[Path, str]]:
    """Yield every source and page of the repository but this one."""
    inside = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))
    for path in (*ROOT.glob("*.md"), ROOT / "Makefile", *inside):
        is_text = path.suffix in (".py", ".md") or path.name == "Makefile"
        if is_text and path != Path(__file__):
            yield path, path.read_text(encoding="utf-8")


def unmet(text: str) -> Iterator[str]:
    """Yield each citation of a page, a trap or a section that is not there."""
    traps = {str(number) for number in trap_numbers()}
    unwrapped = re.sub(r"\s*\n\s*#?\s*", " ", LINKED.sub(r"docs/\1", text))
    for page, numbers, section in CITED.findall(unwrapped):
        headings = re.findall(r"^#+ (.*)$", read(ROOT / page), flags=re.MULTILINE)
        is_trap_missing = page == "docs/traps.md" and not set(re.findall(r"\d+", numbers)) <= traps
        if not headings or is_trap_missing or (section and section not in headings):
            yield f"{page}{numbers}{section}"


def old_options(text: str, page: str) -> list[str]:
    """Return the options that a page gives by a name of before.

    One command's old name may be another's of today (`--temperature`): it may stand on a page that
    has the other's package in its name.
    """
    here = [settings for name, settings in COMMANDS.items() if name in page]
    names = {name for settings in COMMANDS.values() for name in old_names(settings)}
    current = {name for settings in here for name in settings.model_fields}
    flags = {f"--{name.replace('_', '-')}" for name in names - current}
    return sorted(flags & set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)))


def old_names(settings: type[Settings]) -> set[str]:
    return {*settings.renamed, *settings.gone}


def named_fields(table: str) -> list[str]:
    """Return what stands between backticks in the first column of a table."""
    firsts = re.findall(r"^\| (`[^|]*) \|", table, flags=re.MULTILINE)
    return [name for first in firsts for name in re.findall(r"`(\w+)`", first)]


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def trap_numbers() -> list[int]:
    rows = re.findall(r"^\| (\d+) \|", (DOCS / "traps.md").read_text(), flags=re.MULTILINE)
    return [int(number) for number in rows]


def test_every_page_trap_and_section_that_is_cited_is_there() -> None:
    missing = [(path.relative_to(ROOT), list(unmet(text))) for path, text in texts()]
    assert [(path, cited) for path, cited in missing if cited] == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("(docs/traps.md 1, 2); docs/slimp.md; benchmarks/results/*.md", []),
        ("[traps](traps.md) 1, 999", ["docs/traps.md 1, 999"]),
        ("see docs/none.md.", ["docs/none.md"]),
        ("    # docs/traps.md\n    # 1, 999)", ["docs/traps.md 1, 999"]),
        ('docs/encoders.md, "ep_all"', []),
        ('docs/encoders.md, "no such"', ["docs/encoders.mdno such"]),
        ("benchmarks/results/none.md", ["benchmarks/results/none.md"]),
    ],
)
def test_a_citation_that_leads_nowhere_is_seen(text: str, missing: list[str]) -> None:
    assert list(unmet(text)) == missing


def test_nothing_outside_the_repository_is_cited() -> None:
    foreign = [f"{path.relative_to(ROOT)}" for path, text in texts() if FOREIGN.search(text)]
    assert not foreign


def test_traps_are_numbered_without_a_gap() -> None:
    assert trap_numbers() == list(range(1, len(trap_numbers()) + 1))


@pytest.mark.parametrize("page", [*PAGES, *READMES], ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_tests_that_a_page_names_exist(page: Path) -> None:
    """A path may be written from any folder on, as `probes/ep_kernel.py` or `ep_kernel.py`."""
    files = {path.relative_to(ROOT).as_posix(): path for path, _ in texts()}
    for name, test in NAMED.findall(page.read_text(encoding="utf-8")):
        if PLACEHOLDER.search(name):
            continue
        places = [path for key, path in files.items() if f"/{key}".endswith(f"/{name}")]
        assert places, f"{page.name} names {name}, which is not there"
        assert not test or f"def {test}(" in places[0].read_text(), f"{name} has no {test}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_link_to_pages_and_are_ascii(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert OUTPUT.sub("", text).isascii()
    plain = re.findall(r"(?<![\w/-])(\w+\.md)\b", text)
    absent = [name for name in plain if not (DOCS / name).exists() and not (ROOT / name).exists()]
    assert set(absent) <= {"SYNTHETIC.md", "summary.md", "audit.md"}  # what commands write


@pytest.mark.parametrize(
    "page",
    [*PAGES, *(page for page in READMES if page.name != "CHANGELOG.md")],  # it is history
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_pages_give_options_by_the_names_of_today(page: Path) -> None:
    assert not old_options(page.read_text(encoding="utf-8"), str(page.relative_to(ROOT)))


@pytest.mark.parametrize(
    ("text", "page", "old"),
    [
        ("`--input imagenet`, `--inputs image`, `--k` 5", "docs/protocols.md", ["--input", "--k"]),
        ("--temperature plain", "docs/protocols.md", ["--temperature"]),
        ("--temperature 0.1 --metadata-missing", "docs/slimp.md", ["--metadata-missing"]),
        ("--logreg-c=1\n--reads", "README.md", ["--logreg-c"]),
    ],
)
def test_an_option_of_before_is_seen(text: str, page: str, old: list[str]) -> None:
    assert old_options(text, page) == old


def test_the_tables_of_results_name_every_field_in_its_order() -> None:
    text = (DOCS / "formats.md").read_text(encoding="utf-8")
    section = text.partition("## results.json of a probe\n")[2].partition("\n## ")[0]
    contents, row = section.split("A row:\n")
    assert named_fields(contents) == [field.name for field in fields(Results)]
    assert named_fields(row) == [field.name for field in fields(Row)]
