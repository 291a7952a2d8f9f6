"""Which class counts as what: read from the rows, described in one line."""

import pytest

from helpers.small_data import build_data
from toolkit_common.data.labels import describe_label_map, is_no_class, label_map, refuse_no_classes
from toolkit_common.data.sheet import BinaryLabel, Sheet
from toolkit_common.errors import InputError
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
    assert label_map(data.table, sheet) == expected
    assert list(label_map(data.table, sheet)) == list(expected)
    line = describe_label_map(expected, binary)
    assert line == (
        "label map: malignant is melanoma 1, unsure 1 (premalignant); benign is nevus 2; left out "
        "is unnamed 1, unsure 1 (premalignant); --premalignant-as counts premalignant ones "
        "otherwise"
    )


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("-1 0 1", True),
        ("-1 0", True),
        ("0 1", False),
        ("-1 1", False),
        ("-1 0 a", False),
        ("-1 0 -2", False),
        ("", False),
    ],
)
def test_minus_one_is_no_class_beside_codes_from_zero(words: str, answer: bool) -> None:
    assert is_no_class(words.split()) is answer


def test_data_without_binary_label_have_no_map() -> None:
    columns = {"malignant": ["malignant", "benign"], "diagnosis": ["melanoma", "nevus"]}
    data = build_data(["a", "b"], **columns)
    assert label_map(data.table, data.sheet) == {}


@pytest.mark.parametrize(
    ("choice", "answer"), [("benign", "benign"), ("malignant", "malignant"), ("drop", "left out")]
)
def test_premalignant_diagnoses_stand_where_the_user_puts_them(choice: str, answer: str) -> None:
    data = load_data("lesions", premalignant_as=choice)
    result = label_map(data.table, data.sheet)
    assert [name for name, diagnoses in result.items() if "ACK" in diagnoses] == [answer]


def several(*words: str, images: int = 3) -> dict[str, int]:
    return dict.fromkeys(words, images)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (
            several(*(f"{30 + number * 0.7:.1f}" for number in range(20))),
            "quantity .*30, 30.7, 31.4",
        ),
        (several(*map(str, range(20, 60))), "quantity .40 different numbers such as 20, 21, 22"),
        (several("1,5", "2,5", "3", "4", "5"), "is a quantity .*1.5, 2.5, 3"),
        (several("a", "b", "a|b"), r"several labels a row, such as 'a\|b' \(3 rows\)"),
        (several("a;b", "b;c", "c"), "several labels a row"),
        (several("a|b", "b|c", "c|a"), "several labels a row"),
        (several("['a', 'b']", "['a']"), "several labels a row"),
    ],
)
def test_what_is_no_class_is_refused(counts: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=f"label 'x'.* {message}.* not offered"):
        refuse_no_classes(counts, what="label 'x'")


@pytest.mark.parametrize(
    "counts",
    [
        several("mel", "nev"),
        several("0", "1", "2"),
        several("0.0", "0.5", "1.0"),
        several(*map(str, range(1000))),
        several(*map(str, range(1, 101))),
        several(*map(str, range(3, 300, 7)), images=50),  # codes of many images each
        several("skin|nevus", "skin|melanoma"),  # levels of a hierarchy
        several("Melanoma, NOS", "Melanoma"),
        several("12", "7", "99"),
    ],
)
def test_classes_are_taken_as_such(counts: dict[str, int]) -> None:
    refuse_no_classes(counts, what="label 'x'")
