"""Synthetic challenges of the ISIC: 2018 (task 3), 2019, 2020 and MILK10k.

Quirks: answers with a column a class, written 1.0 and 0.0; lesions, metadata and answers in tables
of their own; an unknown class and weights in the test of 2019, lesion ids that name the collection
and are missing in part; doubled images and benign lesions without diagnosis in 2020; two pictures
of each lesion and a network's scores in MILK10k; test sets without answers.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from toolkit_common.sources.lesions.milk10k import IMAGES, MONET
from toolkit_common.synthetic.cohort import Cohort, Kind, Order, Recipe, draw_cohort
from toolkit_common.synthetic.isic_exports import CLOSER, PROOFS, SITES
from toolkit_common.synthetic.pictures import write_pictures

SIZE = 128  # pixels
LOOKS = {
    "MEL": Kind(0.2, malignant=True, light=-4),
    "NV": Kind(0.3),
    "BCC": Kind(0.15, malignant=True, light=10, red=6),
    "AK": Kind(0.1, light=4, red=9, size=1.2),
    "BKL": Kind(0.12, light=3, yellow=7),
    "DF": Kind(0.07, yellow=3, size=0.6),
    "VASC": Kind(0.07, light=-2, red=20, size=0.8),
    "SCC": Kind(0.08, malignant=True, light=6, red=10),
    "UNK": Kind(0.08, light=-9, yellow=-9),
}
NAMES_2018 = {"MEL": "MEL", "NV": "NV", "BCC": "BCC", "AK": "AKIEC", "BKL": "BKL", "DF": "DF",
              "VASC": "VASC"}  # fmt: skip
NAMES_2020 = {"NV": "unknown", "DF": "nevus", "MEL": "melanoma", "BKL": "seborrheic keratosis"}
NAMES_MILK = {"AK": "AKIEC", "BCC": "BCC", "UNK": "BEN_OTH", "BKL": "BKL", "DF": "DF",
              "MEL": "MEL", "NV": "NV", "SCC": "SCCKA", "VASC": "VASC"}  # fmt: skip
ALL_MILK = ("AKIEC", "BCC", "BEN_OTH", "BKL", "DF", "INF", "MAL_OTH", "MEL", "NV", "SCCKA", "VASC")
PARTS_2018 = {"Training": 0.6, "Validation": 0.15, "Test": 0.25}
PARTS_2019 = {"Training": 0.7, "Test": 0.3}
LAYOUTS = {
    "isic-2018": ("challenge", "dataverse"),
    "isic-2019": ("challenge", "training"),
    "isic-2020": ("v2", "v1", "kaggle"),
    "milk10k": ("challenge", "archive"),
}


def make_isic_2018(out: Path, order: Order) -> None:
    """Write the three parts, or those that the Dataverse has: HAM10000 and the test."""
    cohort = draw_cohort(order, _recipe(NAMES_2018, lesions=0.75))
    table = pd.DataFrame({
        "lesion_id": cohort.name("HAM_", of="lesion"),
        "image_id": cohort.name("ISIC_", of="image"),
        "dx": cohort.cases["kind"].str.lower(),
        "dx_type": cohort.choose(("histo", "consensus"), of="lesion"),
        "age": cohort.blank(cohort.cases["age"], 0.02, of="lesion", word=np.nan),
        "sex": cohort.blank(cohort.cases["sex"], 0.02, of="lesion", word="unknown"),
        "localization": cohort.cases["site"],
        "dataset": cohort.choose(("rosendahl", "vidir_modern"), of="lesion"),
    })  # fmt: skip
    if order.layout == "dataverse":
        parts = _deal(cohort, {"Training": 0.7, "Test": 0.3})
        table[parts == "Training"].to_csv(out / "HAM10000_metadata", index=False)
        test = table[parts == "Test"]
        test.to_csv(out / "ISIC2018_Task3_Test_GroundTruth.csv", index=False)
        folders = {"Training": "HAM10000_images_part_1", "Test": "ISIC2018_Task3_Test_Images"}
    else:
        parts = _deal(cohort, PARTS_2018)
        names = pd.Series(table["image_id"].to_numpy(), name="image")
        for part in PARTS_2018:
            stem = f"ISIC2018_Task3_{part}_GroundTruth"
            rows = (parts == part).to_numpy()
            answers = _answers(cohort.cases["kind"][rows], list(NAMES_2018.values()))
            _write(out / stem / f"{stem}.csv", pd.concat([names[rows], answers], axis=1))
        proofs = cohort.choose(PROOFS, of="lesion").rename("diagnosis_confirm_type")
        rows = (parts == "Training").to_numpy()
        groupings = pd.concat([names, table["lesion_id"], proofs], axis=1)[rows]
        _write(out / "ISIC2018_Task3_Training_LesionGroupings.csv", groupings)
        folders = {part: f"ISIC2018_Task3_{part}_Input" for part in PARTS_2018}
    _draw(cohort, out, parts.map(folders) + "/" + table["image_id"])


def make_isic_2019(out: Path, order: Order) -> None:
    """Write training and test, or training alone; the unknown class is in the test alone."""
    cohort = draw_cohort(order, _recipe({name: name for name in LOOKS}, lesions=0.5))
    cases, names = cohort.cases, cohort.name("ISIC_", of="image").rename("image")
    parts = _deal(cohort, PARTS_2019).mask(cases["kind"] == "UNK", "Test")
    collection = cohort.choose(("HAM_", "BCN_", "MSK4_"), of="lesion")
    metadata = pd.DataFrame({
        "image": names,
        "age_approx": cohort.blank(cases["age"], 0.03, of="lesion", word=np.nan),
        "anatom_site_general": cohort.blank(cases["site"], 0.05, of="lesion"),
        "lesion_id": cohort.blank(collection + cohort.name("", of="lesion"), 0.08, of="lesion"),
        "sex": cohort.blank(cases["sex"], 0.03, of="lesion"),
    })  # fmt: skip
    answers = pd.concat([names, _answers(cases["kind"], list(LOOKS))], axis=1)
    weights = pd.DataFrame({"score_weight": cohort.happens(0.8).astype(float),
                            "validation_weight": cohort.happens(0.2).astype(float)})  # fmt: skip
    for part in ("Training",) if order.layout == "training" else PARTS_2019:
        rows = parts == part
        is_test = part == "Test"
        more = metadata.drop(columns="lesion_id") if is_test else metadata
        table = pd.concat([answers, weights], axis=1) if is_test else answers
        _write(out / f"ISIC_2019_{part}_Metadata.csv", more[rows])
        _write(out / f"ISIC_2019_{part}_GroundTruth.csv", table[rows])
        folder = f"ISIC_2019_{part}_Input/"
        _draw(cohort, out, folder + names, rows=rows)


def make_isic_2020(out: Path, order: Order) -> None:
    """Write the training part, with its list of doubled images, and the table of the test."""
    cohort = draw_cohort(order, _recipe(NAMES_2020, lesions=0.95, patients=0.3, crowding=0.5))
    cases = cohort.cases
    names = cohort.name("ISIC_", of="image")
    table = pd.DataFrame({
        "image_name": names,
        "patient_id": cohort.name("IP_", of="patient"),
        "lesion_id": cohort.name("IL_", of="lesion"),
        "sex": cohort.blank(cases["sex"], 0.02, of="patient"),
        "age_approx": cohort.blank(cases["age"], 0.02, of="patient", word=np.nan),
        "anatom_site_general_challenge": cohort.blank(cases["site"], 0.02, of="lesion"),
        "diagnosis": cases["kind"],
        "benign_malignant": cases["malignant"].map({True: "malignant", False: "benign"}),
        "target": cases["malignant"].astype(int),
    })  # fmt: skip
    if order.layout != "v2":
        table = table.drop(columns="lesion_id")
    name = {"v2": "ISIC_2020_Training_GroundTruth_v2.csv", "kaggle": "train.csv"}
    folder = "jpeg/train/" if order.layout == "kaggle" else "ISIC_2020_Training_JPEG/train/"
    _write(out / name.get(order.layout, "ISIC_2020_Training_GroundTruth.csv"), table)
    _draw(cohort, out, folder + names)
    doubled = pd.DataFrame({"image_name_1": names[:1], "image_name_2": names[1:2].to_numpy()})
    if order.layout != "kaggle":
        first, second = (out / f"{folder}{name}.jpg" for name in names[:2])
        second.write_bytes(first.read_bytes())
        _write(out / "ISIC_2020_Training_Duplicates.csv", doubled)
    test = pd.DataFrame({"image": ["ISIC_0052060"], "patient": ["IP_3579794"],
                         "age_approx": [70.0], "sex": ["male"],
                         "anatom_site_general": ["torso"]})  # fmt: skip
    _write(out / ("test.csv" if order.layout == "kaggle" else "ISIC_2020_Test_Metadata.csv"), test)


def make_milk10k(out: Path, order: Order) -> None:
    """Write lesions with two pictures each, half as many as rows, and the table of the test."""
    few = Order(max(5, order.rows // 2), order.seed)
    cohort = draw_cohort(few, _recipe(NAMES_MILK))
    lesions = cohort.name("IL_", of="lesion").rename("lesion_id")
    table = _milk_table(cohort, lesions)
    answers = pd.concat([lesions, _answers(cohort.cases["kind"], ALL_MILK)], axis=1)
    is_melanoma = table["lesion_id"].isin(lesions[cohort.cases["kind"] == "MEL"])
    supplement = table[["isic_id"]].assign(
        diagnosis_full="Benign", diagnosis_confirm_type="histopathology",
        invasion_thickness_interval=np.where(is_melanoma, "<= 1.0 mm", ""),
    )  # fmt: skip
    is_archive = order.layout == "archive"
    stem = out / "supplements" / "training_" if is_archive else out / "MILK10k_Training_"
    ends = ("input", "gt", "supp") if is_archive else ("Metadata", "GroundTruth", "Supplement")
    for end, part in zip(ends, (table, answers, supplement), strict=True):
        _write(Path(f"{stem}{end}.csv"), part)
    if not is_archive:
        _write(out / "MILK10k_Test_Metadata.csv", table.head(1).assign(isic_id="ISIC_9999999"))
    closer = cohort.cases.assign(**cohort.cases[["long_mm", "short_mm"]] * CLOSER)
    for kind, looks in zip(IMAGES["both"], (cohort.cases, closer), strict=True):
        own = table[table["image_type"] == kind]
        names = dict(zip(own["lesion_id"], own["isic_id"], strict=True))
        folder = out / "MILK10k_Training_Input"
        places = [out / "images" if is_archive else folder / lesion for lesion in lesions]
        paths = [place / f"{names[at]}.jpg" for place, at in zip(places, lesions, strict=True)]
        write_pictures(looks, paths, size=SIZE, rng=cohort.rng)


def _milk_table(cohort: Cohort, lesions: "pd.Series[str]") -> pd.DataFrame:
    """Return a row an image: what is known of the lesion, how it was taken, a network's scores."""
    cases = cohort.cases
    of_lesion = pd.DataFrame({
        "lesion_id": lesions,
        "age_approx": cohort.blank(cases["age"], 0.03, of="lesion", word=np.nan),
        "sex": cases["sex"],
        "skin_tone_class": 6 - cases["skin"],
        "site": cases["site"],
        "attribution": "MILK study team",
        "copyright_license": "CC-BY-NC",
        "image_manipulation": "altered",
    })  # fmt: skip
    tables = []
    for number, kind in enumerate(IMAGES["both"]):
        ids = [f"ISIC_{place:07d}" for place in 2 * np.arange(len(cases)) + number]
        scores = {column.name: cohort.rng.random(len(cases)).round(4) for column in MONET}
        tables.append(of_lesion.assign(image_type=kind, isic_id=ids, **scores))
    return pd.concat(tables).sort_values("isic_id").reset_index(drop=True)


def _recipe(
    names: Mapping[str, str], *, lesions: float = 1.0, patients: float = 0.0, crowding: float = 0.0
) -> Recipe:
    kinds = {name: LOOKS[look] for look, name in names.items()}
    return Recipe(kinds, SITES, lesions, patients or lesions, crowding)


def _deal(cohort: Cohort, shares: Mapping[str, float]) -> "pd.Series[str]":
    """Deal lesions to the parts, of each kind by the same shares, one at least to the first."""
    cases = cohort.cases
    lesions = cases.drop_duplicates("lesion").sort_values(["kind", "lesion"])
    # Steps of the golden ratio fall evenly, within a kind and over all of them.
    steps = (np.arange(len(lesions)) * 0.618_034) % 1
    dealt = np.array(list(shares))[np.digitize(steps, np.cumsum(list(shares.values()))[:-1])]
    dealt[~lesions["kind"].duplicated()] = next(iter(shares))
    return cases["lesion"].map(dict(zip(lesions["lesion"], dealt, strict=True)))


def _answers(kinds: "pd.Series[str]", names: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({name: (kinds == name).astype(float) for name in names})


def _write(path: Path, table: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)


def _draw(
    cohort: Cohort, out: Path, names: "pd.Series[str]", *, rows: "pd.Series[bool] | None" = None
) -> None:
    chosen = slice(None) if rows is None else rows
    paths = [out / f"{name}.jpg" for name in names[chosen]]
    write_pictures(cohort.cases[chosen], paths, size=SIZE, rng=cohort.rng)
