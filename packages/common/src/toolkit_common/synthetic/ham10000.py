"""Synthetic HAM10000 as Kaggle, the Harvard Dataverse and copies of both give it.

Quirks: several images of a lesion, empty ages, unknown sexes and sites, the eighth column of the
Dataverse file alone, which goes by a name without suffix or with `.tab`; masks beside the images.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from toolkit_common.synthetic.cohort import Cohort, Kind, Order, Recipe, draw_cohort
from toolkit_common.synthetic.pictures import write_masks, write_pictures

SIZE = 128  # pixels; really 600 x 450
HIDDEN = 0.02  # share of values that are missing
RECIPE = Recipe(
    kinds={
        "nv": Kind(0.4),
        "mel": Kind(0.2, malignant=True, light=-4),
        "bkl": Kind(0.12, light=3, yellow=7),
        "bcc": Kind(0.1, malignant=True, light=10, red=6),
        "akiec": Kind(0.08, light=4, red=9, size=1.2),
        "vasc": Kind(0.05, light=-2, red=20, size=0.8),
        "df": Kind(0.05, yellow=3, size=0.6),
    },
    sites=("abdomen", "acral", "back", "chest", "ear", "face", "foot", "genital", "hand",
           "lower extremity", "neck", "scalp", "trunk", "upper extremity"),
    lesions=0.75,
    patients=0.75,
)  # fmt: skip
PARTS = "HAM10000_images_part_{}"
LAYOUTS = {  # folder of the images, name of the table; that of the Dataverse has the source
    "kaggle": (PARTS, "HAM10000_metadata.csv"),
    "flat": ("HAM10000_images", "HAM10000_metadata.csv"),
    "dataverse": (PARTS, "HAM10000_metadata"),
    "dataverse-tab": (PARTS, "HAM10000_metadata.tab"),
}


def make_ham10000(out: Path, order: Order) -> None:
    """Write the data set."""
    cohort = draw_cohort(order, RECIPE)
    table = _table(cohort)
    ids = table["image_id"]
    folder, name = LAYOUTS[order.layout]
    parts = np.where(ids.rank() <= len(ids) // 2, 1, 2)
    paths = [out / folder.format(part) / f"{key}.jpg" for part, key in zip(parts, ids, strict=True)]
    write_pictures(cohort.cases, paths, size=SIZE, rng=cohort.rng)
    if order.layout.startswith("dataverse"):
        masks = out / "HAM10000_segmentations_lesion_tschandl"
        paths = [masks / f"{key}_segmentation.png" for key in ids]
        write_masks(cohort.cases, paths, size=SIZE, least=0.5)
    else:
        table = table.drop(columns="dataset")
    table.to_csv(out / name, sep="\t" if name.endswith(".tab") else ",", index=False)


def _table(cohort: Cohort) -> pd.DataFrame:
    cases = cohort.cases
    proof = cohort.choose(("consensus", "follow_up", "histo"), of="lesion")
    proof = proof.mask(cases["kind"] == "bkl", "confocal").mask(cases["malignant"], "histo")
    source = cohort.choose(("rosendahl", "vidir_modern", "vienna_dias"), of="lesion")
    return pd.DataFrame(
        {
            "lesion_id": cohort.name("HAM_", of="lesion"),
            "image_id": cohort.name("ISIC_", of="image"),
            "dx": cases["kind"],
            "dx_type": proof,
            "age": cohort.blank(cases["age"], HIDDEN, of="lesion", word=np.nan),
            "sex": cohort.blank(cases["sex"], HIDDEN, of="lesion", word="unknown"),
            "localization": cohort.blank(cases["site"], HIDDEN, of="lesion", word="unknown"),
            "dataset": source.mask(proof == "follow_up", "vidir_molemax"),
        }
    )
