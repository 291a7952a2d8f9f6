"""Pages in a real browser: what a reader on a phone, at night or on paper would stumble over.

`make look` asks for it; it needs playwright, axe-playwright-python and a Chromium. Without either
the tests that ask are skipped: a page takes a browser longer than most tests take together.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LOOK = "TOOLKIT_LOOK"
WIDTHS = (390, 768, 1440)
SCHEMES = ("light", "dark")
PAPER = 720  # pixels between the margins of an A4 sheet
BEYOND = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
GROUND = "getComputedStyle(document.body).backgroundColor"
WHITE = "rgb(255, 255, 255)"


def problems_of(path: Path) -> list[str]:
    """Return what is wrong with a page: by axe-core, in its width, what it logs or loads."""
    if not os.environ.get(LOOK):
        pytest.skip(f"{LOOK} is not set: make look sets it")
    playwright = pytest.importorskip("playwright.sync_api")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium")
    problems: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme in SCHEMES:
            for width in WIDTHS:
                size = {"width": width, "height": 900}
                page = browser.new_page(viewport=size, color_scheme=scheme)
                problems += (f"{scheme} {width}: {text}" for text in _look(page, path, axe))
                page.close()
        paper = browser.new_page(viewport={"width": PAPER, "height": 1000}, color_scheme="dark")
        paper.emulate_media(media="print", color_scheme="dark")
        problems += (f"print: {text}" for text in _look(paper, path, axe))
        if paper.evaluate(GROUND) != WHITE:
            problems.append("print: the ground is not white")
        browser.close()
    return problems


def _look(page: Any, path: Path, axe: Any) -> Iterator[str]:
    said: list[str] = []
    page.on("console", lambda message: said.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("request", lambda request: said.append(f"loads {request.url}"))
    page.goto(path.absolute().as_uri())
    yield from (text for text in said if text != f"loads {path.absolute().as_uri()}"
                and not text.startswith("loads data:"))  # fmt: skip
    beyond = page.evaluate(BEYOND)
    if beyond > 0:
        yield f"scrolls sideways by {beyond} pixels"
    for item in axe.run(page).response["violations"]:
        where = [str(node["target"]) for node in item["nodes"]]
        yield f"{item['id']}: {item['help']}: {len(where)} times, first {where[0]}"
