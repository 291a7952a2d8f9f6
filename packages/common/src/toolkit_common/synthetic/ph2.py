"""Synthetic PH2: both of its tables, nested BMP images, masks.

Quirks: legends around the text table, histology of a few; in the spreadsheet twelve rows above the
header, names that break over lines, X marks, numbers as numbers; masks in folders of their own.
The criteria are those of the drawn lesion.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from toolkit_common.extras import require
from toolkit_common.synthetic.cohort import Cohort, Kind, Order, Recipe, draw_cohort
from toolkit_common.synthetic.pictures import write_masks, write_pictures

SIZE = 128  # pixels; really 768 x 560
MOST = 437  # the real names end at IMD437
RECIPE = Recipe(
    kinds={
        "Common Nevus": Kind(0.4),
        "Atypical Nevus": Kind(0.4, size=1.3),
        "Melanoma": Kind(0.2, malignant=True, light=-4),
    },
    sites=("back",),
)
COLORS = ("White", "Red", "Light-Brown", "Dark-Brown", "Blue-Gray", "Black")
CRITERIA = {  # name in both tables -> the codes that the spreadsheet's header lists
    "Asymmetry": "0/1/2",
    "Pigment Network": "AT/T",
    "Dots/Globules": "A/AT/T",
    "Streaks": "A/P",
    "Regression Areas": "A/P",
    "Blue-Whitish Veil": "A/P",
}
LEGENDS = (
    "Clinical Diagnosis: 0 - Common Nevus; 1 - Atypical Nevus; 2 - Melanoma",
    "Colors: 1 - White; 2 - Red; 3 - Light-Brown; 4 - Dark-Brown; 5 - Blue-Gray; 6 - Black",
)
PREAMBLE = 12  # rows of the spreadsheet above its header
LAYOUTS = {"full": ("txt", "xlsx"), "txt": ("txt",), "xlsx": ("xlsx",)}  # the tables there are


def make_ph2(out: Path, order: Order) -> None:
    """Write the data set."""
    cohort = draw_cohort(order, RECIPE)
    cases, table = cohort.cases, _table(cohort)
    places = [out / "PH2 Dataset images" / name / name for name in table["Name"]]
    images = [Path(f"{at}_Dermoscopic_Image", f"{at.name}.bmp") for at in places]
    write_pictures(cases, images, size=SIZE, rng=cohort.rng)
    masks = [Path(f"{at}_lesion", f"{at.name}_lesion.bmp") for at in places]
    write_masks(cases, masks, size=SIZE, least=0.5)
    regions = [Path(f"{at}_roi", f"{at.name}_R1_Label1.bmp") for at in places]
    has_region = table["Regression Areas"] == "P"
    write_masks(cases[has_region], list(pd.Series(regions)[has_region]), size=SIZE, least=0.9)
    for suffix in LAYOUTS[order.layout]:
        _WRITERS[suffix](out / f"PH2_dataset.{suffix}", table)


def _table(cohort: Cohort) -> pd.DataFrame:
    """Read the criteria off the looks, as the experts do off the images."""
    cases, n = cohort.cases, len(cohort.cases)
    is_white, is_blue = cases["L0"] - cases["L1"] > 20, cases["b1"] < cases["b0"] - 4
    is_dark = cases["L1"] < 52
    present = (is_white, cases["a1"] > 18, ~is_dark, is_dark, is_blue, cases["L1"] < 40)
    numbers = np.sort(cohort.rng.choice(max(MOST, n), n, replace=False)) + 1
    return pd.DataFrame(
        {
            "Name": [f"IMD{number:03d}" for number in numbers],
            "Histological Diagnosis": np.where(cases["malignant"], "Melanoma", ""),
            "Clinical Diagnosis": cases["kind"],
            "Asymmetry": np.digitize(cases["asymmetry"], (0.25, 0.45)),
            "Pigment Network": np.where(cases["border"] > 0.3, "AT", "T"),
            "Dots/Globules": np.array(["A", "T", "AT"])[np.digitize(cases["long_mm"], (3, 5))],
            "Streaks": np.where(cases["border"] > 0.45, "P", "A"),
            "Regression Areas": np.where(is_white, "P", "A"),
            "Blue-Whitish Veil": np.where(is_blue, "P", "A"),
            "Colors": [tuple(np.flatnonzero(row) + 1) for row in np.stack(present, axis=1)],
        }
    )


def _write_text(path: Path, table: pd.DataFrame) -> None:
    codes = table["Clinical Diagnosis"].map({kind: at for at, kind in enumerate(RECIPE.kinds)})
    colors = ["  ".join(map(str, numbers)) for numbers in table["Colors"]]
    words = table.copy()
    words["Clinical Diagnosis"], words["Colors"] = codes.astype(str), colors
    rows = [list(words), *words.astype(str).to_numpy().tolist()]
    lines = [
        f"|| {' || '.join(cells[:3])} || {' | '.join(cells[3:-1])} || {cells[-1]} ||"
        for cells in ([f"{cell:>16}" for cell in row] for row in rows)
    ]
    text = [*lines, "", "", "Legends:", "", *LEGENDS, ""]
    path.write_bytes("\r\n".join(text).encode())


def _write_spreadsheet(path: Path, table: pd.DataFrame) -> None:
    rows: list[list[object]] = [["PH2 Dataset"], [], ["Legends"]]
    rows += [[line] for line in LEGENDS]
    rows += [[]] * (PREAMBLE - 1 - len(rows))
    rows += [[None, None, "Clinical Diagnosis", *[None] * 8, "Colors"]]
    rows += [["Image Name", "Histological Diagnosis", *RECIPE.kinds,
              *(f"{name}\n({codes})" for name, codes in CRITERIA.items()), *COLORS]]  # fmt: skip
    for row in table.to_dict("records"):
        colors = [COLORS[number - 1] for number in row["Colors"]]
        kinds = _marks(RECIPE.kinds, [row["Clinical Diagnosis"]])
        known = [row["Name"], row["Histological Diagnosis"] or None, *kinds]
        rows.append([*known, *(row[name] for name in CRITERIA), *_marks(COLORS, colors)])
    require("openpyxl", extra="lesions", purpose=f"writing {path.name}")
    width = max(map(len, rows))
    even = [row + [None] * (width - len(row)) for row in rows]
    pd.DataFrame(even).to_excel(path, header=False, index=False, engine="openpyxl")


def _marks(names: Iterable[str], chosen: list[str]) -> list[str | None]:
    return ["X" if name in chosen else None for name in names]


_WRITERS = {"txt": _write_text, "xlsx": _write_spreadsheet}
