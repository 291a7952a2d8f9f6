"""Synthetic Derm7pt: cases with two images each, the checklist, official splits.

Quirks: names of images whose case differs between files, and between table and disk; indexes that
begin at 0; empty case ids and notes. The criteria are those of the drawn lesion.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from toolkit_common.sources.lesions.derm7pt import GROUPS
from toolkit_common.synthetic.cohort import Cohort, Kind, Order, Recipe, draw_cohort
from toolkit_common.synthetic.pictures import write_pictures

SIZE = 128  # pixels; really 768 x 512
# How the five groups of diagnoses look.
LOOKS = {
    "BCC": Kind(0.06, malignant=True, light=10, red=6),
    "MEL": Kind(0.05, malignant=True, light=-4),
    "MISC": Kind(0.025, red=12, size=0.7),
    "NEV": Kind(0.07),
    "SK": Kind(0.04, light=4, yellow=8),
}
RECIPE = Recipe(
    kinds={name: LOOKS[group] for group, names in GROUPS.items() for name in names},
    sites=("abdomen", "acral", "back", "buttocks", "chest", "genital areas", "head neck",
           "lower limbs", "upper limbs"),
)  # fmt: skip
# Criterion -> what it is read from, bounds between its answers, answers, its points of the
# checklist; all answers from the first of `SUSPICIOUS` on give them.
CRITERIA = {
    "pigment_network": ("border", (0.1, 0.35), ("absent", "typical", "atypical"), 2),
    "streaks": ("border", (0.2, 0.35), ("absent", "regular", "irregular"), 1),
    "pigmentation": ("asymmetry", (0.15, 0.3, 0.45),
                     ("absent", "diffuse regular", "localized irregular", "diffuse irregular"), 1),
    "regression_structures": ("paler", (17, 22), ("absent", "white areas", "blue areas"), 1),
    "dots_and_globules": ("long_mm", (3, 5), ("absent", "regular", "irregular"), 1),
    "blue_whitish_veil": ("bluer", (4,), ("absent", "present"), 2),
    "vascular_structures": ("redder", (5, 9), ("absent", "arborizing", "linear irregular"), 2),
}  # fmt: skip
SUSPICIOUS = ("atypical", "irregular", "localized irregular", "diffuse irregular", "white areas",
              "blue areas", "present", "linear irregular")  # fmt: skip
SPLITS = {"train": 0.41, "valid": 0.2, "test": 0.39}
LAYOUTS = {"release": "release_v0", "bare": "."}  # where the folders are


def make_derm7pt(out: Path, order: Order) -> None:
    """Write the data set; a row is a case with two images."""
    cohort = draw_cohort(order, RECIPE)
    base = out / LAYOUTS[order.layout]
    table = _table(cohort)
    _write_images(base / "images", table, cohort)
    (base / "meta").mkdir(parents=True)
    table.to_csv(base / "meta" / "meta.csv", index=False)
    for name, rows in _deal(cohort).items():
        path = base / "meta" / f"{name}_indexes.csv"
        pd.DataFrame({"indexes": rows}).to_csv(path, index=False)


def _table(cohort: Cohort) -> pd.DataFrame:
    cases = cohort.cases.assign(
        paler=lambda row: row["L0"] - row["L1"],
        bluer=lambda row: row["b0"] - row["b1"],
        redder=lambda row: row["a1"] - row["a0"],
    )
    criteria = {
        name: pd.Series(np.array(answers)[np.digitize(cases[source], bounds)])
        for name, (source, bounds, answers, _) in CRITERIA.items()
    }
    score = sum(criteria[name].isin(SUSPICIOUS) * CRITERIA[name][-1] for name in CRITERIA)
    number = (2 * cases["image"]).astype(str).str.zfill(3)
    folder = cohort.choose(("Aal", "Fal", "Nel", "Ngl"))
    grades = np.array(["flat", "palpable", "nodular"])
    waited = cohort.choose(("clinical follow up", "no further examination"))
    return pd.DataFrame(
        {
            "case_num": cases["image"] + 1,
            "diagnosis": cases["kind"],
            "seven_point_score": score,
            **criteria,
            "level_of_diagnostic_difficulty": cohort.choose(("low", "medium", "high")),
            "elevation": grades[np.digitize(cases["long_mm"], (3, 5))],
            "location": cases["site"],
            "sex": cases["sex"],
            "management": waited.mask(cases["malignant"], "excision"),
            "clinic": folder.str.upper() + "/" + folder.str.upper() + number + "C.JPG",
            "derm": folder.str.upper() + "/" + folder + number + ".jpg",
            "case_id": "",
            "notes": "",
        }
    )


def _write_images(root: Path, table: pd.DataFrame, cohort: Cohort) -> None:
    """The clinical image shows the lesion from afar; every fifth name has another case on disk."""
    far = cohort.cases.assign(**cohort.cases[["long_mm", "short_mm"]] / 2)
    for kind, shown in (("derm", cohort.cases), ("clinic", far)):
        paths = [root / name for name in table[kind]]
        paths[::5] = [path.with_suffix(path.suffix.swapcase()) for path in paths[::5]]
        write_pictures(shown, paths, size=SIZE, rng=cohort.rng)


def _deal(cohort: Cohort) -> dict[str, np.ndarray]:
    """Deal the rows to the splits, malignant ones and others by the same shares."""
    is_malignant = cohort.cases["malignant"].to_numpy()
    parts: dict[str, list[np.ndarray]] = {name: [] for name in SPLITS}
    for flag in (False, True):
        rows = cohort.rng.permutation(np.flatnonzero(is_malignant == flag))
        ends = np.round(np.cumsum(list(SPLITS.values())) * len(rows)).astype(int)
        for name, part in zip(SPLITS, np.split(rows, ends[:-1]), strict=True):
            parts[name].append(part)
    return {name: np.sort(np.concatenate(rows)) for name, rows in parts.items()}
