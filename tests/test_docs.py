"""The shelf: what is cited is there, and what docs/ names exists."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
FOLDERS = ("packages", "tests", "benchmarks", "docs")
CITED = re.compile(r"(?:docs/|\]\()(\w+\.md)\)?((?:,? \d+)*)")
FOREIGN = re.compile(r"\bspecs/|\bDESIGN\.md|\bSTYLE\.md")
NAMED = re.compile(r"`([\w.-]+(?:/[\w.-]+)+\.(?:py|md))(?:::(\w+))?`")


def texts() -> Iterator[tuple[Path, str]]:
    """Yield every source and page of the repository but this one."""
    inside = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))
    for path in (*ROOT.glob("*.md"), ROOT / "Makefile", *inside):
        is_text = path.suffix in (".py", ".md") or path.name == "Makefile"
        if is_text and path != Path(__file__):
            yield path, path.read_text(encoding="utf-8")


def trap_numbers() -> list[int]:
    rows = re.findall(r"^\| (\d+) \|", (DOCS / "traps.md").read_text(), flags=re.MULTILINE)
    return [int(number) for number in rows]


def test_every_page_and_trap_that_is_cited_is_there() -> None:
    pages, traps = {page.name for page in PAGES}, {str(number) for number in trap_numbers()}
    missing = [
        f"{path.relative_to(ROOT)}: docs/{page}{numbers}"
        for path, text in texts()
        for page, numbers in CITED.findall(text)
        if page not in pages
        or (page == "traps.md" and not set(re.findall(r"\d+", numbers)) <= traps)
    ]
    assert not missing


def test_nothing_outside_the_repository_is_cited() -> None:
    foreign = [f"{path.relative_to(ROOT)}" for path, text in texts() if FOREIGN.search(text)]
    assert not foreign


def test_traps_are_numbered_without_a_gap() -> None:
    assert trap_numbers() == list(range(1, len(trap_numbers()) + 1))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_and_tests_that_a_page_names_exist(page: Path) -> None:
    """A path may be written from any folder on, as `probes/ep_kernel.py`."""
    files = {path.relative_to(ROOT).as_posix(): path for path, _ in texts()}
    for name, test in NAMED.findall(page.read_text(encoding="utf-8")):
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
