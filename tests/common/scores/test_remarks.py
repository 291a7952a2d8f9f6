"""Each remark once, behind its rows; those that differ in numbers alone are one line."""

from toolkit_common.scores.remarks import Remark, alike, remarks_of


def test_rows_of_a_remark_are_named_and_of_many_the_first():
    assert str(Remark("the table")) == "the table"
    assert str(Remark("low", ("a", "b"))) == "a, b: low"
    assert str(Remark("low", ("a", "b", "c", "d", "e"))) == "a, b, c and 2 more: low"


def test_each_remark_stands_once():
    remarks = remarks_of([("a", "low"), ("b", "high"), ("b", "low"), ("b", "low")])
    assert list(map(str, remarks)) == ["a, b: low", "b: high"]


def test_what_differs_in_numbers_alone_is_one_line():
    remarks = [
        Remark("loss 0.763, above 0.668", ("a",)),
        Remark("fold 3: k 5 is the lowest", ("a",)),
        Remark("folds 0, 1: k 5 is the lowest", ("c",)),
        Remark("loss 1e-05, above 7", ("b", "a")),
        Remark("k 50 is the highest", ("a",)),
        Remark("no precision@1"),
        Remark("no precision@10"),
    ]
    assert list(map(str, alike(remarks))) == [
        "a, b: loss 0.763, above 0.668; so 2 times, with other numbers",
        "a, c: fold 3: k 5 is the lowest; so 2 times, with other numbers",
        "a: k 50 is the highest",
        "no precision@1",
        "no precision@10",
    ]
