"""Typing of lesion tables: numbers, booleans, words, and one value for each patient."""

import math
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from toolkit_common.data.cells import FALSE, TRUE
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Column, Kind, Level, Sheet
from toolkit_common.errors import InputError
from toolkit_common.sources.lesions.build import (
    Premalignant,
    build_lesion_data,
    malignancy,
)

DIAGNOSES = {"MEL": "melanoma", "ACK": "keratosis", "NEV": "nevus"}


def build(
    cells: list[str | None],
    kind: Kind,
    *,
    level: Level = "lesion",
    patients: list[str] | None = None,
    cameras: list[str | None] | None = None,
    diagnoses: list[str] | None = None,
    premalignant_as: Premalignant = "benign",
) -> ImageData:
    size = len(cells)
    frame = pd.DataFrame({
        "image": ["x.png"] * size,
        "image_id": list(map(str, range(size))),
        "lesion_id": [f"l{row}" for row in range(size)],
        "diagnosis": diagnoses or ["NEV"] * size,
        "column": pd.Series(cells, dtype=object),
    })  # fmt: skip
    if patients:
        frame["patient_id"] = patients
    if cameras:
        frame["camera"] = cameras
    sheet = Sheet(
        "lesions",
        labels=("diagnosis", "malignant"),
        classes=DIAGNOSES,
        binary=malignancy({"MEL"}, premalignant={"ACK"}),
        columns=(Column("column", level, kind, unknown=("UNK", "unsure")),),
        acquisition={"camera": "tells the site"},
    )
    return build_lesion_data(
        "small", frame, sheet, path=Path("t.csv"), premalignant_as=premalignant_as
    )


def column(data: ImageData) -> list[Any]:
    values = data.table["column"].astype(object)
    return values.where(values.notna(), None).tolist()


@pytest.mark.parametrize(
    ("kind", "cells", "expected"),
    [
        ("numeric", ["1.5", "UNK", None, "-2", "unk"], [1.5, None, None, -2.0, None]),
        ("angle", ["170", "0"], [170.0, 0.0]),
        ("boolean", ["True", "0", "no", "1.0", None], ["true", "false", "false", "true", None]),
        ("boolean", ["UNK", "unk", "UNSURE", "yes"], ["unknown"] * 3 + ["true"]),
        (
            "categorical",
            ["ARM", "UNK", None, "arm", "Unsure"],
            ["ARM", "unknown", None, "arm", "unknown"],
        ),
    ],
)
def test_cells_are_typed(kind: Kind, cells: list[str | None], expected: list[Any]) -> None:
    assert column(build(cells, kind)) == expected


@pytest.mark.parametrize(
    ("kind", "cell", "message"),
    [
        ("boolean", "maybe", "t.csv: image 1, column 'column': 'maybe' is neither true nor false"),
        ("numeric", "5mm", "t.csv: image 1, column 'column': '5mm' is no number"),
    ],
)
def test_a_cell_that_does_not_fit_is_named(kind: Kind, cell: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(["1", cell], kind)


def test_numbers_of_a_patient_become_their_median() -> None:
    patients = ["a", "a", "a", "b", "b", "c"]
    data = build(["1", "2", "9", "4", None, None], "numeric", level="patient", patients=patients)
    assert column(data) == [2.0, 2.0, 2.0, 4.0, 4.0, None]


def test_words_of_a_patient_become_the_most_frequent() -> None:
    patients = ["a", "b", "a", "a", "b", "c"]
    cells = ["x", "z", "y", "y", "q", None]
    data = build(cells, "categorical", level="patient", patients=patients)
    assert column(data) == ["y", "q", "y", "y", "q", None]  # of equals the first by name


def test_a_column_of_patients_may_be_empty() -> None:
    patients = ["a", "a", "b"]
    for kind in ("numeric", "categorical", "boolean"):
        data = build([None] * 3, kind, level="patient", patients=patients)  # type: ignore[arg-type]
        assert column(data) == [None] * 3


@pytest.mark.parametrize(
    ("kind", "cells", "chosen"),
    [("numeric", ["1", "2", "5", "5", None], "their median counts"),
     ("categorical", ["x", "y", "z", "z", None], "the most frequent counts")],
)  # fmt: skip
def test_patients_who_had_several_values_are_counted(
    kind: Kind, cells: list[str | None], chosen: str
) -> None:
    data = build(cells, kind, level="patient", patients=["a", "a", "b", "b", "b"])
    assert data.sheet.notes == (f"column: 1 patient had several values, {chosen}",)
    patients = ["a", "b", "c", "c", "c"]
    assert build(cells, kind, level="patient", patients=patients).sheet.notes == ()


@pytest.mark.parametrize(
    ("low", "high", "note"),
    [(0, 120, "2 of 5 values are outside 0 to 120 years and stay as they are (found -5, 999; "),
     (0, None, "1 of 5 values are below 0 years and stay as they are (found -5; "),
     (-5, None, ""), (None, None, ""),
     (None, -1, "3 of 5 values are above -1 years and stay as they are (found 0, 120, 999; ")],
)  # fmt: skip
def test_values_out_of_bounds_are_counted_and_kept(
    low: float | None, high: float | None, note: str
) -> None:
    bounded = Column("column", "lesion", "numeric", unit="years", low=low, high=high)
    frame = pd.DataFrame({"image": "i", "image_id": list("abcde"), "lesion_id": "l",
                          "column": ["-5", "999", "0", "120", None]})  # fmt: skip
    sheet = Sheet("test", labels=(), columns=(bounded,))
    data = build_lesion_data("test", frame, sheet, path=Path("t.csv"))
    first = "b" if low is None else "a"
    assert data.sheet.notes == ((f"column: {note}first image: {first})",) if note else ())
    assert column(data)[:4] == [-5.0, 999.0, 0.0, 120.0]


words = st.none() | st.sampled_from(["x", "Y", "\u00e9"])
owners = st.lists(st.tuples(st.sampled_from("abc"), words), min_size=1, max_size=12)


@pytest.mark.slow
@given(owners)
@few_examples
def test_any_patient_gets_the_most_frequent_word(rows: list[tuple[str, str | None]]) -> None:
    patients = [patient for patient, _ in rows]
    chosen = column(build([word for _, word in rows], "categorical", level="patient",
                         patients=patients))  # fmt: skip
    for patient, value in zip(patients, chosen, strict=True):
        counts = Counter(word for owner, word in rows if owner == patient and word is not None)
        most = max(counts.values(), default=0)
        assert value == min((word for word in counts if counts[word] == most), default=None)


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.integers(-99, 99)), min_size=1,
                max_size=12))  # fmt: skip
@few_examples
def test_any_patient_gets_the_median_number(rows: list[tuple[str, int | None]]) -> None:
    patients = [patient for patient, _ in rows]
    cells = [None if number is None else str(number) for _, number in rows]
    values = column(build(cells, "numeric", level="patient", patients=patients))
    for patient, value in zip(patients, values, strict=True):
        own = [number for owner, number in rows if owner == patient and number is not None]
        assert value == (median(own) if own else None)


@pytest.mark.slow
@given(st.lists(st.sampled_from(["true", "1", "1.0", "yes", "false", "0", "0.0", "no", "UNK"]),
                min_size=1, max_size=6), st.data())  # fmt: skip
@few_examples
def test_answers_read_the_same_in_any_case(words: list[str], data: st.DataObject) -> None:
    change = st.sampled_from([str.lower, str.upper, str.title])
    values = column(build([data.draw(change)(word) for word in words], "boolean"))
    meaning = {"UNK": "unknown"} | dict.fromkeys(TRUE, "true") | dict.fromkeys(FALSE, "false")
    assert values == [meaning[word] for word in words]


@pytest.mark.slow
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6),
                min_size=1, max_size=6))  # fmt: skip
@few_examples
def test_any_word_is_kept_as_it_stands(words: list[str]) -> None:
    kept = [word for word in words if word.lower() not in ("unk", "unsure")]
    assert [word for word in column(build(list(words), "categorical")) if word in kept] == kept


def test_lesions_of_a_patient_keep_their_own_values() -> None:
    data = build(["1", "2"], "numeric", level="lesion", patients=["a", "a"])
    assert column(data) == [1.0, 2.0]


@pytest.mark.parametrize(("patients", "groups"), [(["p", "p"], ["p", "p"]), (None, ["l0", "l1"])])
def test_the_group_is_the_patient_else_the_lesion(
    patients: list[str] | None, groups: list[str]
) -> None:
    groups_of_rows = build(["1", "2"], "numeric", patients=patients).groups
    assert groups_of_rows is not None
    assert groups_of_rows.tolist() == groups


@pytest.mark.parametrize(
    ("choice", "classes", "targets"),
    [
        ("benign", ("benign", "malignant"), [1, 0, 0]),
        ("malignant", ("benign", "malignant"), [1, 1, 0]),
        ("drop", ("benign", "malignant"), [1, -1, 0]),
    ],
)
def test_premalignant_diagnoses_count_as_requested(
    choice: Premalignant, classes: tuple[str, ...], targets: list[int]
) -> None:
    data = build(["1"] * 3, "numeric", diagnoses=["MEL", "ACK", "NEV"], premalignant_as=choice)
    labels = data.labels("malignant")
    assert labels.classes == classes
    assert labels.targets.tolist() == targets


def test_columns_that_the_sheet_does_not_name_are_dropped() -> None:
    data = build(["1", "2"], "numeric")
    assert set(data.table) == {"image_id", "lesion_id", "diagnosis", "malignant", "group", "column"}
    assert not math.isnan(data.table["column"][0])


def test_columns_of_the_acquisition_stay_and_are_no_input() -> None:
    data = build(["1", "2"], "numeric", cameras=["phone", None])
    assert data.table["camera"].fillna("none").tolist() == ["phone", "none"]
    assert "camera" not in [column.name for column in data.sheet.columns]
