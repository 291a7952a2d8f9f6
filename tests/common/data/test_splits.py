"""Train, validation and test: nobody on two sides, every class everywhere, the same every time."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.mutations import mutated_bytes, reads_or_refuses
from helpers.properties import few_examples
from helpers.small_data import build_data
from toolkit_common.data.dataset import SPLITS
from toolkit_common.data.settings import SplitSettings
from toolkit_common.data.sheet import Sheet
from toolkit_common.data.splits import Splits, keep_labelled, make_splits, read_splits, splits_table
from toolkit_common.errors import InputError


@st.composite
def grouped(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Patients with 1 to 6 images each, of classes that a patient may have several of."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=5, max_size=25))
    groups = [f"p{patient}" for patient, size in enumerate(sizes) for _ in range(size)]
    num_classes = draw(st.integers(1, 4))
    labels = [f"c{draw(st.integers(0, num_classes - 1))}" for _ in groups]
    order = draw(st.permutations(range(len(groups))))
    return [labels[row] for row in order], [groups[row] for row in order]


def sides(splits: Splits, values: np.ndarray) -> dict[str, set[object]]:
    return {name: set(values[splits[name]]) for name in SPLITS}


# Made splits


@pytest.mark.slow
@given(grouped(), st.integers(0, 5))
@few_examples
def test_every_row_is_on_one_side_and_no_group_on_two(
    columns: tuple[list[str], list[str]], seed: int
) -> None:
    labels, groups = columns
    splits = make_splits(build_data(labels, groups=groups), SplitSettings(split_seed=seed))
    rows = np.concatenate([splits[name] for name in SPLITS])
    assert sorted(rows) == list(range(len(labels))) == splits.all.tolist()
    train, val, test = sides(splits, np.array(groups)).values()
    assert len(train) + len(val) + len(test) == len(set(groups))
    assert train
    assert val
    assert test
    assert all((np.diff(splits[name]) > 0).all() for name in SPLITS)


@pytest.mark.slow
@given(grouped())
@few_examples
def test_splits_are_the_same_every_time(columns: tuple[list[str], list[str]]) -> None:
    labels, groups = columns
    first, second = (
        make_splits(build_data(labels, groups=groups), SplitSettings(split_seed=3))
        for _ in range(2)
    )
    assert all(np.array_equal(first[name], second[name]) for name in SPLITS)


@pytest.mark.parametrize(
    ("groups", "val", "test"),
    [
        (None, [2, 4, 15, 17, 21], [0, 1, 3, 10, 11]),
        # scikit-learn before 1.8 says 10, 11, 16, 17, 20 and 21 for test.
        ([f"p{row // 2}" for row in range(24)], [4, 5, 12, 13], [6, 7, 10, 11, 18, 19]),
    ],
    ids=["images", "patients"],
)
def test_a_seed_means_the_same_splits_in_all_versions(
    groups: list[str] | None, val: list[int], test: list[int]
) -> None:
    splits = make_splits(build_data(["a", "b", "b"] * 8, groups=groups))
    assert (splits.val.tolist(), splits.test.tolist()) == (val, test)


def test_the_split_seed_makes_other_splits() -> None:
    data = build_data(["a", "b"] * 50)
    tests = {tuple(make_splits(data, SplitSettings(split_seed=seed)).test) for seed in range(5)}
    assert len(tests) == 5


@pytest.mark.parametrize("per_group", [None, 1, 4])
def test_sizes_are_60_20_20_and_every_class_has_its_share(per_group: int | None) -> None:
    labels = (["a"] * 3 + ["b"] * 1) * 100
    groups = None if per_group is None else [f"g{row // per_group}" for row in range(400)]
    splits = make_splits(build_data(labels, groups=groups))
    assert [len(splits[name]) for name in SPLITS] == [240, 80, 80]
    for name in SPLITS:
        counts = Counter(np.array(labels)[splits[name]])
        assert counts["a"] / len(splits[name]) == pytest.approx(0.75, abs=0.02)


def test_a_rare_class_reaches_every_side_where_it_can() -> None:
    labels = ["common"] * 60 + ["rare"] * 5
    for seed in range(5):
        groups = [f"g{row}" for row in range(65)]
        splits = make_splits(build_data(labels, groups=groups), SplitSettings(split_seed=seed))
        assert all("rare" in np.array(labels)[splits[name]] for name in SPLITS)


def test_classes_of_a_few_images_each_can_be_split() -> None:
    labels = [f"c{row // 4}" for row in range(40)]
    splits = make_splits(build_data(labels))
    assert [len(splits[name]) for name in SPLITS] == [24, 8, 8]


def test_splits_do_not_depend_on_the_label_that_is_probed() -> None:
    """Pre-training and every probe must share their test patients."""
    rng = np.random.default_rng(0)
    groups = [f"p{row // 3}" for row in range(90)]
    diagnosis = rng.choice(["x", "y"], 90).tolist()
    sheet = Sheet("s", labels=("diagnosis", "label"))
    one = build_data(rng.choice(["a", "b"], 90).tolist(), groups=groups, sheet=sheet,
                     diagnosis=diagnosis)  # fmt: skip
    other = build_data([None, "a", "b"] * 30, groups=groups, sheet=sheet, diagnosis=diagnosis)
    first, second = make_splits(one), make_splits(other)
    assert all(np.array_equal(first[name], second[name]) for name in SPLITS)
    kept = keep_labelled(second, other, other.labels("label"))
    assert set(kept.test) < set(second.test)


def test_data_without_a_label_are_split_too() -> None:
    data = build_data(["a"] * 20, sheet=Sheet("x", labels=("dx",)))
    assert len(make_splits(data).train) == 12


@pytest.mark.parametrize("groups", [None, [f"g{row // 2}" for row in range(30)]])
def test_rows_without_a_label_are_split_too(groups: list[str] | None) -> None:
    data = build_data(["a", None, "b"] * 10, groups=groups)
    assert make_splits(data).all.tolist() == list(range(30))


def test_numbers_can_be_groups() -> None:
    data = build_data(["a", "b"] * 20, groups=[row // 4 for row in range(40)])
    assert not set(data.table["group"][make_splits(data).train]) & set(
        data.table["group"][make_splits(data).test]
    )


@pytest.mark.parametrize(
    ("groups", "printed"), [(["g1", "g2", "g3", "g4"] * 3, "4 groups"), (None, "4 images")]
)
def test_too_few_groups_are_refused(groups: list[str] | None, printed: str) -> None:
    data = build_data(["a"] * len(groups or "abcd"), groups=groups)
    with pytest.raises(InputError, match=f"cannot split {printed} into .*: at least 5 are needed"):
        make_splits(data)


def test_a_row_without_a_group_is_named() -> None:
    groups = ["g1", "g2", None, "g3", "g4", None, "g5", "g6"]
    with pytest.raises(InputError, match=r"image 'i2' of 'small' has no group \(2 of 8\)"):
        make_splits(build_data(["a"] * 8, groups=groups))


# Given splits


def given_splits(*splits: str, groups: list[str] | None = None) -> Splits:
    return make_splits(build_data(["a", "b"] * (len(splits) // 2), splits=splits, groups=groups))


def test_given_splits_are_taken_as_they_are() -> None:
    splits = given_splits("test", "train", "val", "train", "test", "train")
    assert [splits[name].tolist() for name in SPLITS] == [[1, 3, 5], [2], [0, 4]]
    assert splits.origin == "given"


def test_without_a_given_test_split_validation_becomes_test() -> None:
    splits = given_splits(*["train"] * 20, *["val"] * 4)
    assert splits.test.tolist() == [20, 21, 22, 23]
    assert (len(splits.train), len(splits.val)) == (16, 4)
    assert splits.origin.startswith("given; its validation split is the test split; validation: ")


def test_without_a_given_validation_split_a_fifth_of_train_is_taken() -> None:
    groups = [f"p{row // 2}" for row in range(24)]
    splits = given_splits(*["train"] * 20, *["test"] * 4, groups=groups)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (16, 4, 4)
    assert not {groups[row] for row in splits.val} & {groups[row] for row in splits.train}
    assert "a fifth of train, split seed 0" in splits.origin


@pytest.mark.parametrize(
    ("splits", "printed"),
    [
        (["train", "test", "val", "test"], "group 'p1' of 'small' is in train and in test"),
        (["train", "val", "test", "val"], "group 'p1' of 'small' is in train and in val"),
        (["val", "test", "train", "test"], "group 'p1' of 'small' is in val and in test"),
    ],
)
def test_a_group_on_two_given_sides_is_named(splits: list[str], printed: str) -> None:
    with pytest.raises(InputError, match=rf"{printed} \(1 such group\): figures would be inflated"):
        given_splits(*splits, groups=["p1", "p1", "p2", "p3"])


def test_groups_on_two_given_sides_are_counted() -> None:
    with pytest.raises(InputError, match=r"group 'a' .* \(2 such groups\)"):
        given_splits("train", "test", "train", "test", groups=["b", "b", "a", "a"])


def test_a_group_that_a_missing_validation_split_would_hide_is_named_by_the_given_names() -> None:
    splits = [*["train"] * 10, "val", "val"]
    groups = [f"p{row}" for row in range(11)] + ["p0"]
    with pytest.raises(InputError, match="group 'p0' of 'small' is in train and in val"):
        given_splits(*splits, groups=groups)


# Labelled rows


def test_rows_without_a_label_are_left_out() -> None:
    data = build_data(["a", None, "b", "a", "b", "a", "b", None], splits=["train"] * 4 + ["val"] * 2
                      + ["test"] * 2)  # fmt: skip
    kept = keep_labelled(make_splits(data), data, data.labels())
    assert [kept[name].tolist() for name in SPLITS] == [[0, 2, 3], [4, 5], [6]]
    assert kept.origin == "given"


def test_without_need_of_a_validation_split_train_stays_whole() -> None:
    data = build_data(["a", "b"] * 6, splits=["train"] * 8 + ["val"] * 4)
    splits = make_splits(data, hold_out=False)
    assert [len(splits[name]) for name in SPLITS] == [8, 0, 4]
    assert splits.origin == ("given; its validation split is the test split; no validation split")
    assert keep_labelled(splits, data, data.labels()).val.size == 0


def test_a_given_validation_split_stays_where_nobody_needs_it() -> None:
    data = build_data(["a", "b"] * 6, splits=["train"] * 6 + ["val"] * 2 + ["test"] * 4)
    assert [len(make_splits(data, hold_out=False)[name]) for name in SPLITS] == [6, 2, 4]


@pytest.mark.parametrize(
    ("labels", "splits", "message"),
    [
        (["a", "a", "b", "a"], "train val train test", r"class 'b' .* has 1 image: it cannot"),
        (["a", "b", "b", "a"], "train val test train", r"class 'b' .* no image in the train split"),
        (["a", "b", "a", "b"], "train train val val", r"the test split of 'small' is empty"),
        (["a", "b", "a", "b"], "test test val val", r"the train split of 'small' is empty \(given"),
        (["a", "b", "a", "b", None], "train train test test val", r"the val split .* is empty"),
    ],
)
def test_a_split_that_cannot_be_learned_or_judged_is_refused(
    labels: list[str | None], splits: str, message: str
) -> None:
    data = build_data(labels, splits=splits.split())
    rows = {name: np.flatnonzero(data.table["split"] == name) for name in SPLITS}
    with pytest.raises(InputError, match=message):
        keep_labelled(Splits(**rows, origin="given"), data, data.labels())


def test_a_class_without_any_image_is_refused() -> None:
    data = build_data(["a", "b"] * 10)
    labels = data.labels()
    emptied = type(labels)("label", (*labels.classes, "c"), labels.targets)
    with pytest.raises(InputError, match="class 'c' of 'small' has 0 images"):
        keep_labelled(make_splits(data), data, emptied)


def test_the_table_of_splits_names_every_image() -> None:
    data = build_data(["a", "b"] * 2, splits=["test", "train", "val", "train"])
    table = splits_table(make_splits(data), data)
    assert dict(table.to_numpy().tolist()) == {"i0": "test", "i1": "train", "i2": "val",
                                               "i3": "train"}  # fmt: skip


# Folds and files


@pytest.mark.slow
@given(grouped(), st.integers(3, 5))
@few_examples
def test_the_test_splits_of_all_folds_are_a_partition(
    columns: tuple[list[str], list[str]], folds: int
) -> None:
    labels, groups = columns
    data = build_data(labels, groups=groups)
    made = [make_splits(data, SplitSettings(folds=folds, fold=fold)) for fold in range(folds)]
    assert sorted(np.concatenate([splits.test for splits in made])) == list(range(len(labels)))
    for splits in made:
        train, val, test = sides(splits, np.array(groups)).values()
        assert len(train) + len(val) + len(test) == len(set(groups))
        assert np.array_equal(splits.all, np.arange(len(labels)))


def test_saved_splits_are_read_back(tmp_path: Path) -> None:
    groups = [f"p{row // 2}" for row in range(40)]
    data = build_data(["a", "b"] * 20, groups=groups)
    made = make_splits(data, SplitSettings(split_seed=3))
    table = splits_table(made, data)
    table[table["image_id"] != "i0"].to_csv(tmp_path / "splits.csv", index=False)
    read = make_splits(data, SplitSettings(splits=tmp_path / "splits.csv"))
    assert read.origin == "given by splits.csv, 1 left out"
    for name in SPLITS:
        assert read[name].tolist() == [row for row in made[name] if row != 0]


def test_splits_of_a_larger_set_are_those_of_its_parts(tmp_path: Path) -> None:
    file = tmp_path / "splits.csv"
    file.write_text("image_id,split\ni0,train\ni1,val\nx,test\ni2,test\ny,train\n")
    read = make_splits(build_data(["a", "b", "a"]), SplitSettings(splits=file))
    assert [read[name].tolist() for name in SPLITS] == [[0], [1], [2]]
    assert read.origin == "given by splits.csv, 2 of its ids are not in this data set"
    with pytest.raises(InputError, match=r"2 image ids are not in 'small' \(first: x\)"):
        make_splits(build_data(["a", "b", "a", "b"]), SplitSettings(splits=file))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("i0,train\ni1,exam", "split 'exam' is none of train, val, test"),
        ("i0,train\ni0,test", "image id 'i0' occurs more than once"),
        ("i0,train\nx9,test", r"1 image ids are not in 'small' \(first: x9\)"),
        ("i0,train\ni1,test", "group 'p0' of 'small' is in train and in test"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "s.csv").write_text(f"image_id,split\n{text}\n")
    data = build_data(["a", "b"] * 10, groups=[f"p{row // 2}" for row in range(20)])
    with pytest.raises(InputError, match=message):
        make_splits(data, SplitSettings(splits=tmp_path / "s.csv"))


def test_mutated_splits_give_an_error_or_splits(tmp_path):
    data = build_data(["a", "b"] * 6, groups=list("aabbccddeeff"))
    path = tmp_path / "splits.csv"
    splits_table(make_splits(data), data).to_csv(path, index=False)
    content = path.read_bytes()

    @few_examples
    @given(mutated_bytes(content))
    def check(changed):
        path.write_bytes(changed)
        splits = reads_or_refuses(lambda: read_splits(path, data))
        if splits is not None:
            assert len(set(splits.all.tolist())) == len(splits.all)
            assert set(splits.all.tolist()) <= set(range(len(data)))

    check()
