"""What a cell says: the same for labels, groups and metadata."""

import math
from collections.abc import Callable

import pandas as pd
import pytest

from toolkit_common.data.cells import (
    Merge,
    Numbers,
    known_cell,
    near_word,
    parse_numbers,
    read_numbers,
    refuse_near,
    same_word,
    unify,
)
from toolkit_common.errors import InputError


def words(*cells: str | None) -> "pd.Series[str]":
    return pd.Series(cells, dtype=object, name="x")


def test_missing_is_an_empty_cell_or_what_is_said_to_be_one() -> None:
    assert [known_cell(cell) for cell in ("", " ", "NaN", "None", " a ")] == [None] * 4 + ["a"]
    assert [known_cell(cell, frozenset({"", "-"})) for cell in ("None", "-")] == ["None", None]


@pytest.mark.parametrize(
    ("rule", "one", "other", "alike"),
    [
        (same_word, "1", "1.0", True),
        (same_word, "-2.000", "-2", True),
        (same_word, "TRUE", "True", True),
        (same_word, "a  b", "a b", True),
        (same_word, "e\u0301", "\u00e9", True),  # the same letter, composed and not
        (same_word, "1.0", "1.5", False),
        (same_word, "007", "7", False),
        (same_word, "Nevus", "nevus", False),
        (near_word, "Nevus", "nevus", True),
        (near_word, "basal-cell", "Basal cell", True),
        (near_word, "Melanoma, NOS", "melanoma NOS", True),
        (near_word, "007", "7", True),
        (near_word, "1.10", "1.1", True),
        (near_word, "HER2+", "HER2-", False),
        (near_word, "1-2", "1/2", False),
        (near_word, "PAT_1_23", "PAT_12_3", False),
        (near_word, "a", "b", False),
    ],
)
def test_spellings_are_one_or_may_be_one(
    rule: Callable[[str], str], one: str, other: str, *, alike: bool
) -> None:
    assert (rule(one) == rule(other)) == alike


@pytest.mark.parametrize(
    ("cells", "expected", "unit"),
    [
        (["12.5", "3"], [12.5, 3.0], ""),
        (["12,5", "3"], [12.5, 3.0], ""),
        (["12,5", "12.5"], [12.5, 12.5], ""),
        (["1,234", "12,5"], [1.234, 12.5], ""),  # the other cell settles it
        (["1.234,5", "7"], [1234.5, 7.0], ""),
        (["1,234.5", "2,000"], [1234.5, 2000.0], ""),
        (["1,234,567", "8"], [1234567.0, 8.0], ""),
        (["5 mm", "6mm", "7.5 MM"], [5.0, 6.0, 7.5], "mm"),
        (["45 years", "46 y"], [45.0, 46.0], "years"),
        (["\u22123", "1e-3"], [-3.0, 0.001], ""),
    ],
)
def test_numbers_are_what_the_column_makes_of_them(
    cells: list[str], expected: list[float], unit: str
) -> None:
    numbers = read_numbers(cells)
    assert isinstance(numbers, Numbers)
    assert [float(numbers.spelled[cell]) for cell in cells] == expected
    assert numbers.unit == unit


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["1,234", "2"], r"numbers that may be 1.234 or 1234"),
        (["1.234", "12,5"], r"numbers that may be 1.234 or 1234"),
        (["5 mm", "0.5 cm"], "cells of several units, '5 mm' and '0.5 cm'"),
        (["5 mm", "6"], "cells of several units, '5 mm' and '6'"),
    ],
)
def test_numbers_in_doubt_are_not_read(cells: list[str], message: str) -> None:
    reason = read_numbers(cells)
    assert isinstance(reason, str)
    assert message in reason


@pytest.mark.parametrize(
    "cells", [["a", "1"], ["1a", "2b"], ["inf"], ["2020-01-01"], ["1,2,3"], []]
)
def test_words_are_no_numbers(cells: list[str]) -> None:
    assert read_numbers(cells) is None


def test_a_column_is_parsed_with_its_own_unit_alone() -> None:
    assert parse_numbers(words("5 mm", None, "3 mm"), unit="mm").dropna().tolist() == [5.0, 3.0]
    assert parse_numbers(words("5 cm", "3 cm"), unit="mm").isna().all()
    mixed = parse_numbers(words("12,5", "x", "3")).tolist()
    assert mixed[0] == 12.5
    assert math.isnan(mixed[1])
    assert mixed[2] == 3.0


def test_spellings_of_one_saying_become_one() -> None:
    cells = words("1", "1.0", None, "2.0", "TRUE", "True", "True")
    assert unify(cells, what="x").dropna().tolist() == ["1", "1", "2", "True", "True", "True"]


@pytest.mark.parametrize(
    ("merge", "expected"),
    [("spelling", ["b", "b", "b", "a"]), ("none", ["b", "B", "b", "a"])],
)
def test_somebody_says_whether_spellings_are_one(merge: Merge, expected: list[str]) -> None:
    assert unify(words("b", "B", "b", "a"), what="x", merge=merge).tolist() == expected


def test_spellings_that_may_be_one_are_named_with_their_counts() -> None:
    message = r"column 'dx' spells .* in 2 ways: 'B' \(1\), 'b' \(2\): .*\?merge=spelling"
    with pytest.raises(InputError, match=message):
        unify(words("b", "B", "b", "a"), what="column 'dx'")
    with pytest.raises(InputError, match=r"label 'dx' spells .*'B' \(1\), 'b' \(2\)"):
        refuse_near({"b": 2, "B": 1, "a": 4}, what="label 'dx'")
    refuse_near({"b": 2, "a": 4}, what="label 'dx'")
