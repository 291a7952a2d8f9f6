"""Names are looked up in literal dicts; a misspelt one is answered with the nearest."""

import pytest

from toolkit_common.errors import InputError
from toolkit_common.registry import did_you_mean, lookup

TABLE = {"ep": 1, "simpool": 2, "esimpool": 3, "knn": 4}


def test_a_known_name_gives_its_value() -> None:
    assert lookup(TABLE, "simpool", kind="method") == 2


def test_a_misspelt_name_is_answered_with_the_nearest_ones() -> None:
    expected = (
        r"^unknown method 'simpol'; did you mean 'simpool' or 'esimpool'\? "
        r"choose from: ep, esimpool, knn, simpool$"
    )
    with pytest.raises(InputError, match=expected):
        lookup(TABLE, "simpol", kind="method")


def test_a_name_that_is_near_none_is_answered_with_all() -> None:
    with pytest.raises(InputError, match=r"^unknown method 'zzzzzz'; choose from: ep, esimpool"):
        lookup(TABLE, "zzzzzz", kind="method")


def test_the_answer_is_sorted_whatever_the_order_of_the_choices() -> None:
    assert did_you_mean("q", ["b", "c", "a"]) == "; choose from: a, b, c"


def test_of_very_many_choices_the_first_are_named():
    text = did_you_mean("?", [f"model-{number:03d}" for number in range(100)])
    assert text.startswith("; choose from: model-000, model-001, ")
    assert text.endswith("model-039 and 60 more")
