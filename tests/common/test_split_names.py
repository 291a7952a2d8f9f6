"""Names of splits: what people write, and what they are here."""

import pytest

from toolkit_common.errors import InputError
from toolkit_common.split_names import normal_split


@pytest.mark.parametrize(
    ("name", "expected"),
    [("train", "train"), ("Training", "train"), ("VAL", "val"), ("dev", "val"), ("valid", "val"),
     ("validation", "val"), ("Test", "test"), ("testing", "test")],
)  # fmt: skip
def test_names_of_one_meaning_are_one_split_in_any_case(name: str, expected: str) -> None:
    assert normal_split(name, "x.csv") == expected


@pytest.mark.parametrize("name", ["", "fold1", 3, None])
def test_other_names_are_refused_with_their_place(name: object) -> None:
    with pytest.raises(InputError, match=f"^x.csv: row 3: split {name!r} is none of train, "):
        normal_split(name, "x.csv: row 3")
