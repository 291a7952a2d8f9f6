"""A path in place of an id: the message names the id that reads it."""

from pathlib import Path

import pytest

from helpers.small_data import write_images, write_text
from toolkit_common.errors import InputError
from toolkit_common.sources.load import load_data
from toolkit_common.sources.suggest import suggest_id
from toolkit_common.synthetic.make import make_data


def refused(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_data(text)
    assert str(caught.value) == message


def test_a_folder_and_a_table_are_told_how_they_are_read() -> None:
    write_images(Path("mine"), "a/1.png")
    write_text(Path("lesions.csv"), "image,label\n")
    refused("mine", "'mine' is a folder, not the id of a data set: write imagefolder:mine")
    refused(
        "./lesions.csv?label=dx",
        "'./lesions.csv' is a file, not the id of a data set: write csv:./lesions.csv",
    )


def test_a_place_of_the_other_kind_is_told_too() -> None:
    write_images(Path("mine"), "a/1.png")
    write_text(Path("lesions.csv"), "image,label\n")
    refused("csv:mine", "csv reads a file, and mine is a folder: write imagefolder:mine")
    refused(
        "imagefolder:lesions.csv",
        "imagefolder reads a folder, and lesions.csv is a file: write csv:lesions.csv",
    )
    refused("imagefolder:mine/a/1.png", "imagefolder reads a folder, and mine/a/1.png is a file")


def test_what_is_not_there_is_said_to_be_so() -> None:
    with pytest.raises(InputError, match=r"unknown data set '../mine'; no file or folder is calle"):
        load_data("../mine")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("a/1.png", "b/1.png"), "imagefolder:x"),
        (("images/1.png", "t.csv"), "csv:x/t.csv"),
        (("data/train.parquet", "train.parquet"), "hf:x"),
        (("dataset_dict.json",), "hf:x"),
        (("PH2_dataset.txt",), "ph2:x"),
    ],
)
def test_a_folder_is_known_by_what_it_holds(files: tuple[str, ...], expected: str) -> None:
    for name in files:
        write_text(Path("x") / name, "")
    assert suggest_id("x") == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ham10000", "pad-ufes-20", "ph2", "derm7pt", "hiba"])
def test_lesion_sets_are_known_by_their_tables(name: str) -> None:
    make_data(name, Path("set"), rows=12, seed=0, layout=None, pool=None)
    assert suggest_id("set") == f"{name}:set"
