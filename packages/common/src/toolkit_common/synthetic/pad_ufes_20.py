"""Synthetic PAD-UFES-20 in the folder layouts that circulate, quirks included.

Quirks: patients without cancer of whom the whole clinical block is empty, lesion numbers that two
patients share, two ages of some patients, UNK beside True and False, BRASIL beside BRAZIL, some
backgrounds alone empty, `biopsed` that tells cancer, pictures with an alpha channel.
"""

from pathlib import Path

import pandas as pd
from PIL import Image

from toolkit_common.sources.lesions.pad_ufes_20 import BLOCK as REAL_BLOCK
from toolkit_common.synthetic.cohort import Cohort, Kind, Order, Recipe, draw_cohort
from toolkit_common.synthetic.pictures import write_pictures

SIZE = 112  # pixels; really some hundred to thousands
RECIPE = Recipe(
    kinds={
        "BCC": Kind(845, malignant=True, light=8, red=7),
        "ACK": Kind(730, light=4, red=9, size=1.2),
        "NEV": Kind(244),
        "SEK": Kind(235, light=3, yellow=7),
        "SCC": Kind(192, malignant=True, light=6, red=10, yellow=4),
        "MEL": Kind(52, malignant=True, light=-5),
    },
    sites=("ABDOMEN", "ARM", "BACK", "CHEST", "EAR", "FACE", "FOOT", "FOREARM", "HAND", "LIP",
           "NECK", "NOSE", "SCALP", "THIGH"),
    lesions=1891 / 2298,
    patients=1373 / 2298,
    crowding=0.3,
)  # fmt: skip
BLOCK = (*REAL_BLOCK, "background_father", "background_mother")
COUNTRIES = {"POMERANIA": 0.35, "GERMANY": 0.31, "ITALY": 0.14, "BRAZIL": 0.06, "BRASIL": 0.06,
             "UNK": 0.05, "PORTUGAL": 0.03}  # fmt: skip
BIOPSED = {"ACK": 0.26, "NEV": 0.28, "SEK": 0.09}  # of the others: all
NO_BLOCK = 0.82  # of the patients without cancer: about a third of all rows
TWO_AGES = 90 / 1373  # of the patients
SHARED = 250 / 1891  # of the lesion numbers
LAYOUTS = {
    "parts": "images/imgs_part_{}",
    "nested": "images/imgs_part_{0}/imgs_part_{0}",
    "flat": "images",
}


def make_pad_ufes_20(out: Path, order: Order) -> None:
    """Write the data set."""
    cohort = draw_cohort(order, RECIPE)
    table = _table(cohort)
    parts = cohort.rng.integers(1, 4, len(table))
    folders = [out / LAYOUTS[order.layout].format(part) for part in parts]
    paths = [folder / name for folder, name in zip(folders, table["img_id"], strict=True)]
    write_pictures(cohort.cases, paths, size=SIZE, rng=cohort.rng)
    for path in paths[::5]:
        with Image.open(path) as image:
            image.convert("RGBA").save(path)
    table.to_csv(out / "metadata.csv", index=False)


def _table(cohort: Cohort) -> pd.DataFrame:
    cases = cohort.cases
    bad = cases["malignant"].astype(float)
    patient, lesion = "PAT_" + (cases["patient"] + 8).astype(str), _lesion_numbers(cohort)
    image = pd.Series(cohort.rng.permutation(len(cases)) + 1).astype(str)
    table = pd.DataFrame(
        {
            "patient_id": patient,
            "lesion_id": lesion,
            "smoke": _history(cohort, 0.13),
            "drink": _history(cohort, 0.25),
            "background_father": _background(cohort),
            "background_mother": _background(cohort),
            "age": _ages(cohort),
            "pesticide": _history(cohort, 0.38),
            "gender": cases["sex"].str.upper(),
            "skin_cancer_history": _history(cohort, 0.47),
            "cancer_history": _history(cohort, 0.52),
            "has_piped_water": _history(cohort, 0.63),
            "has_sewage_system": _history(cohort, 0.57),
            "fitspatrick": cases["skin"].astype(float).astype(str),
            "region": cases["site"],
            "diameter_1": cases["long_mm"].round().astype(str),
            "diameter_2": cases["short_mm"].round().clip(1).astype(str),
            "diagnostic": cases["kind"],
            "itch": _complaint(cohort, 0.5 + 0.2 * bad),
            "grew": _complaint(cohort, 0.3 + 0.4 * bad, unsure=402 / 2298),
            "hurt": _complaint(cohort, 0.1 + 0.2 * bad),
            "changed": _complaint(cohort, 0.05 + 0.1 * bad, unsure=396 / 2298),
            "bleed": _complaint(cohort, 0.1 + 0.4 * bad),
            "elevation": _complaint(cohort, (cases["border"] > 0.2).astype(float)),
            "img_id": patient + "_" + lesion + "_" + image + ".png",
            "biopsed": cohort.happens(cases["kind"].map(BIOPSED).fillna(1.0)).astype(str),
        }
    )
    table.loc[~cases["cancer"] & cohort.happens(NO_BLOCK, of="patient"), list(BLOCK)] = ""
    return table


def _history(cohort: Cohort, chance: float) -> "pd.Series[str]":
    """The patient's answer: the same in all of its rows."""
    return cohort.happens(chance, of="patient").astype(str)


def _background(cohort: Cohort) -> "pd.Series[str]":
    return cohort.blank(cohort.choose(COUNTRIES, of="patient"), 0.05, of="patient")


def _complaint(
    cohort: Cohort, chance: "pd.Series[float]", unsure: float = 0.004
) -> "pd.Series[str]":
    """What is told of the lesion: likelier of cancer, or seen in its border."""
    return cohort.happens(chance).astype(str).mask(cohort.happens(unsure), "UNK")


def _ages(cohort: Cohort) -> "pd.Series[str]":
    """Some patients came back a year later, the one with most images surely."""
    patient = cohort.cases["patient"]
    came_back = cohort.happens(TWO_AGES, of="patient") | (patient == patient.mode()[0])
    age = cohort.cases["age"] + (came_back & patient.duplicated())
    return age.astype(int).astype(str)


def _lesion_numbers(cohort: Cohort) -> "pd.Series[str]":
    """Number the lesions; two patients share some numbers, none has one twice."""
    cases = cohort.cases
    numbers = cohort.rng.permutation(2 * (cases["lesion"].max() + 1)) + 1
    first = cases.groupby("patient")["lesion"].min().to_numpy()
    shared = max(1, min(len(first) // 2, round(SHARED * len(numbers) / 2)))
    numbers[first[-shared:]] = numbers[first[:shared]]
    return pd.Series(numbers[cases["lesion"]]).astype(str)
