"""Takes the pictures of the pages: `python docs/make/pictures.py FOLDER`.

They are of what the tutorial wrote; FOLDER is that of `docs/make/tutorial.py`. Pages are drawn by
Playwright with a Chromium (`pip install playwright`), which nothing else here needs. Pictures are
WebP, small enough to be kept in the repository.
"""

import io
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

IMAGES = Path(__file__).parents[1] / "images"
QUALITY = 82
WIDEST = 1200  # pixels
SHEET = (6, 2, 150)  # photographs a row, rows, pixels of a photograph


@dataclass(frozen=True)
class Shot:
    """A part of a page: the window, its colours, and a section (else the top of the page)."""

    page: str
    size: tuple[int, int] = (1200, 720)
    scheme: str = "light"
    section: str = ""


SHOTS: Mapping[str, Shot] = {
    "report": Shot("runs/folds/report.html"),
    "report-dark": Shot("runs/folds/report.html", (1200, 720), "dark"),
    "report-phone": Shot("runs/folds/report.html", (390, 800), "dark"),
    "roc": Shot("runs/folds/report.html", section="roc"),
    "confusion": Shot("runs/folds/report.html", section="confusion"),
    "recall": Shot("runs/folds/report.html", section="recall"),
    "calibration": Shot("runs/folds/report.html", section="calibration"),
    "audit": Shot("audit/audit.html", (1200, 800)),
    "slimp": Shot("runs/slimp/report.html", (1200, 800)),
    "slimp-map": Shot("runs/slimp/report.html", section="map"),
}


def main() -> None:
    """Write all pictures whose page is there."""
    from playwright.sync_api import sync_playwright

    folder = Path(sys.argv[1]).resolve()
    IMAGES.mkdir(exist_ok=True)
    keep("lesions", contact_sheet(folder / "clinic"))
    keep("attention", attention(folder / "runs/first/attention.png"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        for name, shot in SHOTS.items():
            picture = take(browser, folder, shot)
            if picture is not None:
                keep(name, picture)
        browser.close()


def keep(name: str, picture: Image.Image) -> None:
    """Write a picture, no wider than a page shows it."""
    rgb = picture.convert("RGB")
    if rgb.width > WIDEST:
        rgb = rgb.resize((WIDEST, round(rgb.height * WIDEST / rgb.width)), Image.Resampling.LANCZOS)
    path = IMAGES / f"{name}.webp"
    rgb.save(path, quality=QUALITY, method=6)
    sys.stdout.write(f"{path.name}: {rgb.width} x {rgb.height}, {path.stat().st_size // 1024} kB\n")


def take(browser: Any, folder: Path, shot: Shot) -> Image.Image | None:
    """Return a picture of a page or of its section, None where there is none."""
    path = folder / shot.page
    if not path.exists():
        sys.stdout.write(f"no {shot.page}\n")
        return None
    width, height = shot.size
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=shot.scheme)
    page.goto(path.as_uri())
    target = page.locator(f"#{shot.section}") if shot.section else page
    is_there = not shot.section or target.count() == 1
    data = target.screenshot() if is_there else None
    page.close()
    return Image.open(io.BytesIO(data)) if data else None


def contact_sheet(folder: Path) -> Image.Image:
    """Return photographs of each diagnosis side by side."""
    across, down, side = SHEET
    table = pd.read_csv(folder / "metadata.csv")
    first = table.groupby("diagnostic").head(down).sort_values("diagnostic", kind="stable")
    sheet = Image.new("RGB", (across * side, down * side), "white")
    for place, name in enumerate(first["img_id"]):
        with Image.open(folder / "images" / name) as image:
            edge = min(image.size)
            square = image.convert("RGB").crop((0, 0, edge, edge)).resize((side, side))
        sheet.paste(square, (place // down * side, place % down * side))
    return sheet


def attention(path: Path) -> Image.Image:
    """Return the head of the sheet of attention maps: a third of its rows."""
    with Image.open(path) as sheet:
        return sheet.convert("RGB").crop((0, 0, sheet.width, round(sheet.height * 0.45)))


if __name__ == "__main__":
    main()
