"""Columns of a table without a sheet: what they are, and why some are no metadata."""

import numpy as np
import pandas as pd
import pytest

from toolkit_common.errors import InputError
from toolkit_common.sources.columns import Typed, guess_level, type_columns

ROWS = 40


def read(cells: list[str | None], **options: str) -> Typed:
    frame = pd.DataFrame({"x": pd.Series((cells * ROWS)[:ROWS], dtype=object)})
    return type_columns(frame, ["x"], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cells", "kind", "expected"),
    [
        (["12,5", "3", "4,25"], "numeric", ["12.5", "3", "4.25"]),
        (["5 mm", "6 mm", "7,5 mm"], "numeric", ["5 mm", "6 mm", "7.5 mm"]),
        (["1", "2", "UNK", "3"], "numeric", ["1", "2", "unknown", "3"]),
        (["0", "1.0", "1"], "categorical", ["0", "1", "1"]),  # codes of a yes and no
        (["Yes", "no", "UNK"], "boolean", ["true", "false", "unknown"]),
        (["TRUE", "False", None], "boolean", ["true", "false", None]),
        (["WAHR", "FALSCH"], "boolean", ["true", "false"]),
        (["arm", "leg", "Unknown"], "categorical", ["arm", "leg", "unknown"]),
        (["1", "2", "3-4"], "categorical", ["1", "2", "3-4"]),
        (["a;b", "b"], "multi", ["a;b", "b"]),
    ],
)
def test_a_column_is_what_its_cells_say(
    cells: list[str | None], kind: str, expected: list[str | None]
) -> None:
    typed = read(cells)
    assert [column.kind for column in typed.columns] == [kind]
    values = typed.frame["x"].astype(object)
    assert values.where(values.notna(), None).tolist()[: len(cells)] == expected


def test_a_unit_stands_in_the_column() -> None:
    (size,) = read(["5 mm", "6 mm", "7 mm"]).columns
    assert (size.unit, size.low) == ("mm", None)
    frame = pd.DataFrame({"age": ["45 y", "50 y", "61 y"] * 5})
    (age,) = type_columns(frame, ["age"]).columns
    assert (age.unit, age.low, age.high) == ("years", 0.0, 120.0)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ([None], "no value"),
        (["x", None], "one value, 'x'"),
        ([f"n{number}" for number in range(ROWS)], "40 different words in 40 rows"),
        (["5 mm", "0,5 cm"], "cells of several units, '5 mm' and '0,5 cm'"),
        (["1,234", "2"], "numbers that may be 1.234 or 1234"),
        (
            [*map(str, range(20)), "ca. 5"],
            "numbers, but for 1 word such as 'ca. 5': mend or empty them",
        ),
        ([f"{number}" + ";a" for number in "abcdefghij" * 7], None),
        ([f"{number};b" for number in np.arange(ROWS) + 100] * 2, None),
    ],
)
def test_what_is_no_metadata_is_named_with_the_reason(
    cells: list[str | None], reason: str | None
) -> None:
    typed = read(cells)
    assert len(typed.columns) == (reason is None)
    assert reason is None or reason in typed.unread["x"]


def test_many_answers_are_no_vocabulary() -> None:
    cells = [f"a{number};b{number}" for number in range(ROWS)]
    assert read(cells).unread == {"x": "80 different answers"}


def test_spellings_of_a_word_that_may_be_one_are_refused() -> None:
    with pytest.raises(InputError, match=r"column 'x' spells .*'Arm' \(14\), 'arm' \(13\)"):
        read(["Arm", "arm", "leg"])
    merged = read(["Arm", "arm", "leg"], merge="spelling")
    assert set(merged.frame["x"]) == {"Arm", "leg"}


def test_what_is_personal_is_the_patients_unless_a_patient_has_two() -> None:
    frame = pd.DataFrame({"patient": list("ppqrst")}, dtype=object)
    frame["sex"] = ["f", None, "m", "f", "m", "f"]
    frame["size"] = ["1", None, "2", "3", "4", "5"]
    frame["Age"] = ["40", "41", "50", "60", "70", "80"]
    typed = type_columns(frame, ["sex", "size", "Age"], patients=frame["patient"])
    levels = {item.name: item.level for item in typed.columns}
    assert levels == {"sex": "patient", "size": "lesion", "Age": "lesion"}
    assert typed.differing == {"Age": 1}


@pytest.mark.parametrize(
    ("cells", "patients", "level"),
    [
        (["a", "a", "b", "b"], "ppqq", "patient"),
        (["a", "b", "b", "b"], "ppqq", "lesion"),
        (["a", "unknown", "b", "b"], "ppqq", "lesion"),  # known once in half of them
        (["a", "b", "c", "d"], "pqrs", "lesion"),  # nothing to compare with
        (["a", "a", "b", "b"], None, "lesion"),
    ],
)
def test_a_column_is_the_patients_if_no_patient_has_two(
    cells: list[str], patients: str | None, level: str
) -> None:
    owners = None if patients is None else pd.Series(list(patients))
    assert guess_level(pd.Series(cells, dtype=object), owners) == level
