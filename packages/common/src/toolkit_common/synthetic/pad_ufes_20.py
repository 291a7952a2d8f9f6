"""Synthetic PAD-UFES-20 in the folder layouts that circulate, quirks included.

Quirks: patients without cancer of whom the whole clinical block is empty, lesion numbers that two
patients share, two ages of some patients, UNK beside True and False, BRASIL beside BRAZIL, some
backgrounds alone empty, `biopsed` that tells cancer, pictures with an alpha channel.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from toolkit_common.synthetic.cases import Trait
from toolkit_common.synthetic.cohort import Recipe, draw_cohort
from toolkit_common.synthetic.draw import write_pictures
from toolkit_common.synthetic.order import Order

SIZE = 112  # pixels; really some hundred to thousands
RECIPE = Recipe(
    shares={"BCC": 845, "ACK": 730, "NEV": 244, "SEK": 235, "SCC": 192, "MEL": 52},
    traits={
        "BCC": Trait(light=8, red=7),
        "ACK": Trait(light=4, red=9, size=1.2),
        "NEV": Trait(),
        "SEK": Trait(light=3, yellow=7),
        "SCC": Trait(light=6, red=10, yellow=4),
        "MEL": Trait(light=-5),
    },
    malignant=frozenset(("BCC", "SCC", "MEL")),
    sites=("ABDOMEN", "ARM", "BACK", "CHEST", "EAR", "FACE", "FOOT", "FOREARM", "HAND", "LIP",
           "NECK", "NOSE", "SCALP", "THIGH"),
    lesions=1891 / 2298,
    patients=1373 / 2298,
    crowding=0.3,
)  # fmt: skip
COLUMNS = (
    "patient_id", "lesion_id", "smoke", "drink", "background_father", "background_mother", "age",
    "pesticide", "gender", "skin_cancer_history", "cancer_history", "has_piped_water",
    "has_sewage_system", "fitspatrick", "region", "diameter_1", "diameter_2", "diagnostic", "itch",
    "grew", "hurt", "changed", "bleed", "elevation", "img_id", "biopsed",
)  # fmt: skip
BLOCK = tuple(COLUMNS[place] for place in (2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 15, 16))
YES = {"smoke": 0.13, "drink": 0.25, "pesticide": 0.38, "skin_cancer_history": 0.47,
       "cancer_history": 0.52, "has_piped_water": 0.63, "has_sewage_system": 0.57}  # fmt: skip
COUNTRIES = {"POMERANIA": 0.36, "GERMANY": 0.33, "ITALY": 0.14, "BRAZIL": 0.06, "UNK": 0.05,
             "PORTUGAL": 0.03, "BRASIL": 0.03}  # fmt: skip
BIOPSED = {"ACK": 0.26, "NEV": 0.28, "SEK": 0.09}  # of the others: all
NO_BLOCK = 0.82  # of the patients without cancer: about a third of all rows
TWO_AGES = 90 / 1373  # of the patients
SHARED = 250 / 1891  # of the lesion numbers


def make_pad_ufes_20(out: Path, order: Order) -> None:
    """Write the data set."""
    rng = np.random.default_rng(order.seed)
    cases, looks = draw_cohort(order.rows, RECIPE, rng)
    table = _table(cases, looks, rng)
    part = rng.integers(1, 4, len(table))
    pattern = _LAYOUTS[order.layout]
    paths = [
        out / pattern.format(at) / name for at, name in zip(part, table["img_id"], strict=True)
    ]
    write_pictures(looks, paths, size=SIZE, rng=rng)
    for path in paths[::5]:
        with Image.open(path) as image:
            image.convert("RGBA").save(path)
    table.to_csv(out / "metadata.csv", index=False)


def _table(cases: pd.DataFrame, looks: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    numbers = _lesion_numbers(cases, rng)
    columns = {
        "patient_id": "PAT_" + (cases["patient"] + 8).astype(str),
        "lesion_id": numbers.astype(str),
        "age": _ages(cases, rng).astype(int).astype(str),
        "gender": cases["sex"].str.upper(),
        "fitspatrick": cases["skin"].astype(float).astype(str),
        "region": cases["site"],
        "diameter_1": looks["long_mm"].round().astype(str),
        "diameter_2": looks["short_mm"].round().clip(1).astype(str),
        "diagnostic": cases["kind"],
        **_history(cases, rng),
        **_complaints(cases, looks, rng),
    }
    table = pd.DataFrame(columns)
    often = table["diagnostic"].map(BIOPSED).fillna(1.0)
    table["biopsed"] = np.where(rng.random(len(table)) < often, "True", "False")
    names = table["patient_id"] + "_" + table["lesion_id"] + "_"
    table["img_id"] = names + pd.Series(rng.permutation(len(table)) + 1).astype(str) + ".png"
    draws = rng.random(cases["patient"].max() + 1)[cases["patient"]]
    table.loc[~cases["cancer"] & (draws < NO_BLOCK), list(BLOCK)] = ""
    return table[list(COLUMNS)]


def _history(cases: pd.DataFrame, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The patient's answers: the same in all of its rows."""
    num = cases["patient"].max() + 1
    found = {name: np.where(rng.random(num) < share, "True", "False")
             for name, share in YES.items()}  # fmt: skip
    countries, shares = list(COUNTRIES), np.array(list(COUNTRIES.values()))
    for name in ("background_father", "background_mother"):
        found[name] = rng.choice(countries, num, p=shares / shares.sum())
        found[name][rng.random(num) < 0.01] = ""
    surely = cases["patient"][cases["cancer"]].unique()[:3]  # these have the block
    found["background_father"][surely] = ("", "BRASIL", "BRAZIL")[: len(surely)]
    return {name: answers[cases["patient"]] for name, answers in found.items()}


def _complaints(
    cases: pd.DataFrame, looks: pd.DataFrame, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """What is told of the lesion, likelier of cancer; `elevation` is seen in its border."""
    bad, n = cases["malignant"].to_numpy(float), len(cases)
    likely = {"itch": 0.5 + 0.2 * bad, "grew": 0.3 + 0.4 * bad, "hurt": 0.1 + 0.2 * bad,
              "changed": 0.05 + 0.1 * bad, "bleed": 0.1 + 0.4 * bad,
              "elevation": (looks["border"].to_numpy() > 0.2).astype(float)}  # fmt: skip
    unsure = {"grew": 402 / 2298, "changed": 396 / 2298}
    found = {}
    for name, chance in likely.items():
        answer = np.where(rng.random(n) < chance, "True", "False")
        found[name] = np.where(rng.random(n) < unsure.get(name, 0.004), "UNK", answer)
    return found


def _ages(cases: pd.DataFrame, rng: np.random.Generator) -> "pd.Series[float]":
    """Some patients came back a year later."""
    came_back = rng.random(cases["patient"].max() + 1) < TWO_AGES
    came_back[cases["patient"].mode()[0]] = True
    is_later = came_back[cases["patient"]] & cases["patient"].duplicated()
    return cases["age"] + is_later


def _lesion_numbers(cases: pd.DataFrame, rng: np.random.Generator) -> "pd.Series[int]":
    """Number the lesions; two patients share some numbers, none has one twice."""
    numbers = rng.permutation(2 * (cases["lesion"].max() + 1)) + 1
    num = cases["patient"].max() + 1
    first = cases.groupby("patient")["lesion"].min().to_numpy()
    shared = max(1, min(num // 2, round(SHARED * len(numbers) / 2)))
    numbers[first[num - shared :]] = numbers[first[:shared]]
    return pd.Series(numbers[cases["lesion"]])


_LAYOUTS = {
    "parts": "images/imgs_part_{}",
    "nested": "images/imgs_part_{0}/imgs_part_{0}",
    "flat": "images",
}
LAYOUTS = tuple(_LAYOUTS)
