"""Synthetic Derm7pt: cases with two images each, the checklist, official splits.

Quirks: names of images whose case differs between files, and between table and disk; indexes that
begin at 0; empty case ids and notes. The criteria are those of the drawn lesion.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from toolkit_common.synthetic.cases import Trait, draw_kinds, draw_people, leave_traces
from toolkit_common.synthetic.draw import draw_looks, write_pictures
from toolkit_common.synthetic.order import Order

SIZE = 128  # pixels; really 768 x 512
SITES = ("abdomen", "acral", "back", "buttocks", "chest", "genital areas", "head neck",
         "lower limbs", "upper limbs")  # fmt: skip
BENIGN = {
    "clark nevus": (0.3, Trait()),
    "reed or spitz nevus": (0.06, Trait(light=-6)),
    "seborrheic keratosis": (0.04, Trait(light=4, yellow=8)),
    "blue nevus": (0.03, Trait(light=-4, yellow=-10)),
    "vascular lesion": (0.03, Trait(red=20, size=0.8)),
    "dermal nevus": (0.03, Trait(light=5)),
    "lentigo": (0.03, Trait(yellow=5)),
    "congenital nevus": (0.02, Trait(size=1.4)),
    "dermatofibroma": (0.02, Trait(yellow=3, size=0.6)),
    "melanosis": (0.02, Trait(light=-3)),
    "combined nevus": (0.02, Trait()),
    "miscellaneous": (0.02, Trait()),
    "recurrent nevus": (0.02, Trait()),
}
MALIGNANT = {
    "melanoma (less than 0.76 mm)": (0.1, Trait(light=-2)),
    "melanoma (in situ)": (0.06, Trait()),
    "basal cell carcinoma": (0.06, Trait(light=10, red=6)),
    "melanoma (0.76 to 1.5 mm)": (0.05, Trait(light=-4)),
    "melanoma (more than 1.5 mm)": (0.03, Trait(light=-8)),
    "melanoma": (0.03, Trait(light=-4)),
    "melanoma metastasis": (0.03, Trait(light=-8, size=0.8)),
}
SPLITS = {"train": 0.41, "valid": 0.2, "test": 0.39}
FOLDERS = ("Aal", "Fal", "Nel", "Ngl")
SCORES = {"pigment_network": 2, "blue_whitish_veil": 2, "vascular_structures": 2, "streaks": 1,
          "pigmentation": 1, "dots_and_globules": 1, "regression_structures": 1}  # fmt: skip


def make_derm7pt(out: Path, order: Order) -> None:
    """Write the data set; a row is a case with two images."""
    rng = np.random.default_rng(order.seed)
    base = out / "release_v0" if order.layout == "release" else out
    kinds = draw_kinds({name: share for name, (share, _) in (BENIGN | MALIGNANT).items()},
                       order.rows, rng)  # fmt: skip
    is_malignant = np.isin(kinds, list(MALIGNANT))
    people = draw_people(SITES, is_malignant, rng).assign(age=50)
    traits = {name: trait for name, (_, trait) in (BENIGN | MALIGNANT).items()}
    looks = draw_looks(is_malignant, rng)
    looks = leave_traces(looks, people, kinds, sites=SITES, traits=traits)
    table = _tell(looks, people, kinds, rng)
    _write_images(base / "images", table, looks, rng)
    (base / "meta").mkdir(parents=True)
    table.to_csv(base / "meta" / "meta.csv", index=False)
    for name, rows in _deal(is_malignant, rng).items():
        path = base / "meta" / f"{name}_indexes.csv"
        pd.DataFrame({"indexes": rows}).to_csv(path, index=False)


def _tell(
    looks: pd.DataFrame, people: pd.DataFrame, kinds: np.ndarray, rng: np.random.Generator
) -> pd.DataFrame:
    n = len(looks)
    criteria = _judge(looks)
    is_bad = pd.DataFrame({name: words.isin(_BAD) for name, words in criteria.items()})
    names = [FOLDERS[number] for number in rng.integers(0, len(FOLDERS), n)]
    return pd.DataFrame(
        {
            "case_num": np.arange(1, n + 1),
            "diagnosis": kinds,
            "seven_point_score": (is_bad * pd.Series(SCORES)).sum(axis=1),
            **criteria,
            "level_of_diagnostic_difficulty": rng.choice(["low", "medium", "high"], n),
            "elevation": _grade(looks["long_mm"], (3, 5), ("flat", "palpable", "nodular")),
            "location": people["site"],
            "sex": people["sex"],
            "management": np.where(looks["malignant"], "excision",
                                   rng.choice(["clinical follow up", "no further examination"], n)),
            "clinic": [f"{name.upper()}/{name.upper()}{2 * at + 1:03d}.JPG"
                       for at, name in enumerate(names)],
            "derm": [f"{name.upper()}/{name}{2 * at + 2:03d}.jpg" for at, name in enumerate(names)],
            "case_id": "",
            "notes": "",
        }
    )  # fmt: skip


def _judge(looks: pd.DataFrame) -> dict[str, pd.Series]:
    """Read the checklist off the looks."""
    contrast = looks["L0"] - looks["L1"]
    regular = ("absent", "regular", "irregular")
    return {
        "pigment_network": _grade(looks["border"], (0.1, 0.35), ("absent", "typical", "atypical")),
        "streaks": _grade(looks["border"], (0.25, 0.45), regular),
        "pigmentation": _grade(looks["asymmetry"], (0.15, 0.3, 0.45),
                               ("absent", "diffuse regular", "localized irregular",
                                "diffuse irregular")),
        "regression_structures": _grade(contrast, (17, 22), ("absent", "white areas",
                                                             "blue areas")),
        "dots_and_globules": _grade(looks["long_mm"], (3, 5), regular),
        "blue_whitish_veil": _grade(looks["b0"] - looks["b1"], (4,), ("absent", "present")),
        "vascular_structures": _grade(looks["a1"] - looks["a0"], (5, 9),
                                      ("absent", "arborizing", "linear irregular")),
    }  # fmt: skip


_BAD = ("atypical", "irregular", "localized irregular", "diffuse irregular", "linear irregular",
        "white areas", "blue areas", "present")  # fmt: skip


def _grade(values: pd.Series, bounds: tuple[float, ...], words: tuple[str, ...]) -> pd.Series:
    return pd.Series(np.array(words)[np.digitize(values, bounds)])


def _write_images(
    root: Path, table: pd.DataFrame, looks: pd.DataFrame, rng: np.random.Generator
) -> None:
    """The clinical image shows the lesion from afar; every fifth name has another case on disk."""
    far = looks.assign(long_mm=looks["long_mm"] / 2, short_mm=looks["short_mm"] / 2)
    for kind, shown in (("derm", looks), ("clinic", far)):
        paths = [root / name for name in table[kind]]
        paths = [
            path.with_suffix(path.suffix.swapcase()) if at % 5 == 0 else path
            for at, path in enumerate(paths)
        ]
        write_pictures(shown, paths, size=SIZE, rng=rng)


def _deal(is_malignant: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Deal the rows to the splits, malignant ones and others by the same shares."""
    sides = np.empty(len(is_malignant), dtype=object)
    for flag in (False, True):
        rows = rng.permutation(np.flatnonzero(is_malignant == flag))
        ends = np.round(np.cumsum(list(SPLITS.values())) * len(rows)).astype(int)
        for name, part in zip(SPLITS, np.split(rows, ends[:-1]), strict=True):
            sides[part] = name
    return {name: np.flatnonzero(sides == name) for name in SPLITS}


LAYOUTS = ("release", "bare")
