"""Folders, tables and Hugging Face data sets: what is read, and what is said of bad ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value

from small_data import image_bytes, write_images, write_text
from toolkit_common.data.base import ImageData
from toolkit_common.data.images import open_image
from toolkit_common.data.load import load_data
from toolkit_common.errors import InputError


def classes_and_counts(data: ImageData) -> dict[str, int]:
    labels = data.labels()
    return {name: int((labels.targets == code).sum()) for code, name in enumerate(labels.classes)}


# imagefolder


def test_folders_are_classes(tmp_path: Path) -> None:
    write_images(tmp_path / "x", "dog/1.jpg", "cat/1.png", "cat/2.JPEG", "eel/a.tif")
    data = load_data(f"imagefolder:{tmp_path}/x")
    assert classes_and_counts(data) == {"cat": 2, "dog": 1, "eel": 1}
    assert data.table["image_id"].tolist() == ["cat/1.png", "cat/2.JPEG", "dog/1.jpg", "eel/a.tif"]
    assert "split" not in data.table
    assert data.sheet.title == "x"
    assert all(open_image(row["image"]).size == (12, 10) for row in data.images)


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train", "val", "test"), ["test", "train", "val"]),
        (("Training", "validation", "testing"), ["train", "test", "val"]),
        (("train", "valid"), ["train", "val"]),
        (("train", "dev"), ["val", "train"]),
    ],
)
def test_folders_of_splits_are_splits(
    names: tuple[str, ...], splits: list[str], tmp_path: Path
) -> None:
    write_images(tmp_path, *(f"{name}/{label}/1.png" for name in names for label in ("a", "b")))
    table = load_data(f"imagefolder:{tmp_path}").table
    assert table["split"].tolist() == [split for split in splits for _ in "ab"]


def test_a_class_may_lack_in_a_split(tmp_path: Path) -> None:
    write_images(tmp_path, "train/a/1.png", "train/b/1.png", "test/b/2.png")
    data = load_data(f"imagefolder:{tmp_path}")
    assert data.labels().classes == ("a", "b")
    assert data.labels().targets.tolist() == [1, 0, 1]


def test_images_may_lie_deeper_in_their_class(tmp_path: Path) -> None:
    write_images(tmp_path, "a/x/y/1.png", "a/2.png", "b/z/1.png")
    assert classes_and_counts(load_data(f"imagefolder:{tmp_path}")) == {"a": 2, "b": 1}


def test_hidden_files_other_files_and_empty_folders_are_passed_over(tmp_path: Path) -> None:
    write_images(tmp_path, "a/1.png", "b/1.png", "a/._1.png", "b/.cache/2.png", ".git/x/3.png")
    write_text(tmp_path / "a" / "notes.txt", "hello")
    write_text(tmp_path / "readme.png.md", "hello")
    (tmp_path / "a" / "folder.png").mkdir()
    (tmp_path / "empty").mkdir()
    assert classes_and_counts(load_data(f"imagefolder:{tmp_path}")) == {"a": 1, "b": 1}


def test_strange_names_of_folders_do_no_harm(tmp_path: Path) -> None:
    root = tmp_path / "a b + ä%20"
    write_images(root, "klaße 1/ü &=.png", "x#y/1.png")
    data = load_data(f"imagefolder:{root}")
    assert data.labels().classes == ("klaße 1", "x#y")
    assert all(open_image(row["image"]) for row in data.images)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ((), "has no images in class folders: expected .*/CLASS/IMAGE with one of .jpg"),
        (("1.png",), "has no images in class folders"),
        (("train/a/1.png", "test/1.png"), "/test has no images in class folders"),
    ],
)
def test_a_folder_without_images_is_refused(
    layout: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    write_images(tmp_path, *layout)
    with pytest.raises(InputError, match=f"{tmp_path}.*{message}"):
        load_data(f"imagefolder:{tmp_path}")


def test_a_missing_folder_and_unknown_options_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"no folder at {tmp_path}/absent"):
        load_data(f"imagefolder:{tmp_path}/absent")
    with pytest.raises(InputError, match=r"unknown option 'label' in .*: it takes none"):
        load_data(f"imagefolder:{tmp_path}?label=dx")


# csv


def test_a_table_names_images_labels_splits_and_groups(tmp_path: Path) -> None:
    write_images(tmp_path / "images", "1.png", "2.png")
    text = "\ufeffimage;label;split;group;age\nimages/1.png;a;Training;p1;40\n"
    path = write_text(tmp_path / "t.csv", text + f"{tmp_path}/images/2.png;b;dev;p2;\n")
    data = load_data(f"csv:{path}")
    assert data.labels().targets.tolist() == [0, 1]
    assert data.table["split"].tolist() == ["train", "val"]
    assert data.table["image_id"].tolist() == ["images/1.png", f"{tmp_path}/images/2.png"]
    assert data.table["age"].tolist()[0] == "40"
    assert data.groups is not None
    assert all(open_image(row["image"]) for row in data.images)


def test_columns_can_have_other_names(tmp_path: Path) -> None:
    text = "path,dx,patient,key,fold\n1.png,mel,p1,k1,test\n2.png,nev,p2,k2,train\n"
    path = write_text(tmp_path / "t.csv", text)
    options = "image=path&label=dx&group=patient&image_id=key&split=fold"
    data = load_data(f"csv:{path}?{options}")
    assert set(data.table) == {"label", "group", "image_id", "split"}
    assert data.labels().classes == ("mel", "nev")


def test_a_chosen_column_takes_the_place_of_one_of_that_name(tmp_path: Path) -> None:
    text = "image,path,label,dx\nID1,1.png,x,mel\nID2,2.png,x,nev\n"
    path = write_text(tmp_path / "t.csv", text)
    data = load_data(f"csv:{path}?image=path&label=dx&image_id=image")
    assert data.labels().classes == ("mel", "nev")
    assert data.images[0]["image"]["path"] == str(tmp_path / "1.png")
    assert data.table["image_id"].tolist() == ["ID1", "ID2"]


def test_one_column_can_have_two_roles(tmp_path: Path) -> None:
    path = write_text(tmp_path / "t.csv", "image,dx+site\n1.png,mel\n2.png,nev\n")
    data = load_data(f"csv:{path}?label=dx+site&group=dx+site")
    assert data.table["label"].tolist() == data.table["group"].tolist() == ["mel", "nev"]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("label\na\n", "", "has no column 'image'; it has: label"),
        ("image,label\n", "", "has a header and no rows"),
        ("image,label\n1.png,a\n", "?label=dx", "has no column 'dx'; it has: image, label"),
        ("image,label\n1.png,a\n", "?lable=x", "unknown option 'lable' .* did you mean 'label'"),
        ("image,label\n1.png,a\n2.png,\n3.png,NaN\n", "", r"row 3 has no label \(2 such rows\)"),
        ("image,label\n,a\n", "", r"row 2 has no image \(1 such row\)"),
        ("image,label,group\n1.png,a,\n", "", r"row 2 has no group \(1 such row\)"),
        ("image,image_id\n1.png,x\n2.png,\n", "", "row 3 has no image_id"),
        ("image,split\n1.png,train\n2.png,fold1\n", "", "row 3: split 'fold1' is none of train, "),
        ("image,split\n1.png,\n", "", "row 2: split None is none of train, "),
        ("image\n1.png\n2.png\n1.png\n", "", "image id '1.png' occurs 2 times .* rows 1 and 3"),
    ],
)
def test_a_bad_table_is_refused_with_row_and_value(
    text: str, options: str, message: str, tmp_path: Path
) -> None:
    path = write_text(tmp_path / "t.csv", text)
    with pytest.raises(InputError, match=message):
        load_data(f"csv:{path}{options}")


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"no table at {tmp_path}/absent.csv"):
        load_data(f"csv:{tmp_path}/absent.csv")


# hf


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
    found = np.asarray(open_image(data.images[2]["image"]))
    expected = np.asarray(open_image({"bytes": image_bytes(2), "path": None}))
    assert np.array_equal(found, expected)


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
def test_a_hub_id_without_a_network_is_told_in_one_line(name: str) -> None:
    with pytest.raises(InputError, match=f"cannot load hf:{name}: .* give a folder") as caught:
        load_data(f"hf:{name}")
    assert "\n" not in str(caught.value)


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{tmp_path} holds neither a saved data set nor parquet"):
        load_data(f"hf:{tmp_path}")
