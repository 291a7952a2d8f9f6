"""Patient columns: one value for all rows of a patient, whichever of them tells it."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from helpers.small_data import build_data
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.errors import InputError
from toolkit_slimp.metadata.columns import fit_column
from toolkit_slimp.metadata.infer import infer_schema, load_schema
from toolkit_slimp.metadata.schema import ColumnSchema, Schema
from toolkit_slimp.metadata.table import encode_table

ROWS = np.arange(4)
SHEET = Sheet("toy", labels=("label",), columns=(Column("age", "patient", "numeric"),))
AGE = {"name": "age", "level": "patient", "kind": "numeric"}
SEX = {"name": "sex", "level": "patient", "kind": "categorical"}
TRUTHS = {"age": ["30", "41.5", "0"], "sex": ["male", "female", "other"]}
CODES = {"age": ["-1", "?", "unknown"], "sex": ["NA", "UNK", "unknown"]}
PATIENT = (
    ColumnSchema("age", "patient", "numeric", missing=("-1",), unknown=("?",)),
    ColumnSchema("sex", "patient", "categorical", missing=("NA",), unknown=("UNK",)),
)


def sparse(ages, groups="ppqq", sheet=None, **columns):
    sheet = sheet or Sheet("bare")
    return build_data(["a"] * len(ages), groups=list(groups), sheet=sheet, age=ages, **columns)


def edited(path, columns):
    path.write_text(json.dumps({"version": 1, "columns": columns}))
    return path


def test_a_patient_s_one_known_value_counts_for_all_its_rows(tmp_path):
    data = sparse([None, "45", "-1", "70"], sex=["?", None, "male", "na"])
    path = edited(
        tmp_path / "schema.json",
        [{**AGE, "missing": ["-1"]}, {**SEX, "unknown": ["?"], "missing": ["na"]}],
    )
    table = encode_table(data, load_schema(path, data, ROWS))
    assert table.patients.observed.all()
    assert table.patient_codes.tolist() in ([0, 0, 1, 1], [1, 1, 0, 0])
    assert table.patients.words[:, 1].tolist() == [True, True, False, False]  # sex is unknown


def test_a_known_value_goes_before_an_unknown_one_of_the_same_patient(tmp_path):
    data = sparse(["45", "unknown", "70", "30"], "ppqr")
    schema = load_schema(edited(tmp_path / "schema.json", [AGE]), data, ROWS)
    table = encode_table(data, schema)
    assert not table.patients.words.any()
    assert table.patients.numeric[0] == table.patients.numeric[1]


def test_codes_and_spellings_do_not_make_a_patient_differ(tmp_path):
    data = sparse(["45", "45.0", "70", "-1"], smoke=["Yes", "true", "no", "UNK"])
    smoke = {"name": "smoke", "level": "patient", "kind": "boolean", "unknown": ["unk"]}
    path = edited(tmp_path / "schema.json", [{**AGE, "missing": ["-1"]}, smoke])
    table = encode_table(data, load_schema(path, data, ROWS))
    assert len(table.patient_codes.unique()) == 2


def test_words_unseen_in_training_still_make_a_patient_differ(tmp_path):
    data = sparse(["1", "1", "2", "2"], sex=["male", "male", "male", "moon"])
    path = edited(tmp_path / "schema.json", [{**SEX, "categories": ["male"]}])
    with pytest.raises(InputError, match=r"'sex' is the patient's.*differs.*of 1 patients"):
        load_schema(path, data, ROWS)


@pytest.mark.parametrize(
    ("ages", "level"),
    [
        (["45", None, "45", "70", "70", None], "patient"),
        (["45", None, None, "70", None, None], "lesion"),  # one value each: nothing to compare
        (["45", None, "46", "70", "70", None], "lesion"),
        (["45", "unknown", "45", "70", "70", None], "patient"),
    ],
)
def test_a_level_is_inferred_from_the_values_that_are_known(ages, level):
    data = sparse(ages, "pppqqq", size=list("123456"))
    levels = {column.name: column.level for column in infer_schema(data, np.arange(6)).columns}
    assert levels == {"age": level, "size": "lesion"}


def test_a_patient_column_of_a_sheet_that_differs_is_told_and_read_once(capsys):
    data = sparse([30.0, 40.0, 50.0, 50.0], sheet=SHEET)
    table = encode_table(data, infer_schema(data, ROWS))
    told = "column 'age' differs within 1 patients: a patient's first value is read"
    assert told in capsys.readouterr().err
    assert table.patient_codes.tolist() in ([0, 0, 1, 1], [1, 1, 0, 0])


def inferred(data):
    try:
        return [infer_schema(data, np.arange(len(data)))]
    except InputError:  # nothing to tell patients by
        return []


@few_examples
@given(st.data())
def test_patient_codes_are_constant_within_a_patient(draw):
    count = draw.draw(st.integers(4, 12))
    rows = st.lists(st.integers(0, 2), min_size=count, max_size=count)
    patients = np.array(draw.draw(rows))
    truths = {name: draw.draw(st.permutations(words)) for name, words in TRUTHS.items()}
    columns = {
        name: [draw.draw(st.sampled_from([truths[name][who], None, *codes])) for who in patients]
        for name, codes in CODES.items()
    }
    data = build_data(["a"] * count, groups=[f"p{who}" for who in patients], **columns)
    fitted = [fit_column(column, data.table[column.name]) for column in PATIENT]
    schema = Schema(tuple(column for column in fitted if column.is_fitted))
    for found in (schema, *inferred(data)):
        codes = encode_table(data, found).patient_codes
        assert all(len(codes[patients == who].unique()) == 1 for who in set(patients))
