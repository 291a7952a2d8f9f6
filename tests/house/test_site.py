"""The documentation site: built strictly, every command on it, nothing from a network."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from helpers.repository import NAMES, ROOT
from toolkit_common.cli.app import app

LOADED = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"(https?:[^\"]+)\"")
MOST_BYTES = 1_000_000  # all pictures together
PLACES = re.compile(r"rel=\"(?:canonical|edit|next|prev)\"")  # links that a browser does not load


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(target)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.slow
def test_every_page_of_docs_is_on_the_site_and_in_its_menu(site: Path) -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert {path.stem for path in site.glob("*.html")} - {"404"} == pages
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    assert set(re.findall(r"(\w+)\.md", menu)) == pages


@pytest.mark.slow
def test_every_command_is_on_its_page(site: Path) -> None:
    root = get_command(app)
    names = root.list_commands(root.make_context("toolkit", [], resilient_parsing=True))
    text = (site / "commands.html").read_text(encoding="utf-8")
    assert names
    # `toy` is a plug-in of other tests, which the same process may have run before.
    missing = {name for name in names if f'id="toolkit-{name}' not in text}
    assert missing <= {"toy"}


@pytest.mark.slow
@pytest.mark.parametrize("package", NAMES)
def test_every_name_that_can_be_imported_is_on_its_page(site: Path, package: str) -> None:
    top = importlib.import_module(f"toolkit_{package}")
    text = (site / "reference.html").read_text(encoding="utf-8")
    things = {name: getattr(top, name) for name in top.__all__}
    places = {name: f"{thing.__module__}.{thing.__name__}" for name, thing in things.items()}
    assert [name for name, place in places.items() if f'id="{place}"' not in text] == []


@pytest.mark.slow
def test_equations_are_drawn_without_a_script(site: Path) -> None:
    text = (site / "ep.html").read_text(encoding="utf-8")
    assert text.count('<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"') == 4
    assert "\\mathrm" not in text


@pytest.mark.slow
def test_pictures_are_few_and_small(site: Path) -> None:
    pictures = list((ROOT / "docs/images").iterdir())
    pages = [ROOT / "README.md", *site.glob("*.html")]
    shown = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert [path.name for path in pictures if f"images/{path.name}" not in shown] == []
    assert sum(path.stat().st_size for path in pictures) < MOST_BYTES


@pytest.mark.slow
def test_no_page_loads_anything_from_a_network(site: Path) -> None:
    for page in site.glob("*.html"):
        tags = list(LOADED.finditer(page.read_text(encoding="utf-8")))
        assert [tag[1] for tag in tags if not PLACES.search(tag[0])] == [], page.name
