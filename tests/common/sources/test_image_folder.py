"""Folders of images: what is taken for what, what is passed over, what is refused."""

import os
from pathlib import Path
from typing import Any

import pytest

from helpers.small_data import classes_and_counts, encode, noise, write_images, write_text
from toolkit_common.data.dataset import ImageData
from toolkit_common.errors import InputError
from toolkit_common.images.open import open_image
from toolkit_common.sources.load import load_data


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
    data = load_data(f"imagefolder:{tmp_path}")
    assert classes_and_counts(data) == {"a": 1, "b": 1}
    assert passed_over(data) == (
        "1 hidden image (first: a/._1.png); 2 not images (.txt 1, .md 1); "
        "folders without an image: empty"
    )


def test_strange_names_of_folders_do_no_harm(tmp_path: Path) -> None:
    root = tmp_path / "a b + ä%20"
    write_images(root, "klaße 1/ü &=.png", "x#y/1.png")
    data = load_data(f"imagefolder:{root}")
    assert data.labels().classes == ("klaße 1", "x#y")
    assert all(open_image(row["image"]) for row in data.images)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ((), "has no images in class folders: expected .*/CLASS/IMAGE, an image by its ending"),
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
    with pytest.raises(InputError, match=r"option 'label' .*: classes, test, train, val"):
        load_data(f"imagefolder:{tmp_path}?label=dx")


# Choices


def read(place: Path | str, options: str = "") -> ImageData:
    return load_data(f"imagefolder:{place}{options}")


def passed_over(data: ImageData) -> str:
    [line] = [line for line in data.choices if line.startswith("passed over in ")]
    return line.partition(": ")[2]


def test_the_folders_that_became_classes_and_splits_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path, "train/a/1.png", "train/b/1.png", "validation/a/2.png")
    data = read(tmp_path)
    line = "folders are classes: a 2, b 1; and splits: train, val (validation)"
    assert data.choices == (line,)
    assert f"data: {line}" in capsys.readouterr().err
    assert "passed over" not in str(data.choices)


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train_set", "test_set"), "train=train_set&test=test_set"),
        (("TrainImages", "Testing2"), "train=TrainImages&test=Testing2"),
        (("train", "eval"), "test=eval"),
        (("trainset", "holdout"), "test=holdout&train=trainset"),
    ],
)
def test_folders_called_nearly_as_splits_are_asked_for(
    names: tuple[str, ...], splits: str, tmp_path: Path
) -> None:
    write_images(tmp_path, *(f"{name}/{label}/1.png" for name in names for label in "ab"))
    with pytest.raises(InputError, match="could be splits or classes") as caught:
        read(tmp_path)
    for option in splits.split("&"):
        assert option in str(caught.value)
    data = read(tmp_path, f"?{splits}")
    assert classes_and_counts(data) == {"a": 2, "b": 2}
    assert sorted(data.table["split"]) == ["test", "test", "train", "train"]


def test_classes_may_be_called_as_splits_are_where_they_are_named(tmp_path: Path) -> None:
    write_images(tmp_path, "train/1.png", "bus/1.png", "test_set/1.png", "car/1.png")
    data = read(tmp_path, "?classes=train,bus,test_set")
    assert classes_and_counts(data) == {"train": 1, "bus": 1, "test_set": 1}
    assert passed_over(data) == "1 image in 'car', which ?classes= does not name"


def test_splits_inside_all_classes_are_splits(tmp_path: Path) -> None:
    write_images(tmp_path, "a/train/1.png", "a/test/2.png", "b/Train/3.png")
    data = read(tmp_path)
    assert classes_and_counts(data) == {"a": 2, "b": 1}
    assert data.table["split"].tolist() == ["test", "train", "train"]
    assert data.choices == ("folders are classes: a 2, b 1; splits are the folders inside them",)
    write_images(tmp_path, "b/4.png")
    with pytest.raises(InputError, match="3 of 4 images lie in folders of splits inside"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("?train=tarin", "has no folder 'tarin'; it has: a, b, train"),
        ("?classes=a,b&train=train", r"are classes= or splits \(train=\), not both"),
        ("?clases=a", "unknown option 'clases' .* did you mean 'classes'"),
    ],
)
def test_a_folder_that_is_not_there_is_named(options: str, message: str, tmp_path: Path) -> None:
    write_images(tmp_path, "a/1.png", "b/1.png", "train/a/1.png")
    with pytest.raises(InputError, match=message):
        read(tmp_path, options)


def test_masks_are_no_class_unless_they_are_named(tmp_path: Path) -> None:
    write_images(tmp_path, "a/1.png", "b/1.png", "masks/1.png", "masks/2.png", "b/masks/1.png")
    data = read(tmp_path)
    assert classes_and_counts(data) == {"a": 1, "b": 1}
    assert "3 images in folders called 'masks'" in passed_over(data)
    named = read(tmp_path, "?classes=a,masks")
    assert classes_and_counts(named) == {"a": 1, "masks": 2}


def test_masks_beside_their_images_are_no_images(tmp_path: Path) -> None:
    write_images(tmp_path, "a/1.png", "a/1_mask.png", "a/1_mask_1.png", "b/2.png", "b/3_mask.png")
    data = read(tmp_path)
    assert data.table["image_id"].tolist() == ["a/1.png", "b/2.png", "b/3_mask.png"]
    assert passed_over(data) == "2 images called as masks of others are (X_mask beside X)"


def test_what_lies_beside_the_splits_is_counted(tmp_path: Path) -> None:
    write_images(tmp_path, "train/a/1.png", "test/b/1.png", "masks/1.png", "masks/2.png", "0.png")
    write_images(tmp_path, "train/0.png")
    assert passed_over(read(tmp_path)) == (
        "1 image beside the splits; 2 images beside the splits in 'masks'; "
        "1 image beside the folders of classes"
    )


# Files


@pytest.mark.parametrize("kind", ["JPEG", "AVIF", "JPEG2000", "WEBP", "PNG"])
def test_images_of_rare_endings_and_of_none_are_read(kind: str, tmp_path: Path) -> None:
    ending = {"JPEG": ".jfif", "JPEG2000": ".jp2"}.get(kind, f".{kind.lower()}")
    write_images(tmp_path, "a/1.jpg")
    for name in (f"b/1{ending}", "b/2", "b/3.img"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encode(noise(), kind))
    data = read(tmp_path)
    assert classes_and_counts(data) == {"a": 1, "b": 3}
    assert data.choices[1:] == ("read by their content: no ending 1, .img 1",)
    assert all(open_image(row["image"]).size == (12, 10) for row in data.images)


def test_links_are_followed_and_those_that_lead_nowhere_counted(tmp_path: Path) -> None:
    write_images(tmp_path / "far", "x/1.png", "x/deep/2.png", "3.png")
    root = tmp_path / "root"
    write_images(root, "a/1.png")
    (root / "b").symlink_to(tmp_path / "far/x")
    (root / "a/3.png").symlink_to(tmp_path / "far/3.png")
    (root / "a/gone.png").symlink_to(tmp_path / "nowhere.png")
    (root / "a/self").symlink_to("self")
    (root / "a/round").symlink_to(root)
    os.mkfifo(root / "a/pipe.png")
    data = read(root)
    assert classes_and_counts(data) == {"a": 2, "b": 2}
    assert passed_over(data) == (
        "2 dangling links (first: a/gone.png); 1 link into a folder that it lies in (first: "
        "a/round); 1 pipe, socket or device (first: a/pipe.png)"
    )


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path, "a/1.png", "b/1.png")

    def refuse(path: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("toolkit_common.images.walk.os.scandir", refuse)
    with pytest.raises(InputError, match=f"cannot read the folder {tmp_path}: it may not be"):
        read(tmp_path)


def test_names_that_would_steer_a_terminal_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path, "a\x1b[31m/1.png", "b\nc/2.png", "b\nc/\x9b3.png")
    data = read(tmp_path)
    assert data.labels().classes == ("a\\x1b[31m", "b\\nc")
    assert data.table["image_id"].tolist()[-1] == "b\\nc/\\x9b3.png"
    assert all(open_image(row["image"]) for row in data.images)
    assert "a\\x1b[31m 1, b\\nc 2" in capsys.readouterr().err


def test_files_whose_names_are_no_text_are_counted(tmp_path: Path) -> None:
    write_images(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / os.fsdecode(b"b/\xff.png")).write_bytes(b"")
    data = read(tmp_path)
    assert classes_and_counts(data) == {"a": 1, "b": 1}
    assert "1 file whose name is no UTF-8 text (first: b/\\udcff.png)" in passed_over(data)
