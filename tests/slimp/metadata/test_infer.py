"""The schema of a data set: its sheet's columns, else what the table shows."""

import numpy as np
import pytest

from helpers.small_data import build_data
from helpers.toy_metadata import fit_toy, sparse, toy
from toolkit_common.data.sheet import Sheet
from toolkit_common.errors import InputError
from toolkit_common.sources.load import load_data
from toolkit_slimp.metadata.infer import infer_schema
from toolkit_slimp.metadata.table import encode_table

ROWS = np.arange(4)


def test_transforms_are_fitted_on_training_rows_alone():
    _, first = fit_toy(rows=[0, 1, 2, 3])
    _, second = fit_toy(rows=[0, 1, 2, 3], angle=[0.0, 90.0, 180.0, None, 1.0, 99.0])
    assert first == second


def test_leaks_are_no_columns():
    _, schema = fit_toy()
    assert "biopsed" not in [column.name for column in schema.columns]


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


@pytest.mark.slow
def test_the_embedded_lesions_have_both_levels():
    data = load_data("lesions")
    schema = infer_schema(data, np.arange(len(data)))
    assert {column.name for column in schema.at("patient").columns} >= {"age", "gender", "smoke"}
    assert {column.name for column in schema.at("lesion").columns} >= {"region", "itch"}


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


def test_text_that_holds_numbers_is_numeric_but_for_a_yes_and_no(tmp_path):
    values = {"size": ["1.5", "2", None, "9"], "flag": list("0110"), "site": list("1xyz"),
              "itch": ["Yes", "no", "unknown", None]}  # fmt: skip
    data = build_data(list("abab"), groups=list("ppqq"), **values)
    kinds = {column.name: column.kind for column in infer_schema(data, ROWS).columns}
    assert kinds == {"size": "numeric", "flag": "categorical", "site": "categorical",
                     "itch": "boolean"}  # fmt: skip


@pytest.mark.parametrize(
    ("ages", "level"),
    [
        (["45", None, "45", "70", "70", None], "patient"),
        (["45", None, None, "70", None, None], "patient"),  # one value each: by its name
        (["45", None, "46", "70", "70", None], "lesion"),
        (["45", "unknown", "45", "70", "70", None], "patient"),
    ],
)
def test_a_level_is_inferred_from_the_values_that_are_known(ages, level):
    data = sparse(ages, "pppqqq", size=list("123456"))
    levels = {column.name: column.level for column in infer_schema(data, np.arange(6)).columns}
    assert levels == {"age": level, "size": "lesion"}
