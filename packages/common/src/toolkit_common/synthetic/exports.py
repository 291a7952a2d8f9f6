"""What synthetic exports of the ISIC archive share: both generations of names, and their layouts.

Quirks: quoted names with commas, names in UTF-8, empty cells, ages without decimals or with, the
finest name of vascular lesions empty, proofs that tell the label.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from toolkit_common.synthetic.cases import Trait
from toolkit_common.synthetic.draw import write_pictures

SIZE = 128  # pixels; really 640 x 480 and more
CLOSER = 0.6  # a clinical picture shows the lesion that much smaller
MELANOMA = "Malignant melanocytic proliferations (Melanoma)"
EPIDERMAL = "Benign epidermal proliferations"
FIBROUS = "Benign soft tissue proliferations - Fibro-histiocytic"
NAMES = {  # of older exports -> diagnosis_1 to _3 of newer ones
    "nevus": ("Benign", "Benign melanocytic proliferations", "Nevus"),
    "melanoma": ("Malignant", MELANOMA, "Melanoma, NOS"),
    "melanoma metastasis": ("Malignant", MELANOMA, "Melanoma metastasis"),
    "basal cell carcinoma": (
        "Malignant", "Malignant adnexal epithelial proliferations - Follicular",
        "Basal cell carcinoma",
    ),
    "squamous cell carcinoma": (
        "Malignant", "Malignant epidermal proliferations", "Squamous cell carcinoma, NOS",
    ),
    "actinic keratosis": (
        "Indeterminate", "Indeterminate epidermal proliferations", "Solar or actinic keratosis",
    ),
    "seborrheic keratosis": ("Benign", EPIDERMAL, "Seborrheic keratosis"),
    "solar lentigo": ("Benign", EPIDERMAL, "Solar lentigo"),
    "lichenoid keratosis": ("Benign", EPIDERMAL, "Lichen planus like keratosis"),
    "dermatofibroma": ("Benign", FIBROUS, "Dermatofibroma"),
    "scar": ("Benign", FIBROUS, "Scar"),
    "vascular lesion": ("Benign", "Benign soft tissue proliferations - Vascular", ""),
    "": ("", "", ""),
}  # fmt: skip
TRAITS = {
    "nevus": Trait(),
    "melanoma": Trait(light=-5),
    "melanoma metastasis": Trait(light=-8, yellow=-4, size=0.8),
    "basal cell carcinoma": Trait(light=9, red=6),
    "squamous cell carcinoma": Trait(light=6, red=10, yellow=4),
    "actinic keratosis": Trait(light=4, red=9, size=1.2),
    "seborrheic keratosis": Trait(light=3, yellow=7),
    "solar lentigo": Trait(light=6, yellow=4, size=1.3),
    "lichenoid keratosis": Trait(light=5, red=3),
    "dermatofibroma": Trait(yellow=3, size=0.6),
    "scar": Trait(light=14, red=4),
    "vascular lesion": Trait(light=-2, red=20, size=0.8),
    "": Trait(),
}
MALIGNANT = frozenset(name for name, levels in NAMES.items() if levels[0] == "Malignant")
SITES = ("anterior torso", "head/neck", "lateral torso", "lower extremity", "oral/genital",
         "palms/soles", "posterior torso", "upper extremity")  # fmt: skip
ROMAN = np.array(["", "I", "II", "III", "IV", "V", "VI"])
PROOFS = ("histopathology", "serial imaging showing no change", "single image expert consensus")


def name_rows(cases: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return ids and diagnoses of both generations, as words.

    Args:
        cases: Of `draw_cohort`.
        rng: Source of the draw.
    """
    n = len(cases)
    patients = 1_000_000 + rng.permutation(9_000_000)[: cases["patient"].max() + 1]
    lesions = 1_000_000 + rng.permutation(9_000_000)[: cases["lesion"].max() + 1]
    levels = pd.DataFrame([NAMES[kind] for kind in cases["kind"]])
    call = np.where(cases["malignant"], "malignant", np.where(cases["kind"] == "", "", "benign"))
    proof = pd.Series(rng.choice(PROOFS, n)).mask(cases["malignant"], PROOFS[0])
    return pd.DataFrame(
        {
            "isic_id": [f"ISIC_{number:07d}" for number in 50_000 + rng.permutation(9 * n)[:n]],
            "patient_id": [f"IP_{number}" for number in patients[cases["patient"]]],
            "lesion_id": [f"IL_{number}" for number in lesions[cases["lesion"]]],
            "diagnosis": cases["kind"],
            "benign_malignant": call,
            **{f"diagnosis_{level + 1}": levels[level] for level in range(3)},
            "diagnosis_confirm_type": proof.mask(cases["kind"] == "", ""),
            "concomitant_biopsy": (proof == PROOFS[0]).astype(str),
            "sex": cases["sex"],
            "anatom_site_general": cases["site"],
        }
    )


def write_export(
    out: Path, table: pd.DataFrame, looks: pd.DataFrame, *, name: str, rng: np.random.Generator
) -> None:
    """Write a table and the pictures: beside it where it is `metadata.csv`, else in `images/`.

    Args:
        out: The folder.
        table: With `isic_id` and, where pictures are clinical, `image_type`.
        looks: Row by row.
        name: Of the table's file.
        rng: Source of the noise.
    """
    path = out / name
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.parent if path.name == "metadata.csv" else out / "images"
    seen = looks.copy()
    if "image_type" in table:
        is_clinical = table["image_type"].str.startswith("clinical")
        for side in ("long_mm", "short_mm"):
            seen[side] = seen[side].mask(is_clinical, CLOSER * seen[side])
    write_pictures(seen, [folder / f"{key}.jpg" for key in table["isic_id"]], size=SIZE, rng=rng)
    table.to_csv(path, index=False, encoding="utf-8")
