"""A user's schema: edited, read back, checked in itself and against the data."""

import json
import re

import numpy as np
import pytest
from hypothesis import given

from helpers.mutations import mutated, reads_or_refuses
from helpers.properties import few_examples
from helpers.small_data import build_data
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.errors import InputError
from toolkit_slimp.metadata.infer import infer_schema
from toolkit_slimp.metadata.schema_file import load_schema, read_schema
from toolkit_slimp.metadata.table import encode_rows, encode_table

SHEET = Sheet(
    "toy",
    labels=("label",),
    columns=(Column("age", "patient", "numeric", low=0, high=120), Column("size", "lesion",
             "numeric")),
    leaks={"biopsed": "decided after the diagnosis"},
    acquisition={"site": "tells the hospital"},
)  # fmt: skip


BARE = Sheet("bare")


ROWS = np.arange(4)


def patients(sheet=SHEET, **columns):
    values = {"age": [30.0, 30.0, 0.0, 0.0], "size": [1.0, 2.0, 3.0, 4.0], **columns}
    return build_data(list("abab"), groups=list("ppqq"), sheet=sheet, **values)


def write(path, data, edit=None, **column):
    """Write the data's schema, edited: one column changed, or the list of columns."""
    schema = json.loads(infer_schema(data, ROWS).to_json())
    if column:
        next(item for item in schema["columns"] if item["name"] == column["name"]).update(column)
    if edit:
        edit(schema["columns"])
    path.write_text(json.dumps(schema))
    return path


SIZE = {"name": "size", "level": "lesion", "kind": "numeric"}


SITE = {"name": "site", "level": "lesion", "kind": "categorical"}


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1}', '{"version": 1, "columns": [{}]}'])
def test_what_is_no_schema_is_refused(text):
    with pytest.raises(InputError, match="metadata schema"):
        read_schema(text)


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
        read_schema(json.dumps({"version": 1, "columns": [column]}))


def test_another_version_and_a_doubled_column_are_refused():
    with pytest.raises(InputError, match="schema version 7 is not 1"):
        read_schema('{"version": 7, "columns": []}')
    with pytest.raises(InputError, match="column 'size' stands twice"):
        read_schema(json.dumps({"version": 1, "columns": [SIZE, SIZE]}))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({**SIZE, "low": float("nan")}, "NaN is no number of JSON"),
        ({**SIZE, "high": float("inf")}, "Infinity is no number of JSON"),
        (
            {**SIZE, "quantiles": [0, float("nan"), 2]},
            "NaN is no number of JSON",
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
        read_schema(json.dumps({"version": 1, "columns": [column]}))


def test_an_unknown_key_beside_the_columns_is_refused():
    text = json.dumps({"version": 1, "colums": [], "columns": [SIZE]})
    with pytest.raises(InputError, match=r"the schema has an unknown key 'colums'.*'columns'"):
        read_schema(text)


@pytest.mark.parametrize("columns", [None, 5, "size", {"size": SIZE}])
def test_columns_that_are_no_list_are_refused(columns):
    with pytest.raises(
        InputError, match="columns must be a list, got " + re.escape(json.dumps(columns))
    ):
        read_schema(json.dumps({"version": 1, "columns": columns}))


def test_what_is_written_is_what_is_read(tmp_path):
    data = patients()
    schema = infer_schema(data, ROWS)
    path = tmp_path / "schema.json"
    path.write_text(schema.to_json())
    read = load_schema(path, data, ROWS)
    assert read == schema
    assert read.digest() == schema.digest()


def test_a_denied_column_is_refused_by_name_with_the_reason(tmp_path):
    leak = {"name": "biopsed", "level": "lesion", "kind": "boolean"}
    path = write(tmp_path / "schema.json", patients(), edit=lambda columns: columns.append(leak))
    reason = r"'biopsed' of 'small' must never be an input: decided after the diagnosis; take it"
    with pytest.raises(InputError, match=reason):
        load_schema(path, patients(), ROWS)


def test_a_column_of_the_acquisition_is_read_only_if_requested_and_reported(tmp_path, capsys):
    data = patients(site=["north", "south", "north", "south"])
    assert "site" not in [column.name for column in infer_schema(data, ROWS).columns]
    site = {"name": "site", "level": "lesion", "kind": "categorical"}
    path = write(tmp_path / "schema.json", data, edit=lambda columns: columns.append(site))
    assert load_schema(path, data, ROWS).columns[-1].categories == ("north", "south")
    assert "column 'site' is read as requested: tells the hospital" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("label", "column 'label' is a label, never an input"),
        ("group", "column 'group' is a key, never an input"),
        ("weight", "the data has no metadata column 'weight' of the schema"),
    ],
)
def test_columns_that_are_no_inputs_are_refused(tmp_path, name, message):
    other = {"name": name, "level": "lesion", "kind": "categorical"}
    path = write(tmp_path / "schema.json", patients(), edit=lambda columns: columns.append(other))
    with pytest.raises(InputError, match=message):
        load_schema(path, patients(), ROWS)


def test_a_column_that_differs_within_patients_is_no_patient_column(tmp_path):
    path = write(tmp_path / "schema.json", patients(), name="size", level="patient")
    with pytest.raises(InputError, match=r"'size' is the patient's.*differs.*of 2 patients"):
        load_schema(path, patients(), ROWS)


def test_values_out_of_an_edited_range_are_counted(tmp_path):
    path = write(tmp_path / "schema.json", patients(), name="size", high=1.5)
    schema = load_schema(path, patients(), ROWS)
    message = (
        r"^data set 'small': column 'size': 3 values above 1.5, the first 2 of image i1: mend the "
        "data, list a code as missing, or widen the column's range in the schema$"
    )
    with pytest.raises(InputError, match=message):
        encode_table(patients(), schema)


@pytest.mark.parametrize(("place", "cell"), [(0, "wide"), (2, "1e400")])
def test_a_cell_that_is_no_number_is_named_by_data_set_and_image(tmp_path, place, cell):
    good = ["1", "2", "3", "4"]
    path = write(tmp_path / "schema.json", patients(BARE, depth=good), name="depth", quantiles=[])
    cells = [cell if number == place else value for number, value in enumerate(good)]
    message = rf"^data set 'small': column 'depth'.*'{cell}' is no .*number \(image i{place}\)"
    with pytest.raises(InputError, match=message):
        load_schema(path, patients(BARE, depth=cells), ROWS)
    schema = infer_schema(patients(BARE, depth=good), ROWS)
    with pytest.raises(InputError, match=message):
        encode_table(patients(BARE, depth=cells), schema)


def test_deleted_quantiles_are_fitted_anew_on_training_rows(tmp_path):
    codes = {"missing": ["4"], "quantiles": []}
    path = write(tmp_path / "schema.json", patients(), name="size", **codes)
    column = load_schema(path, patients(), np.arange(1, 4)).at("lesion").columns[0]
    assert (column.quantiles[0], column.quantiles[-1]) == (2.0, 3.0)


def test_a_kept_transform_is_not_touched(tmp_path):
    path = write(tmp_path / "schema.json", patients(), name="size", quantiles=[0.0, 100.0])
    column = load_schema(path, patients(), ROWS).at("lesion").columns[0]
    assert column.quantiles == (0.0, 100.0)


def test_files_that_are_no_schema_are_named(tmp_path):
    with pytest.raises(InputError, match=r"no schema at .*none.json: .*toolkit data schema small"):
        load_schema(tmp_path / "none.json", patients(), ROWS)
    with pytest.raises(InputError, match=f"cannot read the schema {tmp_path}"):
        load_schema(tmp_path, patients(), ROWS)
    path = tmp_path / "schema.json"
    path.write_text('{"version": 1, "columns": null}')
    with pytest.raises(InputError, match=f"{path}: not a metadata schema: .*must be a list"):
        load_schema(path, patients(), ROWS)
    path = write(path, patients(), edit=lambda columns: columns.clear())
    with pytest.raises(InputError, match=r"schema.json has no columns"):
        load_schema(path, patients(), ROWS)


def test_a_column_without_a_training_value_is_named(tmp_path):
    path = write(tmp_path / "schema.json", patients())
    empty = patients(size=[None, None, None, 4.0])
    with pytest.raises(InputError, match="'size' has no value in the training rows"):
        load_schema(path, empty, np.arange(3))


def yes_and_no(**column):
    """Data with a yes and no, and the edit of its column."""
    return patients(itch=["Yes", "No", "Yes", None]), {"name": "itch", "level": "lesion", **column}


@pytest.mark.parametrize("edit", [{}, {"categories": ["Yes", "No"]}])
def test_a_yes_and_no_may_be_made_a_boolean(tmp_path, capsys, edit):
    data, itch = yes_and_no(kind="boolean", **edit)
    path = write(tmp_path / "schema.json", data, edit=lambda columns: columns.append(itch))
    schema = load_schema(path, data, ROWS).at("lesion")
    assert encode_rows(schema, data.table).observed[:, -1].tolist() == [True, True, True, False]
    assert "itch" not in capsys.readouterr().err


def test_a_column_whose_words_are_not_the_data_s_is_refused(tmp_path):
    data, itch = yes_and_no(kind="categorical", categories=["true", "false"])
    path = write(tmp_path / "schema.json", data, edit=lambda columns: columns.append(itch))
    message = (
        r"column 'itch': none of its 3 training values is a word of the schema \('Yes' 2, 'No' "
        r"1\): mend its kind or its categories, or delete these to have them fitted"
    )
    with pytest.raises(InputError, match=message):
        load_schema(path, data, ROWS)


def test_words_of_the_training_rows_that_the_schema_lacks_are_reported(tmp_path, capsys):
    data, itch = yes_and_no(kind="categorical", categories=["Yes"])
    path = write(tmp_path / "schema.json", data, edit=lambda columns: columns.append(itch))
    load_schema(path, data, ROWS)
    message = (
        "column 'itch': words that the schema lacks are read as missing: 'No' 1 (of 3 training"
    )
    assert message in capsys.readouterr().err
    load_schema(path, data, np.array([0, 2]))
    assert "itch" not in capsys.readouterr().err


def test_a_numeric_column_with_words_for_missing_can_be_made_numeric(tmp_path):
    data = patients(BARE, depth=["1.5", "2.5", "?", "4"])
    change = {"name": "depth", "kind": "numeric", "missing": ["?"], "categories": []}
    schema = load_schema(write(tmp_path / "schema.json", data, **change), data, ROWS)
    depth = next(column for column in schema.columns if column.name == "depth")
    assert (depth.quantiles[0], depth.quantiles[-1]) == (1.5, 4.0)


def test_words_unseen_in_training_still_make_a_patient_differ(tmp_path):
    data = patients(BARE, sex=["male", "male", "male", "moon"])
    sex = {"name": "sex", "level": "patient", "kind": "categorical", "categories": ["male"]}
    path = write(tmp_path / "schema.json", data, **sex)
    with pytest.raises(InputError, match=r"'sex' is the patient's.*differs.*of 1 patient"):
        load_schema(path, data, ROWS)


def test_a_mutated_schema_gives_an_error_or_a_schema(tmp_path):
    data = patients(SHEET)
    content = write(tmp_path / "schema.json", data).read_bytes()

    @few_examples
    @given(mutated(content))
    def check(changed):
        (tmp_path / "schema.json").write_bytes(changed)
        schema = reads_or_refuses(lambda: load_schema(tmp_path / "schema.json", data, ROWS))
        if schema is not None:
            assert encode_rows(schema, data.table).numeric.isfinite().all()

    check()
