"""Synthetic exports of the ISIC archive: HIBA, BCN20000, and collections of few columns or many.

Quirks: two generations of names, quoted names with commas, names in UTF-8, empty cells, the finest
name of vascular lesions empty, proofs that tell the label; of HIBA
skin types in a file of their own or a column, histories that are mostly empty, clinical pictures
among dermoscopic ones; of BCN20000 rows without any diagnosis; of `isic` patients and lesions that
are known, unknown in part or not at all, and indeterminate rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from toolkit_common.sources.lesions.hiba import SHEET as HIBA
from toolkit_common.synthetic.cohort import Cohort, Kind, Order, Recipe, draw_cohort
from toolkit_common.synthetic.pictures import write_pictures

SIZE = 128  # pixels; really 640 x 480 and more
CLOSER = 0.6  # a clinical picture shows the lesion that much smaller
MELANOMA = "Malignant melanocytic proliferations (Melanoma)"
EPIDERMAL = "Benign epidermal proliferations"
FIBROUS = "Benign soft tissue proliferations - Fibro-histiocytic"
# Name in older exports -> diagnosis_2 and _3 of newer ones (_1 is the first word of _2), its look.
DIAGNOSES = {
    "nevus": ("Benign melanocytic proliferations", "Nevus", Kind()),
    "melanoma": (MELANOMA, "Melanoma, NOS", Kind(light=-5)),
    "melanoma metastasis": (MELANOMA, "Melanoma metastasis", Kind(light=-8, yellow=-4, size=0.8)),
    "basal cell carcinoma": ("Malignant adnexal epithelial proliferations - Follicular",
                             "Basal cell carcinoma", Kind(light=9, red=6)),
    "squamous cell carcinoma": ("Malignant epidermal proliferations",
                                "Squamous cell carcinoma, NOS", Kind(light=6, red=10, yellow=4)),
    "actinic keratosis": ("Indeterminate epidermal proliferations", "Solar or actinic keratosis",
                          Kind(light=4, red=9, size=1.2)),
    "seborrheic keratosis": (EPIDERMAL, "Seborrheic keratosis", Kind(light=3, yellow=7)),
    "solar lentigo": (EPIDERMAL, "Solar lentigo", Kind(light=6, yellow=4, size=1.3)),
    "lichenoid keratosis": (EPIDERMAL, "Lichen planus like keratosis", Kind(light=5, red=3)),
    "dermatofibroma": (FIBROUS, "Dermatofibroma", Kind(yellow=3, size=0.6)),
    "scar": (FIBROUS, "Scar", Kind(light=14, red=4)),
    "vascular lesion": ("Benign soft tissue proliferations - Vascular", "",
                        Kind(light=-2, red=20, size=0.8)),
    "": ("", "", Kind()),
}  # fmt: skip
SITES = ("anterior torso", "head/neck", "lateral torso", "lower extremity", "oral/genital",
         "palms/soles", "posterior torso", "upper extremity")  # fmt: skip
ROMAN = ("I", "II", "III", "IV", "V", "VI")
PROOFS = ("histopathology", "serial imaging showing no change", "single image expert consensus")
VIEWS = {"dermoscopic": 1270, "clinical: close-up": 260, "clinical: overview": 86}
LIGHTS = ("contact polarized", "contact non-polarized", "non-contact polarized")
BARCELONA = "Hospital Cl\u00ednic de Barcelona"

FIRST = ["isic_id", "attribution", "copyright_license"]  # then all others by name
ALWAYS = "age_approx anatom_site_general diagnosis_confirm_type image_type sex "
OLDER = ALWAYS + "benign_malignant diagnosis "
NEWER = ALWAYS + "diagnosis_1 diagnosis_2 diagnosis_3 "
OF_BCN20000 = NEWER + "anatom_site_special concomitant_biopsy lesion_id melanocytic"
OF_HIBA = "dermoscopic_type family_hx_mm lesion_id patient_id personal_hx_mm "
MEASURED = "clin_size_long_diam_mm lesion_id patient_id "


@dataclass(frozen=True)
class Export:
    """What one of the data sets is like.

    Attributes:
        recipe: Its cases.
        same: Column -> what stands in all of its rows.
        layouts: Layout -> name of the table, its columns.
    """

    recipe: Recipe
    same: Mapping[str, str]
    layouts: Mapping[str, tuple[str, str]]


def _kinds(shares: Mapping[str, float]) -> dict[str, Kind]:
    kinds = {}
    for name, share in shares.items():
        group, _, look = DIAGNOSES[name]
        kinds[name] = replace(look, share=share, malignant=group.startswith("Malignant"))
    return kinds


EXPORTS = {
    "bcn20000": Export(
        Recipe(
            kinds=_kinds({
                "nevus": 5647, "melanoma": 4003, "basal cell carcinoma": 3676,
                "seborrheic keratosis": 1268, "": 1156, "actinic keratosis": 1088,
                "melanoma metastasis": 633, "squamous cell carcinoma": 559, "scar": 314,
                "solar lentigo": 283, "dermatofibroma": 168, "vascular lesion": 151,
            }),
            sites=SITES,
            lesions=5440 / 18_946,
            patients=0.2,
            crowding=0.5,
        ),
        same={"attribution": BARCELONA, "copyright_license": "CC-BY-NC",
              "image_type": "dermoscopic"},
        layouts={
            "archive": ("images/metadata.csv", OF_BCN20000),
            "flat": ("metadata.csv", OF_BCN20000),
            "named": ("bcn20000_metadata_2026-05-07.csv", OF_BCN20000),
        },
    ),
    "hiba": Export(
        Recipe(
            kinds=_kinds(HIBA.lesion_counts),
            sites=SITES,
            lesions=1246 / 1616,
            patients=623 / 1616,
            crowding=1.0,
        ),
        same={"attribution": "Hospital Italiano de Buenos Aires", "copyright_license": "CC-BY",
              "pixels_x": "640", "pixels_y": "480"},
        layouts={
            "2023": ("images/metadata.csv", OLDER + OF_HIBA + "pixels_x pixels_y"),
            "2023-flat": ("metadata.csv", OLDER + OF_HIBA + "pixels_x pixels_y"),
            "newer": ("images/metadata.csv",
                      NEWER + OF_HIBA + "concomitant_biopsy fitzpatrick_skin_type"),
        },
    ),
    "isic": Export(
        Recipe(
            kinds=_kinds({
                "nevus": 45, "melanoma": 20, "basal cell carcinoma": 12, "seborrheic keratosis": 8,
                "actinic keratosis": 6, "squamous cell carcinoma": 5, "vascular lesion": 2,
                "dermatofibroma": 2,
            }),
            sites=SITES,
            lesions=0.8,
            patients=0.5,
            crowding=0.8,
        ),
        same={"image_type": "dermoscopic"},
        layouts={
            "patients": ("images/metadata.csv",
                         NEWER + MEASURED + "acquisition_day fitzpatrick_skin_type"),
            "lesions": ("metadata.csv", NEWER + "lesion_id"),
            "bare": ("isic_metadata_2026-05-07.csv", NEWER),
            "legacy": ("metadata.csv", OLDER + MEASURED),
        },
    ),
}  # fmt: skip


def make_export(export: Export, out: Path, order: Order) -> None:
    """Write an export; pictures lie beside a table called `metadata.csv`, else in `images/`."""
    cohort = draw_cohort(order, export.recipe)
    name, columns = export.layouts[order.layout]
    table = _table(cohort).assign(**export.same)
    if order.layout == "legacy":
        is_unsure = (table["diagnosis"] == "nevus") & cohort.happens(0.1)
        call = table["benign_malignant"].mask(is_unsure, "indeterminate/benign")
        table["benign_malignant"] = call
        table["patient_id"] = cohort.blank(table["patient_id"], 0.2, of="lesion")
    path = out / name
    folder = path.parent if path.name == "metadata.csv" else out / "images"
    seen = cohort.cases.copy()
    seen.loc[table["image_type"].str.startswith("clinical"), ["long_mm", "short_mm"]] *= CLOSER
    paths = [folder / f"{key}.jpg" for key in table["isic_id"]]
    write_pictures(seen, paths, size=SIZE, rng=cohort.rng)
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = [*FIRST, *sorted(columns.split())]
    table[shown].to_csv(path, index=False, encoding="utf-8")
    if "pixels_x" in shown:  # as HIBA was exported in 2023
        skin = table["fitzpatrick_skin_type"].rename("skin_type")
        pd.concat([table["isic_id"], skin], axis=1).to_csv(
            out / "SupplementaryData.csv", index=False
        )


def _table(cohort: Cohort) -> pd.DataFrame:
    """Return every column that any export has, as words."""
    cases = cohort.cases
    groups, finest = (cases["kind"].map(lambda kind, at=at: DIAGNOSES[kind][at]) for at in (0, 1))
    call = pd.Series(np.where(cases["malignant"], "malignant", "benign"))
    proof = cohort.choose(PROOFS).mask(cases["malignant"], PROOFS[0])
    is_unnamed = cases["kind"] == ""
    view = cohort.choose(VIEWS)
    personal, family = (cohort.happens(share, of="patient").astype(str) for share in (0.5, 0.1))
    acral = (cases["site"] == "palms/soles").map({True: "acral palms or soles", False: ""})
    return pd.DataFrame(
        {
            "isic_id": cohort.name("ISIC_", of="image"),
            "patient_id": cohort.name("IP_", of="patient"),
            "lesion_id": cohort.name("IL_", of="lesion"),
            "attribution": cohort.choose((BARCELONA, "ViDIR Group, Vienna")),
            "copyright_license": cohort.choose(("CC-0", "CC-BY", "CC-BY-NC")),
            "acquisition_day": cohort.rng.integers(1, 900, len(cases)),
            "image_type": view,
            "dermoscopic_type": cohort.choose(LIGHTS).where(view == "dermoscopic", ""),
            "diagnosis": cases["kind"],
            "benign_malignant": call.mask(is_unnamed, ""),
            "diagnosis_1": groups.str.partition(" ")[0],
            "diagnosis_2": groups,
            "diagnosis_3": finest,
            "diagnosis_confirm_type": proof.mask(is_unnamed, ""),
            "concomitant_biopsy": (proof == PROOFS[0]).astype(str),
            "melanocytic": cases["kind"].str.contains("nevus|melanoma").astype(str),
            "age_approx": cohort.blank(cases["age"].astype(int).astype(str), 0.03, of="patient"),
            "sex": cohort.blank(cases["sex"], 0.02, of="patient"),
            "personal_hx_mm": cohort.blank(personal, 0.54, of="patient"),
            "family_hx_mm": cohort.blank(family, 0.62, of="patient"),
            "fitzpatrick_skin_type": cohort.blank(
                cases["skin"].map(dict(enumerate(ROMAN, 1))), 0.07, of="patient"
            ),
            "anatom_site_general": cohort.blank(cases["site"], 0.05, of="lesion"),
            "anatom_site_special": acral,
            "clin_size_long_diam_mm": cohort.blank(
                cases["long_mm"].round(1).astype(str), 0.3, of="lesion"
            ),
        }
    )
