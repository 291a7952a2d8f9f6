"""Synthetic SLICE-3D in the layouts of Kaggle and of the ISIC archive, quirks included.

Quirks: empty ages, sexes and sites, `Unknown` locations, ages that differ between visits,
`lesion_id` for lesions of interest alone, columns of mixed type, indeterminate lesions with target
0, a test set without labels whose `tbp_lv_stdLExt` repeats `tbp_lv_Lext`, JPEG bytes in HDF5.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit_common.extras import require
from toolkit_common.sources.lesions.slice_3d import KINDS
from toolkit_common.synthetic.cohort import LOOKS, Cohort, Kind, Order, Recipe, draw_cohort
from toolkit_common.synthetic.pictures import draw_image, encode_jpeg

PATIENTS = 1042  # of the real set, at most
MALIGNANT_SHARE = 0.05  # of the real set 0.001: few rows would hold none
BENIGN = "Benign"
# Location -> simple location, site. docs/datasets.md gives their numbers (21, 8 and 5 with Unknown)
# and some of the names; the other names are a guess.
PLACES = {
    **dict.fromkeys(("Torso Back Top Third", "Torso Back Middle Third", "Torso Back Bottom Third",
                     "Torso Back"), ("Torso Back", "posterior torso")),
    **dict.fromkeys(("Torso Front Top Half", "Torso Front Bottom Half", "Torso Front"),
                    ("Torso Front", "anterior torso")),
    **{f"{side} {limb}{part}": (f"{side} {limb}", site)
       for limb, site in (("Leg", "lower extremity"), ("Arm", "upper extremity"))
       for side in ("Left", "Right") for part in (" - Upper", " - Lower", "")},
    "Head & Neck": ("Head & Neck", "head/neck"),
    "Unknown": ("Unknown", ""),
}  # fmt: skip
RECIPE = Recipe(
    kinds={
        BENIGN: Kind((1 - MALIGNANT_SHARE) / MALIGNANT_SHARE * sum(KINDS.values())),
        **{name: Kind(count, malignant=True) for name, count in KINDS.items()},
    },
    sites=tuple(PLACES),
    patients=1 / 8,
    crowding=0.6,
)
# The set has seven; their names are a guess, but for the test set's (docs/datasets.md).
SOURCES = ("Memorial Sloan Kettering Cancer Center", "Hospital Cl\u00ednic de Barcelona",
           "University Hospital of Basel", "The University of Queensland", "ACEMID MIA",
           "Medical University of Vienna", "University of Athens")  # fmt: skip
LICENCES = {"CC-BY": 188_812, "CC-BY-NC": 183_582, "CC-0": 28_665}  # images, docs/datasets.md
HIDDEN = ["lesion_id", "iddx_full", "iddx_1", "iddx_2", "iddx_3", "iddx_4", "iddx_5",
          "mel_mitotic_index", "mel_thick_mm", "tbp_lv_dnn_lesion_confidence"]  # fmt: skip
ARCHIVES = {"isic": "ISIC_2024_Training", "permissive": "ISIC_2024_Permissive_Training"}
LAYOUTS = ("kaggle", "kaggle-folder", *ARCHIVES)


def make_slice_3d(out: Path, order: Order) -> None:
    """Write the data set; `order.pool` distinct pictures serve more rows than that."""
    few = min(RECIPE.patients, PATIENTS / order.rows)
    cohort = draw_cohort(order, replace(RECIPE, patients=few))
    picked = _share_looks(cohort, order.pool)
    sizes = cohort.rng.integers(61, 240, order.rows)
    drawn = {
        row: encode_jpeg(draw_image(cohort.cases.loc[row], int(sizes[row]), cohort.rng))
        for row in np.unique(picked)
    }
    pictures = [drawn[row] for row in picked]
    table = _table(cohort, permissive=order.layout == "permissive")
    if order.layout in ARCHIVES:
        _write_archive(out / ARCHIVES[order.layout], table, pictures)
        return
    table.to_csv(out / "train-metadata.csv", index=False)
    if order.layout == "kaggle-folder":
        _write_files(out / "train-image" / "image", table["isic_id"], pictures)
    else:
        _write_hdf5(out / "train-image.hdf5", table["isic_id"], pictures)
        _write_test(out, table, pictures)


def _share_looks(cohort: Cohort, pool: int) -> np.ndarray:
    """Give rows the looks of at most `pool` rows that are as malignant; return which `(n,)`."""
    cases = cohort.cases
    picked = np.arange(len(cases))
    if pool < len(cases):
        for flag in (False, True):
            rows = np.flatnonzero(cases["malignant"] == flag)
            # Half of the pool each: with one row in twenty malignant, few of those would be drawn.
            picked[rows] = cohort.rng.choice(rows[: pool // 2], len(rows))
        cases[LOOKS] = cases[LOOKS].to_numpy()[picked]
    return picked


def _table(cohort: Cohort, *, permissive: bool) -> pd.DataFrame:
    cases, rng = cohort.cases, cohort.rng
    age = (cases["age"] + 5 * cohort.happens(0.01)).clip(5, 85)  # some came again years later
    places = pd.DataFrame([PLACES[place] for place in cases["site"]], columns=["simple", "general"])
    head = {
        "isic_id": cohort.name("ISIC_", of="image"),
        "target": cases["malignant"].astype(int),
        "patient_id": cohort.name("IP_", of="patient"),
        "age_approx": cohort.blank(age, 0.08, of="patient", word=np.nan),
        "sex": cohort.blank(cases["sex"], 0.09, of="patient"),
        "anatom_site_general": places["general"],
        "clin_size_long_diam_mm": cases["long_mm"].round(2),
        "image_type": "TBP tile: close-up",
        "tbp_tile_type": cohort.choose({"3D: XP": 0.7, "3D: white": 0.3}),
    }
    measured = _measure(cases, rng)
    measured |= {"location": cases["site"], "location_simple": places["simple"]}
    # The permissive part is drawn as one: all of the rows can be shared.
    licences = {name: count for name, count in LICENCES.items()
                if not (permissive and name == "CC-BY-NC")}  # fmt: skip
    tail = {
        "attribution": cohort.choose(SOURCES),
        "copyright_license": cohort.choose(licences),
        **_diagnose(cohort),
        "tbp_lv_dnn_lesion_confidence": rng.uniform(20, 100, len(cases)),
    }
    middle = {f"tbp_lv_{name}": measured[name] for name in sorted(measured)}
    return pd.DataFrame(head | middle | tail)


def _diagnose(cohort: Cohort) -> dict[str, Any]:
    """Return the columns that the test file lacks."""
    is_bad, rng = cohort.cases["malignant"], cohort.rng
    kind = cohort.cases["kind"].where(is_bad, "")
    is_invasive = kind == "Melanoma Invasive"
    unsure = cohort.choose({BENIGN: 0.998, "Indeterminate": 0.002})
    general = unsure.mask(is_bad, "Malignant")
    finest = pd.Series(np.where(is_bad, "Nodular, NOS", "")).mask(is_invasive, "1")
    mitoses = cohort.choose(("0/mm^2", "<1/mm^2", "2"))
    thick = pd.Series(rng.uniform(0.2, 2, len(kind)).round(2))
    return {
        "lesion_id": cohort.name("IL_", of="lesion").where(is_bad | cohort.happens(0.05), ""),
        "iddx_full": general.where(~is_bad, general + "::" + kind),
        "iddx_1": general,
        "iddx_2": np.where(is_bad, "Malignant epidermal or melanocytic proliferations", ""),
        "iddx_3": kind,
        "iddx_4": np.where(is_invasive, "Melanoma Invasive, Superficial spreading", ""),
        "iddx_5": finest,
        "mel_mitotic_index": mitoses.where(is_invasive, ""),
        "mel_thick_mm": thick.where(is_invasive),
    }


def _measure(cases: pd.DataFrame, rng: np.random.Generator) -> dict[str, Any]:
    """Measure colours and shapes as the camera's software does, up to a little noise."""
    n = len(cases)
    long_mm, short_mm, uneven = cases["long_mm"], cases["short_mm"], cases["asymmetry"]
    area = np.pi / 4 * long_mm * short_mm
    perimeter = np.pi * np.hypot(long_mm, short_mm) / np.sqrt(2) * (1 + cases["border"])
    delta = {name: cases[f"{name}1"] - cases[f"{name}0"] for name in "Lab"}
    contrast = np.hypot(delta["L"], delta["b"])
    measured = {
        "areaMM2": area,
        "perimeterMM": perimeter,
        "area_perim_ratio": perimeter**2 / area,
        "minorAxisMM": short_mm,
        "eccentricity": np.sqrt(1 - (short_mm / long_mm) ** 2),
        "norm_border": 10 * cases["border"],
        "symm_2axis": uneven,
        "symm_2axis_angle": cases["angle"],
        "nevi_confidence": 100 * 10 ** -np.abs(rng.normal(3 * cases["malignant"], 2)),
        "color_std_mean": 4 * uneven + rng.uniform(0, 0.5, n),
        "norm_color": 8 * uneven + rng.uniform(0, 1, n),
        "radial_color_std_max": 3 * uneven,
        "stdL": 1.2 + uneven + rng.uniform(0, 0.3, n),
        "stdLExt": 1.2 + rng.uniform(0, 0.5, n),
        "x": rng.normal(0, 200, n),
        "y": rng.uniform(200, 1700, n),
        "z": rng.normal(0, 80, n),
        **{f"delta{name.upper()}": change for name, change in delta.items()},
        "deltaLB": contrast,
        "deltaLBnorm": contrast / cases["L1"] * 10,
    }
    for suffix, at in (("", "1"), ("ext", "0")):
        light, a, b = (cases[f"{name}{at}"] for name in "Lab")
        colour = {"L": light, "A": a, "B": b, "C": np.hypot(a, b),
                  "H": np.rad2deg(np.arctan2(b, a))}  # fmt: skip
        measured |= {f"{name}{suffix}": values for name, values in colour.items()}
    return measured


def _write_test(out: Path, table: pd.DataFrame, pictures: list[bytes]) -> None:
    few = table.head(3).drop(columns=["target", *HIDDEN]).copy()
    few["isic_id"] = [f"ISIC_{number:07d}" for number in (15_657, 15_658, 15_659)]
    few.loc[few.index[1:], "tbp_lv_stdLExt"] = few["tbp_lv_Lext"].iloc[1:]
    few["attribution"] = "FNQH Cairns"
    few.to_csv(out / "test-metadata.csv", index=False)
    # Kaggle's example of a submission; that it says 0.3 of every image is a guess.
    submission = few[["isic_id"]].assign(target=0.3)
    submission.to_csv(out / "sample_submission.csv", index=False)
    _write_hdf5(out / "test-image.hdf5", few["isic_id"], pictures[:3])


def _write_archive(stem: Path, table: pd.DataFrame, pictures: list[bytes]) -> None:
    folder = Path(f"{stem}_Input")
    _write_files(folder, table["isic_id"], pictures)
    table.drop(columns=["target", *HIDDEN]).to_csv(folder / "metadata.csv", index=False)
    truth = pd.DataFrame({"isic_id": table["isic_id"], "malignant": table["target"].astype(float)})
    truth.to_csv(f"{stem}_GroundTruth.csv", index=False)
    table[["isic_id", *HIDDEN]].to_csv(f"{stem}_Supplement.csv", index=False)


def _write_files(folder: Path, ids: "pd.Series[str]", pictures: list[bytes]) -> None:
    folder.mkdir(parents=True)
    for name, picture in zip(ids, pictures, strict=True):
        (folder / f"{name}.jpg").write_bytes(picture)


def _write_hdf5(path: Path, ids: "pd.Series[str]", pictures: list[bytes]) -> None:
    h5py = require("h5py", extra="lesions", purpose=f"writing {path.name}")
    with h5py.File(path, "w", libver="latest") as file:
        for name, picture in zip(ids, pictures, strict=True):
            # Opaque: as text h5py would cut a JPEG at its first zero byte.
            file[name] = np.void(picture)
