"""The shelf: what is cited is there, and what docs/ names exists."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.repository import ROOT

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
NAMED = re.compile(r"`([\w.-]+(?:/[\w.-]+)+\.(?:py|md))(?:::(\w+))?`")


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
    """A path may be written from any folder on, as `probes/ep_kernel.py`."""
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
    assert text.isascii()
    plain = re.findall(r"(?<![\w/-])(\w+\.md)\b", text)
    absent = [name for name in plain if not (DOCS / name).exists() and not (ROOT / name).exists()]
    assert set(absent) <= {"SYNTHETIC.md"}
