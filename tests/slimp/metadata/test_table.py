"""A table's rows encoded: 0 is a value, missing a mask, a patient's value one for all its rows."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from helpers.small_data import build_data
from helpers.toy_metadata import fit_toy, sparse
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.errors import InputError
from toolkit_common.sources.load import load_data
from toolkit_common.synthetic.make import MAKERS, make_data
from toolkit_slimp.metadata.columns import fit_column
from toolkit_slimp.metadata.infer import infer_schema
from toolkit_slimp.metadata.schema import ColumnSchema, Schema
from toolkit_slimp.metadata.schema_file import load_schema
from toolkit_slimp.metadata.table import encode_rows, encode_table


def test_zero_is_a_value_and_missing_is_a_mask():
    data, schema = fit_toy()
    encoded = encode_rows(schema.at("patient"), data.table)
    assert encoded.observed[:, 0].tolist() == [True] * 4 + [False] * 2
    assert encoded.numeric[2, 0] != 0.0 or encoded.numeric[0, 0] != 0.0
    assert encoded.numeric[4, 0] == 0.0


def test_angles_are_axes():
    data, schema = fit_toy()
    encoded = encode_rows(schema.at("lesion"), data.table)
    torch.testing.assert_close(encoded.numeric[0], encoded.numeric[2], atol=1e-6, rtol=0)
    torch.testing.assert_close(encoded.numeric[1], -encoded.numeric[0], atol=1e-6, rtol=0)
    assert encoded.observed[:, 0].tolist() == [True, True, True, False, True, True]


def test_missing_unknown_and_known_words_differ():
    data, schema = fit_toy()
    encoded = encode_rows(schema.at("lesion"), data.table)
    angle, site, itch = [1], [0, 1, 2, 3], [0, 1, 2]  # unknown, then the categories
    words = encoded.words.int()[:, len(angle) :]
    assert words[:, : len(site)].argmax(1).tolist() == [1, 3, 0, 1, 0, 2]
    assert words[:, len(site) :].argmax(1).tolist() == [2, 1, 0, 0, 2, 2]
    assert words[:, : len(site)].sum(1).tolist() == [1, 1, 0, 1, 1, 1]
    assert words[:, len(site) :].sum(1).tolist() == [1, 1, 0, 1, 1, 1]
    assert len(itch) == words.shape[1] - len(site)
    assert encoded.observed[:, 1].tolist() == [True, True, False, True, True, True]


def test_a_word_never_seen_in_training_counts_as_missing():
    data, schema = fit_toy(rows=[0, 1, 2])
    encoded = encode_rows(schema.at("lesion"), data.table)
    assert encoded.observed[:, 1].tolist() == [True, True, False, True, True, False]


def test_values_out_of_range_are_named():
    data, schema = fit_toy(rows=range(6))
    wrong = data.table.assign(age=[130.0, 150.0, 121.0, 1.0, 1.0, 1.0])
    with pytest.raises(InputError, match=r"column .age.: 3 values above 120 years"):
        encode_rows(schema.at("patient"), wrong)


def test_an_absent_column_is_named():
    data, schema = fit_toy()
    with pytest.raises(InputError, match="no metadata column 'site'"):
        encode_rows(schema, data.table.drop(columns="site"))


ROWS = np.arange(4)


AGE = {"name": "age", "level": "patient", "kind": "numeric"}


SEX = {"name": "sex", "level": "patient", "kind": "categorical"}


TRUTHS = {"dose": ["30", "41.5", "0"], "sex": ["male", "female", "other"]}


CODES = {"dose": ["-1", "?", "unknown"], "sex": ["NA", "UNK", "unknown"]}


PATIENT = (
    ColumnSchema("dose", "patient", "numeric", missing=("-1",), unknown=("?",)),
    ColumnSchema("sex", "patient", "categorical", missing=("NA",), unknown=("UNK",)),
)


AGE_SHEET = Sheet("toy", labels=("label",), columns=(Column("age", "patient", "numeric"),))


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


def test_a_patient_column_of_a_sheet_that_differs_is_reported_and_read_once(capsys):
    data = sparse([30.0, 40.0, 50.0, 50.0], sheet=AGE_SHEET)
    table = encode_table(data, infer_schema(data, ROWS))
    message = "column 'age' differs within 1 patient: a patient's first value is read"
    assert message in capsys.readouterr().err
    assert table.patient_codes.tolist() in ([0, 0, 1, 1], [1, 1, 0, 0])


def inferred(data):
    try:
        return [infer_schema(data, np.arange(len(data)))]
    except InputError:  # nothing to tell patients by
        return []


@pytest.mark.slow
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
    fitted = [fit_column(column, data.table) for column in PATIENT]
    schema = Schema(tuple(column for column in fitted if column.is_fitted))
    for kind in (schema, *inferred(data)):
        codes = encode_table(data, kind).patient_codes
        assert all(len(codes[patients == who].unique()) == 1 for who in set(patients))


def encode(data):
    return encode_table(data, infer_schema(data, np.arange(len(data))))


@pytest.mark.slow
def test_the_embedded_lesions_keep_their_ranges():
    data = load_data("lesions")
    assert len(encode(data).lesions) == len(data)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*MAKERS} - {"ph2", "isic-2018"}))  # which have no metadata
def test_synthetic_data_keep_their_ranges(name, tmp_path):
    make_data(name, tmp_path / "set", rows=60, seed=0, layout=None, pool=None)
    data = load_data(f"{name}:{tmp_path / 'set'}")
    assert len(encode(data).lesions) == len(data)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("tbp_lv_areaMM2", "-1", "'tbp_lv_areaMM2': 1 value below 0 mm2, the first -1 of image"),
        ("tbp_lv_Lext", "101", "'tbp_lv_Lext': 1 value above 100, the first 101 of image"),
    ],
)
def test_a_measure_that_cannot_be_is_refused(tmp_path, column, value, message):
    make_data("slice-3d", tmp_path / "set", rows=20, seed=0, layout=None, pool=10)
    path = tmp_path / "set" / "train-metadata.csv"
    header, first, *rest = path.read_text().splitlines()
    cells = first.split(",")
    cells[header.split(",").index(column)] = value
    path.write_text("\n".join([header, ",".join(cells), *rest]) + "\n")
    with pytest.raises(InputError, match=message):
        encode(load_data(f"slice-3d:{tmp_path / 'set'}"))
