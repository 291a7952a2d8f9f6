"""Synthetic SLICE-3D in the layouts of Kaggle and of the ISIC archive, quirks included.

Quirks: empty ages, sexes and sites, `Unknown` locations, ages that differ between visits,
`lesion_id` for lesions of interest alone, columns of mixed type, indeterminate lesions with target
0, a test set without labels whose `tbp_lv_stdLExt` repeats `tbp_lv_Lext`, JPEG bytes in HDF5.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit_common.sources.lesions.slice_3d import KINDS
from toolkit_common.synthetic.draw import draw_image, draw_looks, encode_jpeg
from toolkit_common.synthetic.order import Order

PATIENTS = 1042  # of the real set, at most
MALIGNANT_SHARE = 0.05  # of the real set 0.001: few rows would hold none
AGES = np.arange(5, 90, 5.0)  # the 17 of the set
# Site -> simple location -> locations. docs/datasets.md gives their numbers (5, 8 and 21 with
# Unknown) and some of the names; the other names are a guess.
SITES: dict[str, dict[str, tuple[str, ...]]] = {
    "posterior torso": {
        "Torso Back": ("Torso Back Top Third", "Torso Back Middle Third",
                       "Torso Back Bottom Third", "Torso Back"),
    },
    "lower extremity": {
        f"{side} Leg": (f"{side} Leg - Upper", f"{side} Leg - Lower", f"{side} Leg")
        for side in ("Left", "Right")
    },
    "anterior torso": {
        "Torso Front": ("Torso Front Top Half", "Torso Front Bottom Half", "Torso Front"),
    },
    "upper extremity": {
        f"{side} Arm": (f"{side} Arm - Upper", f"{side} Arm - Lower", f"{side} Arm")
        for side in ("Left", "Right")
    },
    "head/neck": {"Head & Neck": ("Head & Neck",)},
    "": {"Unknown": ("Unknown",)},
}  # fmt: skip
SITE_SHARES = (0.32, 0.26, 0.22, 0.16, 0.03, 0.01)
# The set has seven; their names are a guess, but for the test set's (docs/datasets.md).
SOURCES = (
    "Memorial Sloan Kettering Cancer Center",
    "Department of Dermatology, Hospital Cl\u00ednic de Barcelona",
    "University Hospital of Basel",
    "Frazer Institute, The University of Queensland, Dermatology Research Centre",
    "ACEMID MIA",
    "ViDIR Group, Department of Dermatology, Medical University of Vienna",
    "Department of Dermatology, University of Athens",
)
TEST_SOURCE = "FNQH Cairns"
LICENCES = {"CC-BY": 188_812, "CC-BY-NC": 183_582, "CC-0": 28_665}  # images, docs/datasets.md
HIDDEN = ("lesion_id", "iddx_full", "iddx_1", "iddx_2", "iddx_3", "iddx_4", "iddx_5",
          "mel_mitotic_index", "mel_thick_mm", "tbp_lv_dnn_lesion_confidence")  # fmt: skip

MEASURED = (
    "A", "Aext", "B", "Bext", "C", "Cext", "H", "Hext", "L", "Lext", "areaMM2",
    "area_perim_ratio", "color_std_mean", "deltaA", "deltaB", "deltaL", "deltaLB", "deltaLBnorm",
    "eccentricity", "location", "location_simple", "minorAxisMM", "nevi_confidence",
    "norm_border", "norm_color", "perimeterMM", "radial_color_std_max", "stdL", "stdLExt",
    "symm_2axis", "symm_2axis_angle", "x", "y", "z",
)  # fmt: skip


def make_slice_3d(out: Path, order: Order) -> None:
    """Write the data set; `order.pool` distinct pictures serve more rows than that."""
    rng = np.random.default_rng(order.seed)
    is_malignant = rng.random(order.rows) < MALIGNANT_SHARE
    is_malignant[: min(3, order.rows // 2)] = True
    flags, picked = is_malignant, np.arange(order.rows)
    if order.pool < order.rows:
        flags = np.arange(order.pool) % 2 == 0
        picked = rng.choice(np.flatnonzero(~flags), order.rows)
        picked[is_malignant] = rng.choice(np.flatnonzero(flags), is_malignant.sum())
    looks = draw_looks(flags, rng)
    sizes = rng.integers(61, 240, len(looks))
    pictures = [
        encode_jpeg(draw_image(look, int(size), rng))
        for (_, look), size in zip(looks.iterrows(), sizes, strict=True)
    ]
    # The permissive part is drawn as one: all of the rows that are asked for can be shared.
    licences = [name for name in LICENCES if order.layout != "permissive" or name != "CC-BY-NC"]
    table = _table(looks.iloc[picked].reset_index(drop=True), licences, rng)
    _WRITERS[order.layout](out, table, [pictures[place] for place in picked])


def _table(looks: pd.DataFrame, licences: list[str], rng: np.random.Generator) -> pd.DataFrame:
    n = len(looks)
    num_patients = int(np.clip(n // 8, 5, PATIENTS))
    shares = np.arange(1, num_patients + 1) ** -0.6  # of 1,042 the first has 2.4 %, as in the set
    patient = rng.choice(num_patients, n, p=shares / shares.sum()) + 1
    patient[: min(n, 8)] = np.arange(1, min(n, 8) + 1)
    age_of = (3 + patient * 7) % len(AGES)
    is_later = rng.random(n) < 0.01  # another visit
    age = AGES[np.minimum(age_of + is_later, len(AGES) - 1)]
    sex = np.where(patient % 11 == 0, "", np.where(patient % 3 == 0, "female", "male"))
    site = rng.choice(list(SITES), n, p=SITE_SHARES)
    at = rng.integers(0, 24, n)  # a multiple of how many simple locations and locations there are
    simple = [list(SITES[name])[one % len(SITES[name])] for name, one in zip(site, at, strict=True)]
    is_bad = looks["malignant"].to_numpy()
    kind = np.where(is_bad, rng.choice(list(KINDS), n, p=_shares(KINDS)), "")
    unsure = ~is_bad & (rng.random(n) < 0.002)
    known = is_bad | (rng.random(n) < 0.05)
    general = np.where(is_bad, "Malignant", np.where(unsure, "Indeterminate", "Benign"))
    head = {
        "isic_id": [f"ISIC_{number:07d}" for number in rng.permutation(n) + 15_670],
        "target": is_bad.astype(int),
        "patient_id": [f"IP_{number:07d}" for number in 1_000_000 + patient],
        "age_approx": np.where(patient % 13 == 0, np.nan, age),
        "sex": sex,
        "anatom_site_general": site,
        "clin_size_long_diam_mm": looks["long_mm"].round(2),
        "image_type": "TBP tile: close-up",
        "tbp_tile_type": rng.choice(["3D: XP", "3D: white"], n, p=[0.7, 0.3]),
    }
    tail = _after_the_diagnosis(licences, kind, general, known, rng)
    places = {
        "tbp_lv_location": [
            SITES[name][half][one // 2 % len(SITES[name][half])]
            for name, half, one in zip(site, simple, at, strict=True)
        ],
        "tbp_lv_location_simple": simple,
    }
    measured = _measure(looks, rng) | places
    middle = {f"tbp_lv_{name}": measured[f"tbp_lv_{name}"] for name in MEASURED}
    return pd.DataFrame(head | middle | tail)


def _after_the_diagnosis(
    licences: list[str],
    kind: np.ndarray,
    general: np.ndarray,
    known: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Return the columns that the test file lacks."""
    n, is_bad, invasive = len(kind), kind != "", kind == "Melanoma Invasive"
    return {
        "attribution": rng.choice(SOURCES, n),
        "copyright_license": rng.choice(
            licences, n, p=_shares({name: LICENCES[name] for name in licences})
        ),
        "lesion_id": np.where(known, [f"IL_{number:07d}" for number in range(n)], ""),
        "iddx_full": np.where(is_bad, general + "::" + kind, general),
        "iddx_1": general,
        "iddx_2": np.where(is_bad, "Malignant epidermal or melanocytic proliferations", ""),
        "iddx_3": kind,
        "iddx_4": np.where(invasive, "Melanoma Invasive, Superficial spreading", ""),
        "iddx_5": np.where(invasive, "1", np.where(is_bad, "Nodular, NOS", "")),
        "mel_mitotic_index": np.where(invasive, rng.choice(["0/mm^2", "<1/mm^2", "2"], n), ""),
        "mel_thick_mm": np.where(invasive, rng.uniform(0.2, 2, n).round(2), np.nan),
        "tbp_lv_dnn_lesion_confidence": rng.uniform(20, 100, n),
    }


def _shares(counts: Mapping[str, int]) -> np.ndarray:
    numbers = np.array(list(counts.values()), float)
    shares: np.ndarray = numbers / numbers.sum()
    return shares


def _measure(looks: pd.DataFrame, rng: np.random.Generator) -> dict[str, object]:
    """Measure colours and shapes as the camera's software does, up to a little noise."""
    n = len(looks)
    long_mm, short_mm = looks["long_mm"], looks["short_mm"]
    area = np.pi / 4 * long_mm * short_mm
    perimeter = np.pi * np.hypot(long_mm, short_mm) / np.sqrt(2) * (1 + looks["border"])
    found: dict[str, object] = {
        "areaMM2": area,
        "perimeterMM": perimeter,
        "area_perim_ratio": perimeter**2 / area,
        "minorAxisMM": short_mm,
        "eccentricity": np.sqrt(1 - (short_mm / long_mm) ** 2),
        "norm_border": 10 * looks["border"],
        "symm_2axis": looks["asymmetry"],
        "symm_2axis_angle": looks["angle"],
        "nevi_confidence": 100 * 10 ** -np.abs(rng.normal(3 * looks["malignant"], 2)),
        "color_std_mean": 4 * looks["asymmetry"] + rng.uniform(0, 0.5, n),
        "norm_color": 8 * looks["asymmetry"] + rng.uniform(0, 1, n),
        "radial_color_std_max": 3 * looks["asymmetry"],
        "stdL": 1.2 + looks["asymmetry"] + rng.uniform(0, 0.3, n),
        "stdLExt": 1.2 + rng.uniform(0, 0.5, n),
        "x": rng.normal(0, 200, n), "y": rng.uniform(200, 1700, n), "z": rng.normal(0, 80, n),
    }  # fmt: skip
    for suffix, at in (("", "1"), ("ext", "0")):
        a, b = looks[f"a{at}"], looks[f"b{at}"]
        found |= {f"L{suffix}": looks[f"L{at}"], f"A{suffix}": a, f"B{suffix}": b,
                  f"C{suffix}": np.hypot(a, b),
                  f"H{suffix}": np.rad2deg(np.arctan2(b, a))}  # fmt: skip
    for name, column in (("L", "L"), ("A", "a"), ("B", "b")):
        found[f"delta{name}"] = looks[f"{column}1"] - looks[f"{column}0"]
    contrast = np.hypot(looks["L1"] - looks["L0"], looks["b1"] - looks["b0"])
    found |= {"deltaLB": contrast, "deltaLBnorm": contrast / looks["L1"] * 10}
    return {f"tbp_lv_{name}": values for name, values in found.items()}


def _write_test(out: Path, table: pd.DataFrame, pictures: list[bytes]) -> None:
    few = table.head(3).drop(columns=["target", *HIDDEN]).copy()
    few["isic_id"] = [f"ISIC_{number:07d}" for number in (15_657, 15_658, 15_659)][: len(few)]
    few.loc[few.index[1:], "tbp_lv_stdLExt"] = few["tbp_lv_Lext"].iloc[1:]
    few["attribution"] = TEST_SOURCE
    few.to_csv(out / "test-metadata.csv", index=False)
    # Kaggle's example of a submission; that it says 0.3 of every image is a guess.
    submission = few[["isic_id"]].assign(target=0.3)
    submission.to_csv(out / "sample_submission.csv", index=False)
    _write_hdf5(out / "test-image.hdf5", few["isic_id"], pictures)


def _write_kaggle(out: Path, table: pd.DataFrame, pictures: list[bytes]) -> None:
    table.to_csv(out / "train-metadata.csv", index=False)
    _write_hdf5(out / "train-image.hdf5", table["isic_id"], pictures)
    _write_test(out, table, pictures)


def _write_kaggle_folder(out: Path, table: pd.DataFrame, pictures: list[bytes]) -> None:
    table.to_csv(out / "train-metadata.csv", index=False)
    _write_files(out / "train-image" / "image", table["isic_id"], pictures)


def _write_isic(out: Path, table: pd.DataFrame, pictures: list[bytes]) -> None:
    _write_archive(out, table, pictures, stem="ISIC_2024_Training")


def _write_permissive(out: Path, table: pd.DataFrame, pictures: list[bytes]) -> None:
    _write_archive(out, table, pictures, stem="ISIC_2024_Permissive_Training")


def _write_archive(out: Path, table: pd.DataFrame, pictures: list[bytes], *, stem: str) -> None:
    folder = out / f"{stem}_Input"
    _write_files(folder, table["isic_id"], pictures)
    table.drop(columns=["target", *HIDDEN]).to_csv(folder / "metadata.csv", index=False)
    truth = pd.DataFrame({"isic_id": table["isic_id"], "malignant": table["target"].astype(float)})
    truth.to_csv(out / f"{stem}_GroundTruth.csv", index=False)
    table[["isic_id", *HIDDEN]].to_csv(out / f"{stem}_Supplement.csv", index=False)


def _write_files(folder: Path, ids: "pd.Series[str]", pictures: list[bytes]) -> None:
    folder.mkdir(parents=True)
    for name, picture in zip(ids, pictures, strict=True):
        (folder / f"{name}.jpg").write_bytes(picture)


def _write_hdf5(path: Path, ids: "pd.Series[str]", pictures: list[bytes]) -> None:
    import h5py

    with h5py.File(path, "w", libver="latest") as file:
        for name, picture in zip(ids, pictures, strict=False):  # the test set has three
            file[name] = np.void(picture)


_WRITERS = {
    "kaggle": _write_kaggle,
    "kaggle-folder": _write_kaggle_folder,
    "isic": _write_isic,
    "permissive": _write_permissive,
}
LAYOUTS = tuple(_WRITERS)
