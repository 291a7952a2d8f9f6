"""torchvision's data sets from files that lie on disk."""

from pathlib import Path

import pytest

from helpers.small_data import write_images, write_text
from toolkit_common.errors import InputError
from toolkit_common.images.open import open_image
from toolkit_common.sources import from_torchvision
from toolkit_common.sources.from_torchvision import load_torchvision
from toolkit_common.sources.load import load_data
from toolkit_common.torchvision_ops import prepare


def euro_sat(root: Path) -> str:
    names = [f"eurosat/2750/{name}/{name}_{index}.jpg" for name in ("Forest", "River")
             for index in range(2)]  # fmt: skip
    write_images(root, *names)
    return f"torchvision:EuroSAT?root={root}"


def test_a_data_set_without_splits_is_read(tmp_path: Path) -> None:
    data = load_data(euro_sat(tmp_path / "plain"))
    assert data.labels().classes == ("Forest", "River")
    assert data.labels().targets.tolist() == [0, 0, 1, 1]
    assert "split" not in data.table
    assert all(open_image(row["image"]).size == (12, 10) for row in data.images)


def test_a_root_may_have_any_name(tmp_path: Path) -> None:
    data = load_data(euro_sat(tmp_path / "a b+c%20#d"))
    assert all(open_image(row["image"]) for row in data.images)


@pytest.mark.parametrize(("name", "ours"), [("train", "train"), ("valid", "val"), ("test", "test")])
def test_splits_of_other_names_are_found(name: str, ours: str, tmp_path: Path) -> None:
    places = [f"{split}/{code}/1.jpg" for split in ("train", "valid", "test") for code in "ABC"]
    write_images(tmp_path / "country211", *places)
    data = load_data(f"torchvision:Country211?root={tmp_path}")
    assert data.labels().classes == ("A", "B", "C")
    chosen = data.table[data.table["split"] == ours]
    assert len(chosen) == 3
    assert chosen["image_id"].tolist() == [f"{ours}/0", f"{ours}/1", f"{ours}/2"]


class Places:
    """As torchvision's Places365: its splits have names of their own."""

    classes = ("abbey", "airfield")

    def __init__(self, split: str) -> None:
        if split not in ("train-standard", "train-challenge", "val"):
            raise ValueError(split)
        self.targets = [0, 1, 1] if split == "train-standard" else [1]


def test_the_training_split_of_places_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its validation split alone would be the data set."""
    monkeypatch.setattr(
        from_torchvision, "torchvision_data_set", lambda _name, _root, split: Places(split)
    )
    data = load_torchvision("torchvision:Places365", "Places365", {})
    assert data.table["split"].tolist() == ["train", "train", "train", "val"]


def test_labels_that_only_the_items_know_are_read(tmp_path: Path) -> None:
    write_images(tmp_path / "gtsrb/GTSRB/Training", "00000/1.ppm", "00002/1.ppm")
    write_images(tmp_path / "gtsrb/GTSRB/Final_Test/Images", "1.ppm", "2.ppm")
    write_text(tmp_path / "gtsrb/GT-final_test.csv", "Filename;ClassId\n1.ppm;1\n2.ppm;0\n")
    data = load_data(f"torchvision:GTSRB?root={tmp_path}")
    assert data.table["split"].tolist() == ["train", "train", "test", "test"]
    assert len(data.labels().classes) == 2


def test_image_folders_of_torchvision_are_read(tmp_path: Path) -> None:
    write_images(tmp_path, "a/1.png", "b/1.png")
    assert load_data(f"torchvision:ImageFolder?root={tmp_path}").labels().classes == ("a", "b")


def test_files_that_are_not_there_are_named_with_the_place(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"torchvision:CIFAR10 is not under {tmp_path}: put its "
                       r"files there \(torchvision says: Dataset not found"):  # fmt: skip
        load_data(f"torchvision:CIFAR10?root={tmp_path}")


def test_the_default_root_is_named_as_a_whole_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"torchvision:DTD is not under {tmp_path}/data"):
        load_data("torchvision:DTD")


@pytest.mark.parametrize("name", ["CIFAR11", "FakeData", "VisionDataset", "CocoDetection"])
def test_a_name_that_does_not_exist_gets_the_nearest(name: str) -> None:
    with pytest.raises(InputError, match=f"unknown torchvision data set '{name}'.* CIFAR100"):
        load_data(f"torchvision:{name}")


def test_unknown_options_are_refused() -> None:
    with pytest.raises(InputError, match=r"unknown option 'rot' .* did you mean 'root'"):
        load_data("torchvision:CIFAR10?rot=x")


class OtherSplits:
    """A data set of torchvision that knows none of our splits."""

    def __init__(self, root: str, split: str = "letters") -> None:
        if split != "letters":
            raise ValueError(split)


class ManyLabels:
    """A data set of torchvision with several attributes for each image."""

    def __init__(self, root: str) -> None:
        self.targets = [[0, 1], [1, 1]]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (OtherSplits, "has no train, val or test split"),
        (ManyLabels, "does not have one class for each image"),
    ],
)
def test_a_data_set_that_does_not_fit_is_refused(
    kind: type, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prepare()
    monkeypatch.setattr("torchvision.datasets.EuroSAT", kind)
    with pytest.raises(InputError, match=f"torchvision:EuroSAT {message}"):
        load_data(f"torchvision:EuroSAT?root={tmp_path}")


class Unlabelled:
    """A data set of torchvision that says -1 where an image has no label, without names."""

    def __init__(self, root: str) -> None:
        self.targets = [3, -1, 5, 3]


def test_minus_one_is_no_label_and_is_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prepare()
    write_images(tmp_path, "a.png")
    monkeypatch.setattr("torchvision.datasets.EuroSAT", Unlabelled)
    data = load_torchvision("torchvision:EuroSAT", "EuroSAT", {"root": str(tmp_path)})
    assert data.labels().classes == ("3", "5")
    assert data.labels().targets.tolist() == [0, -1, 1, 0]
    assert data.choices == ("1 of 4 images have no label (-1)",)


def test_the_keys_of_images_change_with_the_files(tmp_path: Path) -> None:
    first = load_data(euro_sat(tmp_path / "a")).image_keys
    write_images(tmp_path / "b", *["eurosat/2750/River/new.jpg"] * 3)
    second = load_data(euro_sat(tmp_path / "b")).image_keys
    assert len(set(first)) == 4
    assert not set(first) & set(second)
