"""What a description of a data set holds before anything is computed."""

import json
from pathlib import Path

import pytest
from PIL import Image

from helpers.small_data import build_data, encode, write_images
from toolkit_common.audit.describe import (
    HEADING,
    TILE,
    describe_data,
    draw_contact_sheet,
    print_description,
)
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
    assert "Small set (small), licence CC BY 4.0" in out
    assert "2,000 images in 1,000 groups (median 2, at most 2 images each)" in out
    assert "label label: a 1,000, b 1,000" in out
    assert "50.0%" in out
    assert "note: mind the gap" in out


@pytest.mark.parametrize(
    ("key", "name"),
    [("patient_id", " by patient"), ("lesion_id", " by lesion"), ("other", "")],
)
def test_what_groups_are_is_printed(
    key: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    groups = [f"p{row // 2}" for row in range(20)]
    data = build_data(["a", "b"] * 10, groups=groups, **{key: groups})
    described = describe_data(data)
    assert described["grouped_by"] == (key if name else None)
    print_description(described, data.sheet)
    assert f"20 images in 10 groups{name} (median 2" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["nv [/x]", "[red]nv", ":smile:", "[link=x]"])
def test_words_of_files_are_no_markup(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    columns = (Column(word, "patient", "numeric"),)
    sheet = Sheet(word, source=word, doi=word, licence=word, columns=columns, notes=(word,))
    data = build_data([word, "b"] * 10, sheet=sheet, **{word: ["1", "2"] * 10})
    print_description(describe_data(data), data.sheet)
    out = capsys.readouterr().out
    assert out.count(word) == 7  # title, licence, source, doi, label, column, note
    assert f"label label: {word} 10" in out


def test_lesions_of_each_patient_are_counted() -> None:
    patients, lesions = ["p1", "p1", "p1", "p2", "p3"], ["l1", "l1", "l2", "l3", None]
    data = build_data(["a", "b", "a", "b", "a"], patient_id=patients, lesion_id=lesions)
    assert describe_data(data)["patients"] == {
        "count": 3,
        "lesions": 3,
        "images_without_lesion_id": 1,
        "patients_by_lesions": {"1": 1, "2": 1},
    }


def test_a_contact_sheet_has_a_row_for_each_class_and_a_group_once() -> None:
    red, blue = (encode(Image.new("RGB", (8, 4), color)) for color in ("red", "blue"))
    groups = ["p1", "p1", "p2", "p3"]
    data = build_data(["a", "a", "a", "b"], groups=groups, images=[red, red, blue, b"broken"])
    unlabelled = draw_contact_sheet(data, None, per_class=2)
    assert unlabelled.size == (236, 136)
    sheet = draw_contact_sheet(data, data.labels(), per_class=2)
    assert sheet.size == (236, 268)
    centre = HEADING + 4 + TILE // 2
    shown = {sheet.getpixel((x, centre)) for x in (60, 176)}
    assert shown == {(255, 0, 0), (0, 0, 255)}
    assert sheet.getpixel((60, centre + HEADING + TILE + 4)) == (128, 128, 128)
