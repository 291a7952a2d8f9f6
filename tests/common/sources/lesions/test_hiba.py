"""HIBA: both generations of exports say the same; releases, skin types, unknown names."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from helpers.audited import run_audit
from helpers.exports import write_export
from helpers.small_data import column
from toolkit_common.data.check import check_images
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError
from toolkit_common.sources.lesions.hiba import OLDER_COUNTS, SHEET
from toolkit_common.sources.load import load_data
from toolkit_common.synthetic.isic_exports import EXPORTS
from toolkit_common.synthetic.make import make_data

LAYOUTS = tuple(EXPORTS["hiba"].layouts)

COMMON = {"attribution": "Hospital Italiano de Buenos Aires", "copyright_license": "CC-BY",
          "age_approx": "25.0", "anatom_site_general": "anterior torso", "family_hx_mm": None,
          "dermoscopic_type": "contact polarized", "diagnosis_confirm_type": "histopathology",
          "image_type": "dermoscopic", "lesion_id": "IL_8124990", "patient_id": "IP_8542863",
          "personal_hx_mm": "True", "sex": "male"}  # fmt: skip
OLD = COMMON | {"benign_malignant": "malignant", "diagnosis": "melanoma", "pixels_x": "640"}
NEW = COMMON | {"diagnosis_1": "Malignant", "diagnosis_3": "Melanoma, NOS",
                "diagnosis_2": "Malignant melanocytic proliferations (Melanoma)",
                "fitzpatrick_skin_type": "II", "concomitant_biopsy": "True"}  # fmt: skip


def test_both_generations_give_the_same_rows(tmp_path: Path) -> None:
    old, new = (write_export(tmp_path / name, row, table="images/metadata.csv")
                for name, row in (("old", OLD), ("new", NEW)))  # fmt: skip
    (old / "SupplementaryData.csv").write_text("isic_id,skin_type\nISIC_0000000,II\n")
    first, second = (load_data(f"hiba:{root}?rare=keep").table for root in (old, new))
    columns = sorted(first)
    pd.testing.assert_frame_equal(first[columns], second[columns])
    row = first.iloc[0]
    assert (row["diagnosis"], row["malignant"], row["group"]) == (
        "melanoma", "malignant", "IP_8542863")  # fmt: skip
    assert (row["fitzpatrick_skin_type"], row["personal_hx_mm"]) == ("II", "true")
    assert not set(SHEET.leaks) & set(first)


@pytest.mark.parametrize(
    ("names", "diagnosis", "malignant"),
    [
        (("Benign", "Benign melanocytic proliferations", "Nevus"), "nevus", "benign"),
        (("Indeterminate", "Indeterminate epidermal proliferations", "Solar or actinic keratosis"),
         "actinic keratosis", "benign"),
        (("Malignant", "Malignant epidermal proliferations", "Squamous cell carcinoma in situ"),
         "squamous cell carcinoma", "malignant"),
        (("Benign", "Benign soft tissue proliferations - Vascular", None), "vascular lesion",
         "benign"),
        (("Benign", "Benign epidermal proliferations", "Lichen planus like keratosis"),
         "lichenoid keratosis", "benign"),
        ((None, None, None), None, None),
    ],
)  # fmt: skip
def test_new_names_become_the_old_ones(
    names: tuple[str | None, ...], diagnosis: str | None, malignant: str | None, tmp_path: Path
) -> None:
    row = NEW | {f"diagnosis_{level}": name for level, name in enumerate(names, 1)}
    data = load_data(f"hiba:{write_export(tmp_path, row)}?rare=keep")
    assert (column(data, "diagnosis"), column(data, "malignant")) == ([diagnosis], [malignant])


def test_actinic_keratosis_counts_as_requested(tmp_path: Path) -> None:
    text = f"hiba:{write_export(tmp_path, OLD | {'diagnosis': 'actinic keratosis'}, OLD)}"
    for option, expected in (("benign", "benign"), ("malignant", "malignant"), ("drop", None)):
        data = load_data(f"{text}?premalignant_as={option}")
        assert column(data, "malignant") == [expected, "malignant"]


def test_skin_types_that_lie_elsewhere_are_noted_with_their_file(tmp_path: Path) -> None:
    root = write_export(tmp_path, OLD)
    data = load_data(f"hiba:{root}")
    assert "fitzpatrick_skin_type" not in data.table
    assert f"no skin types: SupplementaryData.csv is not in {root}" in data.sheet.notes
    (root / "SupplementaryData.csv").write_text("isic_id,skin_type\nISIC_1,II\n")
    notes = load_data(f"hiba:{root}").sheet.notes
    assert "no skin types: SupplementaryData.csv has none of these images" in notes
    (root / "SupplementaryData.csv").write_text("isic_id,type\nISIC_0000000,II\n")
    with pytest.raises(InputError, match=r"SupplementaryData.csv has no column 'skin_type'"):
        load_data(f"hiba:{root}")


@pytest.mark.slow
def test_counts_are_those_of_the_release(tmp_path: Path) -> None:
    rows = [OLD | {"lesion_id": f"IL_{row % 1257}", "patient_id": f"IP_{row % 1257 % 628}"}
            for row in range(OLDER_COUNTS["images"])]  # fmt: skip
    pd.DataFrame([{"isic_id": f"ISIC_{place}"} | row for place, row in enumerate(rows)]).to_csv(
        tmp_path / "metadata.csv", index=False
    )
    for place in range(len(rows)):
        (tmp_path / f"ISIC_{place}.jpg").touch()
    sheet = load_data(f"hiba:{tmp_path}").sheet
    assert (sheet.title, sheet.doi) == ("HIBA (older release)", "10.34970/432362")
    assert not any("expected" in note for note in sheet.notes)
    (tmp_path / "ISIC_7.jpg").unlink()
    sheet = load_data(f"hiba:{tmp_path}?allow_partial=1").sheet
    assert "found 1,634 images, expected 1,635: a part or another release" in sheet.notes


@pytest.mark.slow
def test_lesions_of_each_diagnosis_are_those_of_the_release(tmp_path: Path) -> None:
    counts = SHEET.lesion_counts
    assert set(counts) == set(SHEET.classes)
    lesions = [(name, number) for name in counts for number in range(counts[name])]
    again = SHEET.counts["malignant"] - sum(counts[name] for name in SHEET.binary.positive)
    lesions += [("melanoma", 0)] * again
    lesions += [("nevus", 0)] * (SHEET.counts["images"] - len(lesions))
    rows = [{"isic_id": f"ISIC_{place}"} | OLD | {"diagnosis": name, "patient_id": place % 623,
             "lesion_id": f"{number} {name}"}
            for place, (name, number) in enumerate(lesions)]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "metadata.csv", index=False)
    for place in range(len(rows)):
        (tmp_path / f"ISIC_{place}.jpg").touch()
    notes = load_data(f"hiba:{tmp_path}").sheet.notes
    assert not any("expected" in note for note in notes)
    path = tmp_path / "metadata.csv"
    path.write_text(path.read_text().replace(",lichenoid keratosis", ",solar lentigo"))
    assert load_data(f"hiba:{tmp_path}").sheet.notes[0] == (
        "labels differ from the published ones: found solar lentigo lesions 16 (expected 15), "
        "lichenoid keratosis lesions 0 (expected 1)"
    )


def test_columns_of_the_acquisition_are_kept_apart(tmp_path: Path) -> None:
    data = load_data(f"hiba:{write_export(tmp_path, OLD)}")
    assert column(data, "image_type") == ["dermoscopic"]
    assert "image_type" not in [item.name for item in data.sheet.columns]
    assert set(data.withheld) == {"benign_malignant", "diagnosis_confirm_type", "pixels_x"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (OLD | {"diagnosis": "psoriasis"}, "diagnosis 'psoriasis' is none of actinic keratosis, "),
        (NEW | {"diagnosis_2": None, "diagnosis_3": None}, "'Malignant' is none of .* isic:PATH"),
        (
            {"diagnosis": "nevus"},
            "has no column 'patient_id', 'lesion_id', .*; it has: isic_id, diagnosis$",
        ),
        (COMMON, "has no column 'diagnosis_1', 'diagnosis_2', 'diagnosis_3'"),
    ],
)
def test_what_is_not_hiba_is_refused(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        load_data(f"hiba:{write_export(tmp_path, row)}")


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"no metadata.csv, nor .* in {tmp_path}: .*{SHEET.doi}"):
        load_data(f"hiba:{tmp_path}")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ImageData]:
    folder = tmp_path_factory.mktemp("hiba")
    for layout in LAYOUTS:
        make_data("hiba", folder / layout, rows=60, seed=2, layout=layout, pool=None)
    return {layout: load_data(f"hiba:{folder / layout}") for layout in LAYOUTS}


@pytest.mark.slow
def test_every_synthetic_layout_says_the_same(made: dict[str, ImageData]) -> None:
    first, *others = (made[layout] for layout in LAYOUTS)
    columns = sorted(first.table)
    for other in others:
        pd.testing.assert_frame_equal(other.table[columns], first.table[columns])
    splits, groups = make_splits(first), first.groups
    assert groups is not None
    assert not set(groups[splits.train]) & set(groups[splits.test])
    assert check_images(first, np.arange(len(first))).empty
    assert {item.name for item in SHEET.columns} <= set(first.table)
    assert first.sheet.title == "HIBA (SYNTHETIC)"
    assert {item.level for item in first.sheet.columns} == {"patient", "lesion"}


@pytest.mark.slow
def test_proofs_predict_the_label_and_are_withheld(made: dict[str, ImageData]) -> None:
    for layout in LAYOUTS:
        audit = run_audit(made[layout], label="malignant")
        facts = {item.name: item.value_auroc for item in audit.withheld}
        assert facts["diagnosis_confirm_type"] > 0.75
        (proof,) = (item for item in audit.findings if "'diagnosis_confirm_type'" in item.text)
        assert (proof.severity, proof.kind) == ("note", "post-dates the diagnosis")
        assert f"AUROC {facts['diagnosis_confirm_type']:.3f}; withheld" in proof.text
        assert not audit.has_leak
        assert not any(finding.kind == "label proxy" for finding in audit.findings)
