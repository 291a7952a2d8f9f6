"""Tiny ImageNet as it is published, and with a sorted validation set."""

from pathlib import Path

import pytest

from helpers.small_data import column, write_images, write_text
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError
from toolkit_common.sources.load import load_data, suggest_id

WNIDS = ("n01443537", "n01629819", "n01641577")
WORDS = "n01443537\tgoldfish, Carassius auratus\nn01629819\tcrane\nn01641577\tcrane, bird\n"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    for wnid in WNIDS:
        write_text(tmp_path / "train" / wnid / f"{wnid}_boxes.txt", "x\t0\t0\t1\t1\n")
        write_images(tmp_path / "train" / wnid / "images",
                     *(f"{wnid}_{at}.JPEG" for at in range(5)))  # fmt: skip
    write_images(tmp_path / "val" / "images", "val_0.JPEG", "val_1.JPEG")
    lines = "val_0.JPEG\tn01641577\t0\t32\t44\t62\nval_1.JPEG\tn01443537\t52\t55\t57\t59\n"
    write_text(tmp_path / "val" / "val_annotations.txt", lines)
    write_images(tmp_path / "test" / "images", "test_0.JPEG")
    write_text(tmp_path / "words.txt", WORDS)
    return tmp_path


def test_training_and_validation_are_read_with_names(
    published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = load_data(f"tiny-imagenet:{published}")
    names = ("goldfish", "crane (n01629819)", "crane (n01641577)")
    assert data.labels().classes == names
    assert data.labels().targets.tolist() == [0] * 5 + [1] * 5 + [2] * 5 + [2, 0]
    assert column(data, "split") == ["train"] * 15 + ["val"] * 2
    assert column(data, "image_id")[-1] == "val/images/val_1.JPEG"
    assert data.sheet.notes[0] == "found 15 images in train, expected 100,000"
    printed = capsys.readouterr().err
    assert "data: test is not read: its 1 image has no labels; val is the test split" in printed
    assert make_splits(data).test.tolist() == [15, 16]


def test_a_sorted_validation_set_is_read(published: Path) -> None:
    (published / "val" / "val_annotations.txt").unlink()
    (published / "val" / "n01629819").mkdir()
    for path in (published / "val" / "images").iterdir():
        path.rename(published / "val" / "n01629819" / path.name)
    data = load_data(f"tiny-imagenet:{published}")
    assert data.labels().targets.tolist()[-2:] == [1, 1]


def test_it_is_no_folder_of_classes(published: Path) -> None:
    assert suggest_id(str(published)) == f"tiny-imagenet:{published}"
    with pytest.raises(InputError, match=r"laid out as tiny-imagenet is published, not in folders "
                       f"of classes: write tiny-imagenet:{published}"):  # fmt: skip
        load_data(f"imagefolder:{published}")


def test_without_words_a_class_is_its_number(published: Path) -> None:
    (published / "words.txt").unlink()
    assert load_data(f"tiny-imagenet:{published}").labels().classes == WNIDS


def test_what_is_missing_is_named(published: Path) -> None:
    with pytest.raises(InputError, match=r"train has no images: download Tiny ImageNet \(Stanford"):
        load_data(f"tiny-imagenet:{published}/val")
    write_text(published / "val" / "val_annotations.txt", "val_0.JPEG\tn01641577\n")
    with pytest.raises(InputError, match=r"val_1.JPEG is not in .*val_annotations.txt, or of a cl"):
        load_data(f"tiny-imagenet:{published}")
