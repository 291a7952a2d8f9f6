"""Rows, labels and fingerprints of a data set."""

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from helpers.small_data import build_data, image_bytes
from toolkit_common.data.dataset import ImageData, build_image_data, number_groups
from toolkit_common.data.sheet import Sheet
from toolkit_common.errors import InputError


def from_features(labels: list[object], feature: object) -> ImageData:
    """A data set whose label column has a type of its own, as Hugging Face sets have."""
    features = Features({"image": Image(), "image_id": Value("string"), "label": feature})
    images = [{"bytes": image_bytes(0), "path": None}] * len(labels)
    columns = {"image": images, "image_id": list(map(str, range(len(labels)))), "label": labels}
    rows = Dataset.from_dict(columns, features=features).cast_column("image", Image(decode=False))
    return ImageData("typed", rows, Sheet("typed"))


def test_rows_of_a_group_have_its_number_and_those_without_one_of_their_own() -> None:
    groups = np.array(["b", None, "a", "b", None], object)
    assert number_groups(groups).tolist() == [0, 3, 1, 0, 6]


# Labels


@pytest.mark.parametrize(
    ("labels", "classes", "targets"),
    [
        (["b", "a", "b"], ("a", "b"), [1, 0, 1]),
        (["b", "a", None], ("a", "b"), [1, 0, -1]),
        (["10", "2", "1"], ("1", "2", "10"), [2, 1, 0]),
        (["x", "10", "-1.5"], ("-1.5", "10", "x"), [2, 1, 0]),
        (["Nan", "inf", "a", "-inf"], ("-inf", "inf", "Nan", "a"), [2, 1, 3, 0]),
        (["1.5", "01", "0.2"], ("0.2", "01", "1.5"), [2, 1, 0]),
    ],
)
def test_text_labels_are_numbered_in_natural_order(
    labels: list[str | None], classes: tuple[str, ...], targets: list[int]
) -> None:
    result = build_data(labels).labels()
    assert result.classes == classes
    assert result.targets.tolist() == targets


@pytest.mark.parametrize(
    ("labels", "feature", "classes", "targets"),
    [
        ([1, 0, 1], ClassLabel(names=["a", "b"]), ("a", "b"), [1, 0, 1]),
        ([1, 0, -1], ClassLabel(names=["a", "b"]), ("a", "b"), [1, 0, -1]),
        ([1, None, 0], ClassLabel(names=["a", "b"]), ("a", "b"), [1, -1, 0]),
        ([1, 0], ClassLabel(names=["a", "b", "c"]), ("a", "b", "c"), [1, 0]),
        ([-1, 1, -1], Value("int64"), ("-1", "1"), [0, 1, 0]),
        ([3, 1, 7], Value("int64"), ("1", "3", "7"), [1, 0, 2]),
        ([2, 10, None], Value("int32"), ("2", "10"), [0, 1, -1]),
        ([True, False], Value("bool"), ("False", "True"), [1, 0]),
        ([1.0, 0.5, float("nan")], Value("float64"), ("0.5", "1.0"), [1, 0, -1]),
    ],
)
def test_labels_of_any_type_are_numbered(
    labels: list[object], feature: object, classes: tuple[str, ...], targets: list[int]
) -> None:
    result = from_features(labels, feature).labels()
    assert result.classes == classes
    assert result.targets.tolist() == targets


@pytest.mark.slow
@given(st.lists(st.text(min_size=1, max_size=4), min_size=2, max_size=12).filter(
       lambda labels: len(set(labels)) > 1))  # fmt: skip
@few_examples
def test_every_target_is_the_number_of_its_class(labels: list[str]) -> None:
    result = build_data(labels).labels()
    assert [result.classes[target] for target in result.targets] == labels
    assert set(result.classes) == set(labels)


def test_any_column_can_be_the_label() -> None:
    data = build_data(["a", "b"], dx=["mel", "nev"])
    assert data.labels("dx").classes == ("mel", "nev")
    assert data.labels("dx").name == "dx"


def test_the_first_label_of_the_sheet_is_the_default() -> None:
    data = build_data(["a", "b"], dx=["mel", "nev"], sheet=Sheet("x", labels=("dx", "label")))
    assert data.labels().name == "dx"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lable", r"no label 'lable'; did you mean 'label'\? choose from: label"),
        (None, r"no label 'dx'; choose from: label, site"),
    ],
)
def test_a_missing_label_is_refused_with_those_there_are(name: str | None, message: str) -> None:
    sheet = Sheet("x", labels=("dx",) if name is None else ("label",))
    with pytest.raises(InputError, match=f"data set 'small' has {message}"):
        build_data(["a", "b"], site=["arm", "leg"], sheet=sheet).labels(name)


def test_of_very_many_columns_the_nearest_alone_are_offered() -> None:
    columns = {f"measure_{number}": [1.0, 2.0] for number in range(40)} | {"diagnosis": ["a", "b"]}
    data = build_data(["a", "b"], **columns)
    with pytest.raises(InputError, match=r"no label 'lable'; did you mean 'label'\?") as typo:
        data.labels("lable")
    assert "measure_7" not in str(typo.value)
    unlabelled = build_data(["a", "b"], sheet=Sheet("x", labels=("dx",)), **columns)
    with pytest.raises(
        InputError, match=r"; did you mean 'diagnosis'\? name one of its 42 columns"
    ):
        unlabelled.labels("diagnose")
    with pytest.raises(InputError, match=r"no label 'dx'; name one of its 42 columns that holds"):
        unlabelled.labels()


@pytest.mark.parametrize(("labels", "printed"), [(["a", "a"], "only 'a'"), ([None], "no value")])
def test_a_label_of_one_class_is_refused(labels: list[str | None], printed: str) -> None:
    with pytest.raises(InputError, match=f"label 'label' of 'small' has {printed}: .* two classes"):
        build_data(labels).labels()


# Rows


def test_columns_are_typed_and_images_stay_undecoded() -> None:
    columns = {"age": [3.5, np.nan], "count": [1, 2], "site": ["arm", None], "big": [True, False]}
    frame = pd.DataFrame({"image": ["a.png", b"x"], "image_id": ["x", "y"], **columns})
    rows = build_image_data("y", frame, Sheet("y")).rows
    kinds = [rows.features[name].dtype for name in columns]
    assert kinds == ["float64", "float64", "string", "string"]
    assert rows["age"][:] == [3.5, None]
    assert (rows["site"][:], rows["big"][:]) == (["arm", None], ["True", "False"])
    assert rows["image"][:] == [{"bytes": None, "path": "a.png"}, {"bytes": b"x", "path": None}]


def test_class_names_are_kept_with_the_numbers() -> None:
    frame = pd.DataFrame({"image": ["a", "b"], "image_id": ["a", "b"], "label": [1, 0]})
    data = build_image_data("x", frame, Sheet("x"), class_names=("cat", "dog", "eel"))
    assert data.labels().classes == ("cat", "dog", "eel")
    assert data.labels().targets.tolist() == [1, 0]


def test_groups_are_those_of_the_table_or_none() -> None:
    assert build_data(["a"]).groups is None
    groups = build_data(["a", "b"], groups=["p1", "p2"]).groups
    assert groups is not None
    assert groups.tolist() == ["p1", "p2"]


def test_a_data_set_without_rows_is_refused() -> None:
    with pytest.raises(InputError, match="data set 'small' has no images"):
        build_data([])


def test_an_id_that_occurs_twice_is_named_with_its_rows() -> None:
    frame = pd.DataFrame({"image": list("abcd"), "image_id": ["x", "y", "z", "y"]})
    with pytest.raises(InputError, match=r"image id 'y' occurs 2 times \(first in rows 2 and 4\)"):
        build_image_data("small", frame, Sheet("x"))


def test_a_fingerprint_knows_images_labels_and_metadata() -> None:
    images = [image_bytes(0), image_bytes(1)]
    variants = [
        build_data(["a", "b"], images=images, age=["1", "2"]),
        build_data(["a", "b"], images=images[::-1], age=["1", "2"]),
        build_data(["b", "a"], images=images, age=["1", "2"]),
        build_data(["a", "b"], images=images, age=["1", "3"]),
        build_data(["a", "b"], images=images),
    ]
    assert len({data.fingerprint() for data in variants}) == len(variants)
    again = build_data(["a", "b"], images=images, age=["1", "2"])
    assert again.fingerprint() == variants[0].fingerprint()
