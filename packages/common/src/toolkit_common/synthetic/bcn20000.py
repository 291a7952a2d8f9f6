"""Synthetic BCN20000: an export of the ISIC archive without patient ids.

Quirks: rows without any diagnosis, actinic keratoses that are indeterminate, quoted names, a
hospital's name in UTF-8, ages without decimals beside empty cells, many pictures of a lesion.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from toolkit_common.synthetic.cohort import Recipe, draw_cohort, empty_some
from toolkit_common.synthetic.exports import MALIGNANT, TRAITS, name_rows, write_export
from toolkit_common.synthetic.order import Order

RECIPE = Recipe(
    shares={"nevus": 5647, "melanoma": 4003, "basal cell carcinoma": 3676,
            "seborrheic keratosis": 1268, "": 1156, "actinic keratosis": 1088,
            "melanoma metastasis": 633, "squamous cell carcinoma": 559, "scar": 314,
            "solar lentigo": 283, "dermatofibroma": 168, "vascular lesion": 151},
    traits=TRAITS,
    malignant=MALIGNANT,
    sites=("anterior torso", "head/neck", "lower extremity", "palms/soles", "posterior torso",
           "upper extremity"),
    lesions=5440 / 18_946,
    patients=0.2,
    crowding=0.5,
)  # fmt: skip
COLUMNS = (
    "isic_id", "attribution", "copyright_license", "age_approx", "anatom_site_general",
    "anatom_site_special", "concomitant_biopsy", "diagnosis_1", "diagnosis_2", "diagnosis_3",
    "diagnosis_confirm_type", "image_type", "lesion_id", "melanocytic", "sex",
)  # fmt: skip
_LAYOUTS = {
    "archive": "images/metadata.csv",
    "flat": "metadata.csv",
    "named": "bcn20000_metadata_2026-05-07.csv",
}
LAYOUTS = tuple(_LAYOUTS)


def make_bcn20000(out: Path, order: Order) -> None:
    """Write the data set."""
    rng = np.random.default_rng(order.seed)
    cases, looks = draw_cohort(order.rows, RECIPE, rng)
    lesion = cases["lesion"]
    table = name_rows(cases, rng)
    is_empty = cases["kind"] == ""
    is_acral = table["anatom_site_general"] == "palms/soles"
    table = table.assign(
        attribution="Hospital Cl\u00ednic de Barcelona",
        copyright_license="CC-BY-NC",
        age_approx=empty_some(cases["age"].astype(int).astype(str), 121 / 18_946, rng, of=lesion),
        image_type="dermoscopic",
        melanocytic=cases["kind"].str.contains("nevus|melanoma").astype(str).mask(is_empty, ""),
        anatom_site_special=np.where(is_acral, "acral palms or soles", ""),
        sex=empty_some(table["sex"], 117 / 18_946, rng, of=lesion),
    )
    sites = empty_some(table["anatom_site_general"], 297 / 18_946, rng, of=lesion)
    table = table.assign(anatom_site_general=sites)[list(COLUMNS)]
    write_export(out, pd.DataFrame(table), looks, name=_LAYOUTS[order.layout], rng=rng)
