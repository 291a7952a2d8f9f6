"""Synthetic PH2: both of its tables, nested BMP images, masks.

Quirks: legends around the text table, histology of a few; in the spreadsheet twelve rows above the
header, names that break over lines, X marks, numbers as numbers; masks in folders of their own.
The criteria are those of the drawn lesion.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from toolkit_common.synthetic.cases import Trait, draw_kinds, mark_kinds
from toolkit_common.synthetic.draw import draw_looks, draw_mask, write_pictures
from toolkit_common.synthetic.order import Order

SIZE = 128  # pixels; really 768 x 560
MOST = 437  # the real names end at IMD437
KINDS = {"Common Nevus": 0.4, "Atypical Nevus": 0.4, "Melanoma": 0.2}
TRAITS = {"Common Nevus": Trait(), "Atypical Nevus": Trait(size=1.3), "Melanoma": Trait(light=-4)}
COLORS = ("White", "Red", "Light-Brown", "Dark-Brown", "Blue-Gray", "Black")
TEXT_HEADER = (
    "||   Name || Histological Diagnosis || Clinical Diagnosis || Asymmetry | Pigment Network | "
    "Dots/Globules | Streaks | Regression Areas | Blue-Whitish Veil ||           Colors ||"
)
LEGENDS = (
    "Clinical Diagnosis: 0 - Common Nevus; 1 - Atypical Nevus; 2 - Melanoma",
    "Asymmetry: 0 - Fully Symmetric; 1 - Symmetric in 1 axis; 2 - Fully Asymmetric",
    "Pigment Network: T - Typical; AT - Atypical",
    "Dots/Globules: A - Absent; T - Typical; AT - Atypical",
    "Streaks, Regression Areas, Blue-Whitish Veil: A - Absent; P - Present",
    "Colors: 1 - White; 2 - Red; 3 - Light-Brown; 4 - Dark-Brown; 5 - Blue-Gray; 6 - Black",
)
PREAMBLE = 12  # rows
SHEET_HEADER = (
    "Image Name", "Histological Diagnosis", *KINDS, "Asymmetry\n(0/1/2)",
    "Pigment Network\n(AT/T)", "Dots/Globules\n(A/AT/T)", "Streaks\n(A/P)",
    "Regression Areas\n(A/P)", "Blue-Whitish Veil\n(A/P)", *COLORS,
)  # fmt: skip


def make_ph2(out: Path, order: Order) -> None:
    """Write the data set."""
    rng = np.random.default_rng(order.seed)
    kinds = draw_kinds(KINDS, order.rows, rng)
    looks = mark_kinds(draw_looks(kinds == "Melanoma", rng), kinds, TRAITS)
    numbers = np.sort(rng.choice(max(MOST, order.rows), order.rows, replace=False)) + 1
    table = _judge(looks, kinds, [f"IMD{number:03d}" for number in numbers])
    places = [out / "PH2 Dataset images" / name / name for name in table["name"]]
    images = [Path(f"{at}_Dermoscopic_Image", f"{at.name}.bmp") for at in places]
    write_pictures(looks, images, size=SIZE, rng=rng)
    for at, (_, look), regression in zip(
        places, looks.iterrows(), table["regression"], strict=True
    ):
        mask = draw_mask(look, SIZE)
        _write_mask(mask > 0.5, Path(f"{at}_lesion", f"{at.name}_lesion.bmp"))
        if regression == "P":
            _write_mask(mask > 0.9, Path(f"{at}_roi", f"{at.name}_R1_Label1.bmp"))
    if order.layout != "xlsx":
        _write_text(out / "PH2_dataset.txt", table)
    if order.layout != "txt":
        _write_spreadsheet(out / "PH2_dataset.xlsx", table)


def _judge(looks: pd.DataFrame, kinds: np.ndarray, names: list[str]) -> pd.DataFrame:
    """Read the criteria off the looks, as the experts do off the images."""
    contrast = looks["L0"] - looks["L1"]
    is_blue, is_white = looks["b1"] < looks["b0"] - 4, contrast > 20
    border = looks["border"].to_numpy()
    dark = looks["L1"] < 52
    present = (is_white, looks["a1"] > 18, ~dark, dark, is_blue, looks["L1"] < 40)
    return pd.DataFrame(
        {
            "name": names,
            "histology": np.where(kinds == "Melanoma", "Melanoma", ""),
            "kind": kinds,
            "asymmetry": np.digitize(looks["asymmetry"], (0.25, 0.45)),
            "network": np.where(border > 0.3, "AT", "T"),
            "dots": np.array(["A", "T", "AT"])[np.digitize(looks["long_mm"], (3, 5))],
            "streaks": np.where(border > 0.45, "P", "A"),
            "regression": np.where(is_white, "P", "A"),
            "veil": np.where(is_blue, "P", "A"),
            "colors": [tuple(np.flatnonzero(row) + 1) for row in np.stack(present, axis=1)],
        }
    )


def _write_mask(mask: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True)
    Image.fromarray(mask).save(path)


def _write_text(path: Path, table: pd.DataFrame) -> None:
    lines = [
        f"|| {row['name']} || {row['histology']:>22} || {list(KINDS).index(row['kind']):>18} || "
        f"{row['asymmetry']:>9} | {row['network']:>15} | {row['dots']:>13} | "
        f"{row['streaks']:>7} | {row['regression']:>16} | {row['veil']:>17} || "
        f"{'  '.join(map(str, row['colors'])):>16} ||"
        for row in table.to_dict("records")
    ]
    text = [TEXT_HEADER, *lines, "", "", "Legends:", "", *LEGENDS, ""]
    path.write_bytes("\r\n".join(text).encode())


def _write_spreadsheet(path: Path, table: pd.DataFrame) -> None:
    preamble: list[Sequence[object]] = [
        ["PH2 Dataset"],
        [None],
        ["Legends"],
        *([legend] for legend in LEGENDS),
    ]
    blank = [[None]] * (PREAMBLE - 1 - len(preamble))
    above = [None, None, "Clinical Diagnosis", *[None] * 8, "Colors"]
    cases = [
        [row["name"], row["histology"] or None, *_marks(KINDS, [row["kind"]]), row["asymmetry"],
         row["network"], row["dots"], row["streaks"], row["regression"], row["veil"],
         *_marks(COLORS, [COLORS[number - 1] for number in row["colors"]])]
        for row in table.to_dict("records")
    ]  # fmt: skip
    rows: list[Sequence[object]] = [*preamble, *blank, above, SHEET_HEADER, *cases]
    width = len(SHEET_HEADER)
    pd.DataFrame([[*row, *[None] * (width - len(row))] for row in rows]).to_excel(
        path, header=False, index=False, engine="openpyxl"
    )


def _marks(names: Iterable[str], chosen: Sequence[str]) -> list[str | None]:
    return ["X" if name in chosen else None for name in names]


LAYOUTS = ("full", "txt", "xlsx")
