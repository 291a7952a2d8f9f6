"""Which class counts as what: read from the rows, described in one line."""

import pytest

from helpers.small_data import build_data
from toolkit_common.data.labels import describe_label_map, label_map
from toolkit_common.data.sheet import BinaryLabel, Sheet
from toolkit_common.sources.load import load_data


def test_the_map_is_what_the_rows_say() -> None:
    diagnoses = ["nevus", "melanoma", "unsure", "unsure", None, "nevus"]
    answers = ["benign", "malignant", "malignant", None, None, "benign"]
    binary = BinaryLabel(
        "malignant", of="diagnosis", either=frozenset({"unsure"}), either_name="premalignant"
    )
    sheet = Sheet("small", binary=binary)
    data = build_data(["x"] * 6, diagnosis=diagnoses, malignant=answers, sheet=sheet)
    expected = {
        "malignant": {"melanoma": 1, "unsure": 1},
        "benign": {"nevus": 2},
        "left out": {"unnamed": 1, "unsure": 1},
    }
    assert label_map(data) == expected
    assert list(label_map(data)) == list(expected)
    line = describe_label_map(expected, binary)
    assert line == (
        "label map: malignant is melanoma 1, unsure 1 (premalignant); benign is nevus 2; left out "
        "is unnamed 1, unsure 1 (premalignant); --premalignant-as counts premalignant ones "
        "otherwise"
    )


def test_data_without_binary_label_have_no_map() -> None:
    columns = {"malignant": ["malignant", "benign"], "diagnosis": ["melanoma", "nevus"]}
    assert label_map(build_data(["a", "b"], **columns)) == {}


@pytest.mark.parametrize(
    ("choice", "answer"), [("benign", "benign"), ("malignant", "malignant"), ("drop", "left out")]
)
def test_premalignant_diagnoses_stand_where_the_user_puts_them(choice: str, answer: str) -> None:
    result = label_map(load_data("lesions", premalignant_as=choice))
    assert [name for name, diagnoses in result.items() if "ACK" in diagnoses] == [answer]
