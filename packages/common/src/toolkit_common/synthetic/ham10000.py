"""Synthetic HAM10000 as Kaggle, the Harvard Dataverse and copies of both give it.

Quirks: several images of a lesion, empty ages, unknown sexes and sites, the eighth column of the
Dataverse file alone, which goes by a name without suffix or with `.tab`; masks beside the images.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from toolkit_common.synthetic.cases import (
    Trait,
    draw_kinds,
    draw_people,
    hide,
    leave_traces,
)
from toolkit_common.synthetic.draw import draw_looks, draw_mask, write_pictures
from toolkit_common.synthetic.order import Order

SIZE = 128  # pixels; really 600 x 450
SHARES = {"nv": 0.4, "mel": 0.2, "bkl": 0.12, "bcc": 0.1, "akiec": 0.08, "vasc": 0.05, "df": 0.05}
MALIGNANT = ("bcc", "mel")
TRAITS = {
    "nv": Trait(),
    "mel": Trait(light=-4),
    "bkl": Trait(light=3, yellow=7),
    "bcc": Trait(light=10, red=6),
    "akiec": Trait(light=4, red=9, size=1.2),
    "vasc": Trait(light=-2, red=20, size=0.8),
    "df": Trait(yellow=3, size=0.6),
}
SITES = (
    "abdomen", "acral", "back", "chest", "ear", "face", "foot", "genital", "hand",
    "lower extremity", "neck", "scalp", "trunk", "upper extremity",
)  # fmt: skip
LESIONS = 0.75  # for each image


def make_ham10000(out: Path, order: Order) -> None:
    """Write the data set."""
    rng = np.random.default_rng(order.seed)
    table, looks = _draw(order.rows, rng)
    folder, name, separator, columns = _LAYOUTS[order.layout]
    half = len(table) // 2
    rank = table["image_id"].rank().to_numpy()
    folders = np.where(rank <= half, folder.format(1), folder.format(2))
    paths = [out / at / f"{key}.jpg" for at, key in zip(folders, table["image_id"], strict=True)]
    write_pictures(looks, paths, size=SIZE, rng=rng)
    if "dataset" in columns:
        _write_masks(out / "HAM10000_segmentations_lesion_tschandl", table["image_id"], looks)
    table[columns].to_csv(out / name, sep=separator, index=False)


def _draw(n: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw lesions, then images of them: the same look from another side."""
    lesions = max(1, round(LESIONS * n))
    kinds = draw_kinds(SHARES, lesions, rng)
    is_malignant = np.isin(kinds, MALIGNANT)
    people = draw_people(SITES, is_malignant, rng)
    looks = leave_traces(draw_looks(is_malignant, rng), people, kinds, sites=SITES, traits=TRAITS)
    table = _describe(people, kinds, rng)
    of_image = rng.permutation(np.r_[np.arange(lesions), rng.integers(0, lesions, n - lesions)])
    looks, table = (part.iloc[of_image].reset_index(drop=True) for part in (looks, table))
    looks["angle"] = rng.integers(0, 180, n)
    table.insert(1, "image_id", [f"ISIC_{24_306 + number:07d}" for number in rng.permutation(n)])
    return table, looks


def _describe(people: pd.DataFrame, kinds: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    n = len(people)
    kind = pd.Series(kinds)
    proof = pd.Series(rng.choice(["consensus", "follow_up", "histo"], n))
    proof = proof.mask(kind == "bkl", "confocal").mask(kind.isin(MALIGNANT), "histo")
    source = pd.Series(rng.choice(["rosendahl", "vidir_modern", "vienna_dias"], n))
    return pd.DataFrame(
        {
            "lesion_id": [f"HAM_{number:07d}" for number in rng.permutation(n)],
            "dx": kind,
            "dx_type": proof,
            "age": hide(people["age"], np.nan, rng),
            "sex": hide(people["sex"], "unknown", rng),
            "localization": hide(people["site"], "unknown", rng),
            "dataset": source.mask(proof == "follow_up", "vidir_molemax"),
        }
    )


def _write_masks(folder: Path, ids: "pd.Series[str]", looks: pd.DataFrame) -> None:
    folder.mkdir()
    for name, (_, look) in zip(ids, looks.iterrows(), strict=True):
        mask = (draw_mask(look, SIZE) > 0.5).astype(np.uint8) * 255
        Image.fromarray(mask).save(folder / f"{name}_segmentation.png")


_SEVEN = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
_PARTS = "HAM10000_images_part_{}"
_LAYOUTS = {  # folder of the images, name of the table, its separator, its columns
    "kaggle": (_PARTS, "HAM10000_metadata.csv", ",", _SEVEN),
    "flat": ("HAM10000_images", "HAM10000_metadata.csv", ",", _SEVEN),
    "dataverse": (_PARTS, "HAM10000_metadata", ",", [*_SEVEN, "dataset"]),
    "dataverse-tab": (_PARTS, "HAM10000_metadata.tab", "\t", [*_SEVEN, "dataset"]),
}
LAYOUTS = tuple(_LAYOUTS)
