"""What a description of a data set holds before anything is computed."""

import json
from pathlib import Path

import pytest

from helpers.small_data import build_data, image_bytes, write_images
from toolkit_common.audit.describe import describe_data
from toolkit_common.audit.shown.description import print_description
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.sources.load import load_data

SHEET = Sheet(
    "Small set",
    source="Somebody (2026)",
    licence="CC BY 4.0",
    columns=(Column("age", "patient", "numeric"), Column("absent", "lesion", "boolean")),
    notes=("mind the gap",),
)


def test_rows_groups_labels_and_columns_are_described() -> None:
    groups = [f"p{row // 2}" for row in range(20)]
    ages = ["40", None, "41", "41"] * 5
    data = build_data(["a", "b", "a", None] * 5, groups=groups, sheet=SHEET, age=ages)
    described = describe_data(data)
    assert (described["images"], described["licence"]) == (20, "CC BY 4.0")
    assert described["labels"] == {"label": {"a": 10, "b": 5, "None": 5}}
    assert described["groups"] == {"count": 10, "images_per_group": {"median": 2.0, "max": 2}}
    assert described["columns"]["age"]["missing"] == 0.25
    assert described["columns"]["age"]["distinct"] == 2
    assert "absent" not in described["columns"]
    assert [described["splits"][name] for name in ("train", "val", "test")] == [12, 4, 4]


def test_classes_have_their_names_and_counts(tmp_path: Path) -> None:
    write_images(tmp_path, "cat/1.png", "cat/2.png", "dog/1.png")
    described = describe_data(load_data(f"imagefolder:{tmp_path}"))
    assert described["labels"] == {"label": {"cat": 2, "dog": 1}}


def test_a_problem_of_the_splits_is_part_of_the_description() -> None:
    described = describe_data(build_data(["a", "b"]))
    assert "cannot split 2 images" in described["splits"]["problem"]
    assert "groups" not in described


@pytest.mark.slow
@pytest.mark.parametrize("text", ["digits", "lesions"])
def test_a_description_is_json(text: str) -> None:
    described = describe_data(load_data(text))
    assert json.loads(json.dumps(described, allow_nan=False)) == described


@pytest.mark.slow
def test_a_description_is_printed_for_humans(capsys: pytest.CaptureFixture[str]) -> None:
    groups = [f"p{row // 2}" for row in range(2000)]
    data = build_data(["a", "b"] * 1000, groups=groups, sheet=SHEET, age=["40", None] * 1000)
    print_description(describe_data(data), data.sheet)
    out = capsys.readouterr().out
    assert out.startswith("Can be probed: 1 label to predict: Small set (small)\n")
    assert "licence: CC BY 4.0" in out
    assert "images: 2,000 in 1,000 groups (median 2, at most 2 images each)" in out
    assert "label label: a 1,000, b 1,000" in out
    assert "50.0%" in out
    assert "note: mind the gap" in out


def test_lesions_of_each_patient_are_counted() -> None:
    patients, lesions = ["p1", "p1", "p1", "p2", "p3"], ["l1", "l1", "l2", "l3", None]
    data = build_data(["a", "b", "a", "b", "a"], patient_id=patients, lesion_id=lesions)
    assert describe_data(data)["patients"] == {
        "count": 3,
        "lesions": 3,
        "images_without_lesion_id": 1,
        "patients_by_lesions": {"1": 1, "2": 1},
    }


def test_integer_classes_keep_their_names_where_some_rows_have_none(tmp_path: Path) -> None:
    from datasets import Dataset, Features, Image, Value

    features = Features({"image": Image(), "label": Value("int64")})
    labels = [None if row % 5 == 0 else row % 2 for row in range(40)]
    images = [{"bytes": image_bytes(row), "path": None} for row in range(40)]
    rows = Dataset.from_dict({"image": images, "label": labels}, features=features)
    rows.to_parquet(tmp_path / "train.parquet")
    described = describe_data(load_data(f"hf:{tmp_path}"))
    assert described["labels"] == {"label": {"1": 16, "0": 16, "None": 8}}
