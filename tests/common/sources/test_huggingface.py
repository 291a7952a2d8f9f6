"""Hugging Face data sets: what is read, and how bad ones are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value

from helpers.small_data import classes_and_counts, column, image_bytes
from toolkit_common.errors import InputError
from toolkit_common.images.open import open_image
from toolkit_common.sources.load import load_data


def make(labels: list[Any], *, names: list[str] | None = None, **columns: list[Any]) -> Dataset:
    feature = ClassLabel(names=names) if names else Value("string")
    features = {"image": Image(), "label": feature} | {key: Value("string") for key in columns}
    images = [{"bytes": image_bytes(row), "path": None} for row in range(len(labels))]
    values = {"image": images, "label": labels, **columns}
    return Dataset.from_dict(values, features=Features(features))


def save(data: Dataset | DatasetDict, folder: Path) -> str:
    data.save_to_disk(folder)
    return f"hf:{folder}"


def test_a_saved_data_set_is_read(tmp_path: Path) -> None:
    data = load_data(save(make([1, 0, 1], names=["cat", "dog"]), tmp_path / "d"))
    assert classes_and_counts(data) == {"cat": 1, "dog": 2}
    assert data.table["image_id"].tolist() == ["0", "1", "2"]
    result = np.asarray(open_image(data.images[2]["image"]))
    expected = np.asarray(open_image({"bytes": image_bytes(2), "path": None}))
    assert np.array_equal(result, expected)


def test_parts_of_a_saved_data_set_are_splits(tmp_path: Path) -> None:
    parts = {name: make([0, 1], names=["a", "b"]) for name in ("train", "validation", "test")}
    table = load_data(save(DatasetDict(parts), tmp_path / "d")).table
    assert table["split"].tolist() == ["train"] * 2 + ["val"] * 2 + ["test"] * 2


def test_one_part_alone_is_no_split(tmp_path: Path) -> None:
    table = load_data(save(DatasetDict(train=make(["a", "b"])), tmp_path / "d")).table
    assert "split" not in table


def test_a_column_of_splits_is_read_by_its_usual_names(tmp_path: Path) -> None:
    data = make(["a", "b"], split=["Training", "validation"])
    assert load_data(save(data, tmp_path / "d")).table["split"].tolist() == ["train", "val"]


@pytest.mark.parametrize("layout", ["{0}-00000-of-00001.parquet", "{0}/0000.parquet"])
def test_parquet_files_are_read_with_their_splits(layout: str, tmp_path: Path) -> None:
    for split, labels in {"train": [0, 1, 1], "test": [1, 0]}.items():
        path = tmp_path / "default" / layout.format(split)
        path.parent.mkdir(parents=True, exist_ok=True)
        make(labels, names=["a", "b"]).to_parquet(path)
    data = load_data(f"hf:{tmp_path}")
    assert classes_and_counts(data) == {"a": 2, "b": 3}
    assert sorted(data.table["split"]) == ["test"] * 2 + ["train"] * 3


def test_parquet_files_without_a_split_are_one(tmp_path: Path) -> None:
    make(["a", "b"]).to_parquet(tmp_path / "data-0.parquet")
    make(["c", "d"]).to_parquet(tmp_path / "data-1.parquet")
    data = load_data(f"hf:{tmp_path}")
    assert data.labels().classes == ("a", "b", "c", "d")
    assert "split" not in data.table


def test_columns_are_found_by_type_or_named(tmp_path: Path) -> None:
    plain = make(["a", "b"], patient=["p", "q"], dx=["mel", "nev"]).rename_column("image", "photo")
    text = save(plain, tmp_path / "d")
    assert load_data(text).images[0]["image"]["bytes"]
    data = load_data(f"{text}?label=dx&group=patient")
    assert data.labels().classes == ("mel", "nev")
    assert data.groups is not None
    assert data.groups.tolist() == ["p", "q"]


def test_a_class_label_of_another_name_takes_the_place_of_a_label(tmp_path: Path) -> None:
    data = make([0, 1], names=["cat", "dog"]).rename_column("label", "animal")
    data = data.add_column("label", ["u", "v"])
    assert load_data(save(data, tmp_path / "d")).labels().classes == ("cat", "dog")


def with_classes(**columns: tuple[list[int], list[str]]) -> Dataset:
    """Images with several columns of classes: codes, and their names."""
    count = len(next(iter(columns.values()))[0])
    kinds = {key: ClassLabel(names=names) for key, (_, names) in columns.items()}
    values = {key: codes for key, (codes, _) in columns.items()}
    images = [{"bytes": image_bytes(row), "path": None} for row in range(count)]
    return Dataset.from_dict(
        {**values, "image": images}, features=Features({**kinds, "image": Image()})
    )


SEX = ([0, 1, 0], ["f", "m"])


@pytest.mark.parametrize("name", ["label", "diagnosis", "Class"])
def test_of_several_class_labels_the_one_called_so_is_taken_and_printed(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = with_classes(sex=SEX, **{name: ([1, 1, 0], ["mel", "nev"])})
    data = load_data(save(rows, tmp_path / "d"))
    assert data.labels().name == name
    assert classes_and_counts(data) == {"mel": 1, "nev": 2}
    line = f"data: columns: label '{name}' (of 'sex', '{name}')"
    assert line in capsys.readouterr().err
    assert data.labels("sex").classes == ("f", "m")


def test_several_class_labels_of_other_names_are_asked_for(tmp_path: Path) -> None:
    text = save(with_classes(sex=SEX, fine=([0, 1, 1], ["x", "y"])), tmp_path / "d")
    with pytest.raises(InputError, match=r"could be the label: sex, fine; .*[?]label=sex"):
        load_data(text)
    data = load_data(f"{text}?label=fine")
    assert (data.labels().name, data.labels().classes) == ("fine", ("x", "y"))


def test_several_image_columns_are_asked_for_unless_one_is_called_so(tmp_path: Path) -> None:
    rows = make(["a", "b"]).rename_column("image", "overlay")
    images = [{"bytes": image_bytes(9), "path": None}] * 2
    two = rows.add_column("mask", images, feature=Image())
    with pytest.raises(InputError, match=r"could be the image: overlay, mask; .*[?]image=overlay"):
        load_data(save(two, tmp_path / "two"))
    three = two.add_column("image", images, feature=Image())
    data = load_data(save(three, tmp_path / "three"))
    assert data.images[0]["image"]["bytes"] == image_bytes(9)
    assert data.choices == ("columns: image 'image' (of 'overlay', 'mask', 'image')",)


def test_splits_that_number_their_classes_differently_are_mapped_by_name(tmp_path: Path) -> None:
    parts = DatasetDict(
        train=with_classes(label=([0, 1, 1], ["cat", "dog"])),
        test=with_classes(label=([0, 1, 2, -1], ["dog", "eel", "cat"])),
    )
    data = load_data(save(parts, tmp_path / "d"))
    assert data.labels().classes == ("cat", "dog", "eel")
    assert data.labels().targets.tolist() == [0, 1, 1, 1, 2, 0, -1]


@pytest.mark.parametrize("names", [["a", "b"], None])
def test_minus_one_is_no_label_and_is_counted(names: list[str] | None, tmp_path: Path) -> None:
    kind = ClassLabel(names=names) if names else Value("int64")
    rows = make(["0"] * 4).remove_columns("label").add_column("label", [-1, 0, 1, 1], feature=kind)
    data = load_data(save(rows, tmp_path / "d"))
    assert data.labels().targets.tolist() == [-1, 0, 1, 1]
    assert data.labels().classes == (("a", "b") if names else ("0", "1"))
    assert data.choices == ("1 of 4 rows have no label",)


def test_minus_one_is_a_class_where_codes_do_not_count_from_zero(tmp_path: Path) -> None:
    data = load_data(save(make(["-1", "1", "1"]), tmp_path / "d"))
    assert classes_and_counts(data) == {"-1": 1, "1": 2}
    assert data.choices == ()


def test_a_split_whose_labels_are_kept_back_is_in_none(tmp_path: Path) -> None:
    parts = DatasetDict(
        train=with_classes(label=([0, 1], ["a", "b"])),
        test=with_classes(label=([-1, -1], ["a", "b"])),
    )
    data = load_data(save(parts, tmp_path / "d"))
    assert column(data, "split") == ["train", "train", None, None]
    assert data.choices == (
        "2 of 4 rows have no label",
        "no row of test has a label: left out of all splits",
    )


def test_parts_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    parts = DatasetDict(train=make(["a"]), test=with_classes(label=([0], ["a"])))
    with pytest.raises(InputError, match=r"the parts of .* do not fit together: "):
        load_data(save(parts, tmp_path / "d"))


@pytest.mark.parametrize("name", ["patient_id", "PatientID", "lesion_id"])
def test_a_column_called_patient_or_lesion_id_is_the_group(name: str, tmp_path: Path) -> None:
    text = save(make(["a", "b", "a"], **{name: ["p", "q", "p"]}), tmp_path / "d")
    data = load_data(text)
    assert data.groups is not None
    assert data.groups.tolist() == ["p", "q", "p"]
    assert data.choices == (
        f"columns: group '{name}' (?group=COLUMN names another, ?group=none none)",
    )
    assert load_data(f"{text}?group=none").groups is None


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("label=dx", "has no column 'dx'; it has: image, label"),
        ("group=patient", "has no column 'patient'; it has: image, label"),
        ("image=photo", "has no column 'photo'; it has: image, label"),
        ("lable=x", "unknown option 'lable'"),
    ],
)
def test_a_column_that_is_not_there_is_named(option: str, message: str, tmp_path: Path) -> None:
    text = save(make(["a", "b"]), tmp_path / "d")
    with pytest.raises(InputError, match=message):
        load_data(f"{text}?{option}")


def test_a_data_set_without_images_is_refused(tmp_path: Path) -> None:
    text = save(make(["a"]).remove_columns("image"), tmp_path / "d")
    with pytest.raises(InputError, match="has no image column; it has: label"):
        load_data(text)


def test_a_split_of_an_unknown_name_is_refused(tmp_path: Path) -> None:
    parts = DatasetDict(train=make(["a"]), extra=make(["b"]))
    with pytest.raises(InputError, match=r"split 'extra' is none of train, training, val"):
        load_data(save(parts, tmp_path / "d"))


@pytest.mark.parametrize("name", ["cifar10", "someone/something", "a/b/c"])
def test_a_hub_id_without_a_network_is_reported_in_one_line(name: str) -> None:
    with pytest.raises(InputError, match=f"cannot load hf:{name}: .* give a folder") as caught:
        load_data(f"hf:{name}")
    assert "\n" not in str(caught.value)


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{tmp_path} holds neither a saved data set nor parquet"):
        load_data(f"hf:{tmp_path}")


# Streams


def test_a_saved_data_set_is_read_in_place(tmp_path: Path) -> None:
    Dataset.from_dict({"label": [0]}).save_to_disk(tmp_path / "saved")
    with pytest.raises(InputError, match=r"saved is a saved data set, .* leave out .streaming=1"):
        load_data(f"hf:{tmp_path}/saved?streaming=1")


def test_streaming_is_a_switch(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="streaming must be 0 or 1, got 'yes' in"):
        load_data(f"hf:{tmp_path}?streaming=yes")


def test_an_empty_folder_has_nothing_to_stream(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^{tmp_path} holds neither a saved data set nor parquet"):
        load_data(f"hf:{tmp_path}?streaming=1")
