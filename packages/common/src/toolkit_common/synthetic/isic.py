"""Synthetic exports of the ISIC archive with few columns or many: `isic:PATH`.

Layouts: `patients` (newer names, patients and lesions known), `lesions` (lesions alone), `bare`
(neither), `legacy` (`diagnosis` and `benign_malignant`, some patients unknown, indeterminate rows).
"""

from pathlib import Path

import numpy as np

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
    shares={"nevus": 45, "melanoma": 20, "basal cell carcinoma": 12, "seborrheic keratosis": 8,
            "actinic keratosis": 6, "squamous cell carcinoma": 5, "vascular lesion": 2,
            "dermatofibroma": 2},
    traits=TRAITS,
    malignant=MALIGNANT,
    sites=SITES,
    lesions=0.8,
    patients=0.5,
    crowding=0.8,
)  # fmt: skip
KEYS = ("isic_id", "attribution", "copyright_license", "age_approx", "anatom_site_general")
NEWER = ("diagnosis_1", "diagnosis_2", "diagnosis_3", "diagnosis_confirm_type", "image_type", "sex")
OLDER = ("benign_malignant", "diagnosis", "diagnosis_confirm_type", "image_type", "sex")
_LAYOUTS = {
    "patients": ((*KEYS, "acquisition_day", "clin_size_long_diam_mm", "fitzpatrick_skin_type",
                  "lesion_id", "patient_id", *NEWER), "images/metadata.csv"),
    "lesions": ((*KEYS, "lesion_id", *NEWER), "metadata.csv"),
    "bare": ((*KEYS, *NEWER), "isic_metadata_2026-05-07.csv"),
    "legacy": ((*KEYS, "clin_size_long_diam_mm", "lesion_id", "patient_id", *OLDER),
               "metadata.csv"),
}  # fmt: skip
LAYOUTS = tuple(_LAYOUTS)


def make_isic(out: Path, order: Order) -> None:
    """Write the data set."""
    rng = np.random.default_rng(order.seed)
    cases, looks = draw_cohort(order.rows, RECIPE, rng)
    n, patient = len(cases), cases["patient"]
    sizes = looks["long_mm"].round(1).astype(str)
    table = name_rows(cases, rng).assign(
        attribution=rng.choice(["Hospital Cl\u00ednic de Barcelona", "ViDIR Group, Vienna"], n),
        copyright_license=rng.choice(["CC-0", "CC-BY", "CC-BY-NC"], n),
        age_approx=empty_some(cases["age"].astype(int).astype(str), 0.03, rng, of=patient),
        acquisition_day=rng.integers(1, 900, n).astype(str),
        clin_size_long_diam_mm=empty_some(sizes, 0.3, rng, of=cases["lesion"]),
        fitzpatrick_skin_type=ROMAN[cases["skin"]],
        image_type="dermoscopic",
    )
    if order.layout == "legacy":
        is_unsure = (cases["kind"] == "nevus") & (rng.random(n) < 0.1)
        call = table["benign_malignant"].mask(is_unsure, "indeterminate/benign")
        known = empty_some(table["patient_id"], 0.2, rng, of=cases["lesion"])
        table = table.assign(benign_malignant=call, patient_id=known)
    columns, name = _LAYOUTS[order.layout]
    write_export(out, table[list(columns)], looks, name=name, rng=rng)
