"""A user's schema: written, edited, read back, checked against the data."""

import json

import numpy as np
import pytest

from conftest import assert_bad_input
from helpers.small_data import build_data
from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError
from toolkit_common.sources.load import load_data
from toolkit_slimp.metadata.infer import infer_schema, load_schema
from toolkit_slimp.metadata.table import encode_table

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
    found = json.loads(infer_schema(data, ROWS).to_json())
    if column:
        next(item for item in found["columns"] if item["name"] == column["name"]).update(column)
    if edit:
        edit(found["columns"])
    path.write_text(json.dumps(found))
    return path


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


def test_a_column_of_the_acquisition_is_read_only_if_asked_for_and_said_to_be(tmp_path, capsys):
    data = patients(site=["north", "south", "north", "south"])
    assert "site" not in [column.name for column in infer_schema(data, ROWS).columns]
    site = {"name": "site", "level": "lesion", "kind": "categorical"}
    path = write(tmp_path / "schema.json", data, edit=lambda columns: columns.append(site))
    assert load_schema(path, data, ROWS).columns[-1].categories == ("north", "south")
    assert "column 'site' is read as asked: tells the hospital" in capsys.readouterr().err


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


@pytest.mark.parametrize("name", ["age", "age_approx", "Age"])
def test_a_numeric_age_of_a_table_is_kept_within_a_life(name):
    ages = ["30", "30", "121", "121", "45", "45"]
    data = build_data(list("ababab"), groups=list("ppqqrr"), **{name: ages})
    schema = infer_schema(data, ROWS)
    (age,) = schema.columns
    assert (age.level, age.unit, age.low, age.high) == ("patient", "years", 0.0, 120.0)
    message = f"'small': column '{name}': 2 values above 120 years, the first 121 of image i2"
    with pytest.raises(InputError, match=message):
        encode_table(data, schema)


def test_ages_in_words_and_other_numbers_have_no_range():
    data = build_data(list("abab"), age=["young", "old", "old", "young"], depth=list("1234"))
    assert {(item.unit, item.low, item.high) for item in infer_schema(data, ROWS).columns} == {
        ("", None, None)
    }


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


def asked(**column):
    """Data with a yes and no, and the edit of its column."""
    return patients(itch=["Yes", "No", "Yes", None]), {"name": "itch", "level": "lesion", **column}


@pytest.mark.parametrize("edit", [{}, {"categories": ["Yes", "No"]}])
def test_a_yes_and_no_may_be_made_a_boolean(tmp_path, capsys, edit):
    data, itch = asked(kind="boolean", **edit)
    path = write(tmp_path / "schema.json", data, edit=lambda columns: columns.append(itch))
    schema = load_schema(path, data, ROWS).at("lesion")
    assert schema.encode(data.table).observed[:, -1].tolist() == [True, True, True, False]
    assert "itch" not in capsys.readouterr().err


def test_a_column_whose_words_are_not_the_data_s_is_refused(tmp_path):
    data, itch = asked(kind="categorical", categories=["true", "false"])
    path = write(tmp_path / "schema.json", data, edit=lambda columns: columns.append(itch))
    message = (
        r"column 'itch': none of its 3 training values is a word of the schema \('Yes' 2, 'No' "
        r"1\): mend its kind or its categories, or delete these to have them fitted"
    )
    with pytest.raises(InputError, match=message):
        load_schema(path, data, ROWS)


def test_words_of_the_training_rows_that_the_schema_lacks_are_told(tmp_path, capsys):
    data, itch = asked(kind="categorical", categories=["Yes"])
    path = write(tmp_path / "schema.json", data, edit=lambda columns: columns.append(itch))
    load_schema(path, data, ROWS)
    told = "column 'itch': words that the schema lacks are read as missing: 'No' 1 (of 3 training"
    assert told in capsys.readouterr().err
    load_schema(path, data, np.array([0, 2]))
    assert "itch" not in capsys.readouterr().err


def test_a_numeric_column_with_words_for_missing_can_be_made_numeric(tmp_path):
    data = patients(BARE, depth=["1.5", "2.5", "?", "4"])
    change = {"name": "depth", "kind": "numeric", "missing": ["?"], "categories": []}
    schema = load_schema(write(tmp_path / "schema.json", data, **change), data, ROWS)
    depth = next(column for column in schema.columns if column.name == "depth")
    assert (depth.quantiles[0], depth.quantiles[-1]) == (1.5, 4.0)


# The command


def test_text_that_holds_numbers_is_numeric_but_for_a_yes_and_no(tmp_path):
    values = {"size": ["1.5", "2", None, "9"], "flag": list("0110"), "site": list("1xyz"),
              "itch": ["Yes", "no", "unknown", None]}  # fmt: skip
    data = build_data(list("abab"), groups=list("ppqq"), **values)
    kinds = {column.name: column.kind for column in infer_schema(data, ROWS).columns}
    assert kinds == {"size": "numeric", "flag": "categorical", "site": "categorical",
                     "itch": "boolean"}  # fmt: skip


def test_the_command_writes_the_schema_that_pretraining_infers(run_cli, tmp_path):
    result = run_cli("data", "schema", "lesions")
    assert result.exit_code == 0, result.output
    data = load_data("lesions")
    expected = infer_schema(data, make_splits(data).train)
    assert (tmp_path / "schema.json").read_text() == expected.to_json()
    assert "age" in result.stdout
    assert "toolkit pretrain slimp --data lesions --schema schema.json" in result.stdout


def test_the_command_keeps_an_edited_schema_unless_told_otherwise(run_cli, tmp_path):
    path = tmp_path / "own.json"
    path.write_text("edited")
    arguments = ["data", "schema", "lesions", "--output", path]
    assert_bad_input(run_cli(*arguments), f"{path} exists", "--overwrite")
    assert path.read_text() == "edited"
    assert run_cli(*arguments, "--overwrite").exit_code == 0
    assert json.loads(path.read_text())["version"] == 1


def test_the_command_refuses_a_place_that_is_no_file_for_it(run_cli, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for options in ([], ["--overwrite"]):
        result = run_cli("data", "schema", "lesions", "-o", folder, *options)
        assert_bad_input(result, f"{folder} is a folder", "--output")
    below = folder / "file"
    below.write_text("text")
    result = run_cli("data", "schema", "lesions", "-o", below / "schema.json")
    assert_bad_input(result, f"--output in {below} cannot be made: {below} is a file")
    assert below.read_text() == "text"
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_the_command_prints_json_and_writes_nothing(run_cli, tmp_path):
    result = run_cli("data", "schema", "lesions", "--json")
    assert json.loads(result.stdout)["columns"]
    assert not (tmp_path / "schema.json").exists()


def test_data_without_metadata_have_no_schema(run_cli):
    assert_bad_input(run_cli("data", "schema", "digits"), "'digits' has no metadata columns")
