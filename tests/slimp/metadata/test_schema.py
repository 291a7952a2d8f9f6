"""Schemas: typed, fitted on training rows, 0 is a value, missing is a mask."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from toolkit_common.data.dataset import build_image_data
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.errors import InputError
from toolkit_common.sources.load import load_data
from toolkit_slimp.metadata.columns import fit_column, unseen_words
from toolkit_slimp.metadata.infer import infer_schema
from toolkit_slimp.metadata.schema import ColumnSchema, Schema

SHEET = Sheet(
    title="toy",
    labels=("diagnosis",),
    columns=(
        Column("age", "patient", "numeric", unit="years", low=0, high=120),
        Column("angle", "lesion", "angle"),
        Column("site", "lesion", "categorical"),
        Column("itch", "lesion", "boolean"),
    ),
    leaks={"biopsed": "decided after the diagnosis"},
)


def toy(sheet: Sheet = SHEET, **columns):
    frame = pd.DataFrame(
        {
            "image": [f"{i}.png" for i in range(6)],
            "image_id": [str(i) for i in range(6)],
            "diagnosis": list("ababab"),
            "group": list("ppqqrr"),
            "age": [30.0, 30.0, 0.0, 0.0, None, None],
            "angle": [0.0, 90.0, 180.0, None, 45.0, 10.0],
            "site": ["arm", "leg", None, "arm", "unknown", "back"],
            "itch": ["true", "false", None, "unknown", "true", "true"],
            "biopsed": ["true"] * 3 + ["false"] * 3,
            **columns,
        }
    )
    return build_image_data("toy", frame, sheet)


def fit(rows=range(6), **columns):
    data = toy(**columns)
    return data, infer_schema(data, np.array(rows))


def test_zero_is_a_value_and_missing_is_a_mask():
    data, schema = fit()
    encoded = schema.at("patient").encode(data.table)
    assert encoded.observed[:, 0].tolist() == [True] * 4 + [False] * 2
    assert encoded.numeric[2, 0] != 0.0 or encoded.numeric[0, 0] != 0.0
    assert encoded.numeric[4, 0] == 0.0


def test_angles_are_axes():
    data, schema = fit()
    encoded = schema.at("lesion").encode(data.table)
    torch.testing.assert_close(encoded.numeric[0], encoded.numeric[2], atol=1e-6, rtol=0)
    torch.testing.assert_close(encoded.numeric[1], -encoded.numeric[0], atol=1e-6, rtol=0)
    assert encoded.observed[:, 0].tolist() == [True, True, True, False, True, True]


def test_missing_unknown_and_known_words_differ():
    data, schema = fit()
    encoded = schema.at("lesion").encode(data.table)
    angle, site, itch = [1], [0, 1, 2, 3], [0, 1, 2]  # unknown, then the categories
    words = encoded.words.int()[:, len(angle) :]
    assert words[:, : len(site)].argmax(1).tolist() == [1, 3, 0, 1, 0, 2]
    assert words[:, len(site) :].argmax(1).tolist() == [2, 1, 0, 0, 2, 2]
    assert words[:, : len(site)].sum(1).tolist() == [1, 1, 0, 1, 1, 1]
    assert words[:, len(site) :].sum(1).tolist() == [1, 1, 0, 1, 1, 1]
    assert len(itch) == words.shape[1] - len(site)
    assert encoded.observed[:, 1].tolist() == [True, True, False, True, True, True]


def test_a_word_never_seen_in_training_counts_as_missing():
    data, schema = fit(rows=[0, 1, 2])
    encoded = schema.at("lesion").encode(data.table)
    assert encoded.observed[:, 1].tolist() == [True, True, False, True, True, False]


def test_transforms_are_fitted_on_training_rows_alone():
    _, first = fit(rows=[0, 1, 2, 3])
    _, second = fit(rows=[0, 1, 2, 3], angle=[0.0, 90.0, 180.0, None, 1.0, 99.0])
    assert first == second


def test_leaks_are_no_columns():
    _, schema = fit()
    assert "biopsed" not in [column.name for column in schema.columns]


def test_values_out_of_range_are_named():
    data, schema = fit(rows=range(6))
    wrong = data.table.assign(age=[130.0, 150.0, 121.0, 1.0, 1.0, 1.0])
    with pytest.raises(InputError, match=r"column .age.: 3 values above 120 years"):
        schema.at("patient").encode(wrong)


def test_an_absent_column_is_named():
    data, schema = fit()
    with pytest.raises(InputError, match="no metadata column 'site'"):
        schema.encode(data.table.drop(columns="site"))


def test_a_table_without_a_sheet_is_typed_by_what_it_shows():
    bare = Sheet(title="bare")
    schema = infer_schema(toy(sheet=bare), np.arange(6))
    kinds = {column.name: (column.level, column.kind) for column in schema.columns}
    assert kinds["age"] == ("patient", "numeric")
    assert kinds["site"] == ("lesion", "categorical")
    assert kinds["itch"] == ("lesion", "boolean")
    assert "image_id" not in kinds
    assert "group" not in kinds


def test_data_without_metadata_is_refused():
    with pytest.raises(InputError, match="'digits' has no metadata columns"):
        infer_schema(load_data("digits"), np.arange(10))


def test_json_round_trip_keeps_the_schema_and_its_digest():
    _, schema = fit()
    read = Schema.from_json(schema.to_json())
    assert read == schema
    assert read.digest() == schema.digest()
    changed = replace(schema.columns[0], high=99.0)
    assert Schema((changed, *schema.columns[1:])).digest() != schema.digest()


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1}', '{"version": 1, "columns": [{}]}'])
def test_what_is_no_schema_is_refused(text):
    with pytest.raises(InputError, match="not a metadata schema"):
        Schema.from_json(text)


SIZE = {"name": "size", "level": "lesion", "kind": "numeric"}
SITE = {"name": "site", "level": "lesion", "kind": "categorical"}


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({**SIZE, "unitt": "mm"}, r"'size' of the schema has an unknown key 'unitt'.*'unit'"),
        ({**SIZE, "kind": "number"}, r"'size' of the schema: kind: .*got 'number'"),
        ({**SIZE, "level": "body"}, r"'size' of the schema: level: .*got 'body'"),
        ({**SIZE, "low": "few"}, r"'size' of the schema: low: .*got 'few'"),
        ({**SIZE, "low": 5, "high": 2}, r"'size' of the schema: low 5 is not below high 2"),
        ({**SIZE, "quantiles": [2, 1]}, r"'size' of the schema: its quantiles do not ascend"),
        ({**SIZE, "categories": ["x"]}, r"'size' of the schema is numeric: it has no categories"),
        (
            {**SIZE, "missing": ["?", "4.0"], "unknown": ["4"]},
            r"'size' .*'4.0' is a code for missing and a value at once",
        ),
        ({**SITE, "categories": ["a", "a"]}, r"'site' .*category 'a'.*stands there twice"),
        ({**SITE, "categories": ["unknown"]}, r"'site' .*'unknown'.*an id of its own"),
        (
            {**SITE, "categories": ["a"], "missing": ["a"]},
            r"'site' .*'a' is a code for missing and a value at once",
        ),
        (
            {**SITE, "kind": "boolean", "categories": ["no", "yes"], "missing": ["NO"]},
            r"'site' .*'NO' is a code for missing and a value at once",
        ),
        (
            {**SITE, "kind": "boolean", "missing": ["0"]},
            r"'site' .*'0' is a code for missing and a value at once",
        ),
        (
            {**SITE, "kind": "boolean", "categories": ["Yes", "true"]},
            r"'site' .*category 'true' cannot be listed: it stands there twice",
        ),
        (
            {**SITE, "kind": "boolean", "categories": ["Unknown"]},
            r"'site' .*'Unknown'.*an id of its own",
        ),
    ],
)
def test_a_column_that_cannot_be_is_refused_by_name(column, message):
    with pytest.raises(InputError, match=message):
        Schema.from_json(json.dumps({"version": 1, "columns": [column]}))


def test_another_version_and_a_doubled_column_are_refused():
    with pytest.raises(InputError, match="schema version 7 is not 1"):
        Schema.from_json('{"version": 7, "columns": []}')
    with pytest.raises(InputError, match="column 'size' stands twice"):
        Schema.from_json(json.dumps({"version": 1, "columns": [SIZE, SIZE]}))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({**SIZE, "low": float("nan")}, r"'size' of the schema: low: nan is no finite number"),
        ({**SIZE, "high": float("inf")}, r"'size' of the schema: high: inf is no finite number"),
        (
            {**SIZE, "quantiles": [0, float("nan"), 2]},
            r"'size' of the schema: quantiles: nan is no finite number",
        ),
        ({**SIZE, "quantiles": [5]}, r"'size' of the schema: one quantile alone"),
        ({**SIZE, "kind": "angle", "quantiles": [0, 1]}, r"'size' .*is angle: it has no quantiles"),
        ({**SIZE, "kind": "angle", "unit": "rad"}, r"'size' .*angle is in degrees, got unit 'rad'"),
        ({**SITE, "low": 0}, r"'site' of the schema is categorical: it has no low"),
        ({**SITE, "high": 9}, r"'site' of the schema is categorical: it has no high"),
        ({**SITE, "unit": "mm"}, r"'site' of the schema is categorical: it has no unit"),
        ({**SITE, "quantiles": [0, 1]}, r"'site' .*is categorical: it has no quantiles"),
        (
            {**SITE, "unit": "mm", "low": 0, "high": 9, "quantiles": [0, 1]},
            r"'site' .*it has no unit, low, high, quantiles: take out what another kind has left",
        ),
        ({**SITE, "kind": "boolean", "low": 0}, r"'site' of the schema is boolean: it has no low"),
        ({**SITE, "kind": "multi", "unit": "mm"}, r"'site' of the schema is multi: it has no unit"),
    ],
)
def test_an_edit_that_would_be_passed_over_is_refused(column, message):
    with pytest.raises(InputError, match=message):
        Schema.from_json(json.dumps({"version": 1, "columns": [column]}))


def test_an_unknown_key_beside_the_columns_is_refused():
    text = json.dumps({"version": 1, "colums": [], "columns": [SIZE]})
    with pytest.raises(InputError, match=r"the schema has an unknown key 'colums'.*'columns'"):
        Schema.from_json(text)


@pytest.mark.parametrize("columns", [None, 5, "size", {"size": SIZE}])
def test_columns_that_are_no_list_are_refused(columns):
    with pytest.raises(
        InputError, match="columns must be a list, got " + re.escape(json.dumps(columns))
    ):
        Schema.from_json(json.dumps({"version": 1, "columns": columns}))


def column(**options):
    return ColumnSchema("x", "lesion", **options)


def encode(schema, values):
    return Schema((schema,)).encode(pd.DataFrame({"x": pd.Series(values)}))


def test_codes_of_a_numeric_column_tell_missing_from_unknown():
    given = column(kind="numeric", missing=("-1",), unknown=("999",), low=0.0, high=10.0)
    fitted = fit_column(given, pd.Series([0.0, 5.0, -1.0, 999.0]))
    assert (fitted.quantiles[0], fitted.quantiles[-1]) == (0.0, 5.0)
    found = encode(fitted, [0.0, -1.0, 999.0, None, "unknown"])
    assert found.observed[:, 0].tolist() == [True, False, True, False, True]
    assert found.words[:, 0].tolist() == [False, False, True, False, True]
    assert found.numeric[0, 0] < 0.0
    assert found.numeric[1:, 0].tolist() == [0.0] * 4


def test_codes_of_words_tell_missing_from_unknown():
    given = column(kind="categorical", missing=("NA",), unknown=("?",))
    fitted = fit_column(given, pd.Series(["arm", "NA", "?", "leg", None]))
    assert fitted.categories == ("arm", "leg")
    found = encode(fitted, ["arm", "NA", "?", "unknown", None])
    assert found.observed[:, 0].tolist() == [True, False, True, True, False]
    assert found.words.int().tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_a_cell_may_hold_several_answers():
    fitted = fit_column(column(kind="multi"), pd.Series(["red; blue", "red", None, "unknown"]))
    assert fitted.categories == ("blue", "red")
    found = encode(fitted, ["red;blue", "blue", "green", "green; red", None, "unknown"])
    assert found.words.int().tolist() == [
        [0, 1, 1], [0, 1, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0],
    ]  # fmt: skip
    assert found.observed[:, 0].tolist() == [True, True, False, True, False, True]


@pytest.mark.parametrize(
    "values",
    [
        ["True", "False", "unknown"],
        ["1.0", "0", "unknown"],
        ["Yes", "no", "Unknown"],
        ["Y", "n", "UNKNOWN"],
    ],
)
def test_booleans_are_read_as_they_are_spelled(values):
    fitted = fit_column(column(kind="boolean"), pd.Series(values))
    assert encode(fitted, values).words.int().tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_codes_and_categories_of_booleans_are_read_as_their_cells():
    given = column(kind="boolean", categories=("Yes", "No"), missing=("NA",), unknown=("UNK",))
    found = encode(given, ["YES", "no", "UNK", "unk", "na", "perhaps", None])
    assert (
        found.words.int().tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 0, 0]] + [[0] * 3] * 3
    )
    assert found.observed[:, 0].tolist() == [True] * 4 + [False] * 3


def test_words_that_a_column_does_not_know_are_counted():
    sites = column(kind="categorical", categories=("arm",), missing=("NA",), unknown=("?",))
    cells = pd.Series(["arm", "leg", "NA", "?", "leg", "unknown", None, "back"])
    assert unseen_words(sites, cells) == {"leg": 2, "back": 1}
    answers = pd.Series(["Perhaps", "yes", "FALSE", "perhaps"])
    assert unseen_words(fit_column(column(kind="boolean"), answers), answers) == {
        "Perhaps": 1,
        "perhaps": 1,
    }
    assert unseen_words(column(kind="multi", categories=("a",)), pd.Series(["a; b", "b"])) == {
        "b": 2
    }
    assert unseen_words(column(kind="numeric"), pd.Series([1.0, 2.0])) == {}


def test_a_code_of_a_numeric_column_may_be_a_word():
    given = column(kind="numeric", missing=("?", "-1"), unknown=("not told",), high=9.0)
    fitted = fit_column(given, pd.Series(["1.5", "2.5", "?", "-1", "not told", None]))
    assert (fitted.quantiles[0], fitted.quantiles[-1]) == (1.5, 2.5)
    found = encode(fitted, ["2", "?", "-1.0", "not told", "unknown", None])
    assert found.observed[:, 0].tolist() == [True, False, False, True, True, False]
    assert found.words[:, 0].tolist() == [False, False, False, True, True, False]


def test_a_word_in_a_numeric_column_is_named():
    message = (
        r"'x' is numeric in the schema: 'arm' is no number: if it is a code, list it as missing or "
        "unknown"
    )
    with pytest.raises(InputError, match=message):
        encode(column(kind="numeric", quantiles=(0.0, 1.0)), [1.0, "arm"])


def test_an_infinite_number_is_named():
    column = ColumnSchema(name="x", level="lesion", kind="numeric")
    with pytest.raises(InputError, match="column 'x': '1e400' is no finite number"):
        fit_column(column, pd.Series(["1", "1e400", "2"], name="x"))


def test_a_value_that_most_rows_have_is_mapped_to_the_middle_of_its_share():
    values = pd.Series([0.0] * 50 + list(range(1, 51)))
    fitted = fit_column(column(kind="numeric"), values)
    found = encode(fitted, [0.0, 25.0, 50.0]).numeric[:, 0].double()
    levels = torch.special.ndtr(found)
    torch.testing.assert_close(levels[0], torch.tensor(0.255).double(), atol=0.01, rtol=0)
    torch.testing.assert_close(levels[1], torch.tensor(0.745).double(), atol=0.01, rtol=0)


@few_examples
@given(st.floats(-1e9, 1e9))
def test_a_column_of_one_value_is_encoded(value):
    fitted = fit_column(column(kind="numeric"), pd.Series([value, value]))
    assert float(encode(fitted, [value]).numeric) == pytest.approx(0.0, abs=1e-6)


@few_examples
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30), st.floats(-1e9, 1e9))
def test_numbers_are_mapped_monotonically_to_a_bounded_range(training, other):
    quantiles = np.quantile(training, np.linspace(0, 1, 101))
    column = ColumnSchema("x", "lesion", "numeric", quantiles=tuple(map(float, quantiles)))
    values = sorted([*training, other])
    encoded = Schema((column,)).encode(pd.DataFrame({"x": values})).numeric[:, 0]
    assert (encoded.diff() >= 0).all()
    assert encoded.abs().max() < 3.0


def test_the_embedded_lesions_have_both_levels():
    data = load_data("lesions")
    schema = infer_schema(data, np.arange(len(data)))
    assert {column.name for column in schema.at("patient").columns} >= {"age", "gender", "smoke"}
    assert {column.name for column in schema.at("lesion").columns} >= {"region", "itch"}
