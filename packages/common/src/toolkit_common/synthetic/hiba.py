"""Synthetic HIBA as exported in 2023, its table in `images/` or at the top, and as exported later.

Quirks: skin types in a file of their own or a column, histories that are mostly empty, a few
patients without age or sex, clinical pictures among dermoscopic ones, one lichenoid keratosis,
malignant lesions that are all confirmed by histopathology.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from toolkit_common.synthetic.cohort import Recipe, draw_cohort, empty_some
from toolkit_common.synthetic.exports import (
    MALIGNANT,
    ROMAN,
    SITES,
    TRAITS,
    name_rows,
    write_export,
)
from toolkit_common.synthetic.order import Order

RECIPE = Recipe(
    shares={"nevus": 556, "basal cell carcinoma": 235, "melanoma": 172,
            "squamous cell carcinoma": 91, "seborrheic keratosis": 48, "actinic keratosis": 44,
            "vascular lesion": 43, "dermatofibroma": 41, "solar lentigo": 15,
            "lichenoid keratosis": 1},
    traits=TRAITS,
    malignant=MALIGNANT,
    sites=SITES,
    lesions=1246 / 1616,
    patients=623 / 1616,
    crowding=1.0,
)  # fmt: skip
OLDER = (
    "isic_id", "attribution", "copyright_license", "age_approx", "anatom_site_general",
    "benign_malignant", "dermoscopic_type", "diagnosis", "diagnosis_confirm_type", "family_hx_mm",
    "image_type", "lesion_id", "patient_id", "personal_hx_mm", "pixels_x", "pixels_y", "sex",
)  # fmt: skip
NEWER = (
    "isic_id", "attribution", "copyright_license", "age_approx", "anatom_site_general",
    "concomitant_biopsy", "dermoscopic_type", "diagnosis_1", "diagnosis_2", "diagnosis_3",
    "diagnosis_confirm_type", "family_hx_mm", "fitzpatrick_skin_type", "image_type", "lesion_id",
    "patient_id", "personal_hx_mm", "sex",
)  # fmt: skip
VIEWS = {"dermoscopic": 1270, "clinical: close-up": 260, "clinical: overview": 86}
CAMERAS = ((640, 480), (1024, 768), (3264, 2448))
_LAYOUTS = {"2023": (OLDER, "images/metadata.csv"), "2023-flat": (OLDER, "metadata.csv"),
            "newer": (NEWER, "images/metadata.csv")}  # fmt: skip
LAYOUTS = tuple(_LAYOUTS)


def make_hiba(out: Path, order: Order) -> None:
    """Write the data set."""
    rng = np.random.default_rng(order.seed)
    cases, looks = draw_cohort(order.rows, RECIPE, rng)
    table = _table(cases, rng)
    columns, name = _LAYOUTS[order.layout]
    write_export(out, table[list(columns)], looks, name=name, rng=rng)
    if columns is OLDER:
        skin = table[["isic_id", "fitzpatrick_skin_type"]].set_axis(
            ["isic_id", "skin_type"], axis=1
        )
        skin.to_csv(out / "SupplementaryData.csv", index=False)


def _table(cases: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    n, patient = len(cases), cases["patient"]
    views = np.array(list(VIEWS.values()), float)
    view = rng.choice(list(VIEWS), n, p=views / views.sum())
    light = rng.choice(["contact polarized", "contact non-polarized", "non-contact polarized"], n)
    pixels = np.array(CAMERAS)[rng.integers(0, len(CAMERAS), n)]
    draws = pd.Series(rng.random(patient.max() + 1))[patient].reset_index(drop=True)
    own, family = ((draws < share).astype(str) for share in (0.5, 0.1))
    table = name_rows(cases, rng).assign(
        attribution="Hospital Italiano de Buenos Aires",
        copyright_license="CC-BY",
        age_approx=empty_some(cases["age"].astype(str), 5 / 623, rng, of=patient),
        image_type=view,
        dermoscopic_type=np.where(view == "dermoscopic", light, ""),
        personal_hx_mm=empty_some(own, 339 / 623, rng, of=patient),
        family_hx_mm=empty_some(family, 386 / 623, rng, of=patient),
        fitzpatrick_skin_type=empty_some(pd.Series(ROMAN[cases["skin"]]), 0.07, rng, of=patient),
        pixels_x=pixels[:, 0],
        pixels_y=pixels[:, 1],
    )  # fmt: skip
    table["sex"] = empty_some(table["sex"], 2 / 623, rng, of=patient)
    sites = empty_some(table["anatom_site_general"], 100 / 1246, rng, of=cases["lesion"])
    return table.assign(anatom_site_general=sites)
