"""Ids of data sets: what they may look like and how wrong ones are refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.small_data import write_images, write_text
from helpers.wide_images import (
    GREY,
    eight_bits,
    floats,
    png_16,
    twelve_bits,
    twelve_bits_of_colour,
    write_greys,
)
from toolkit_common.data.check import check_images
from toolkit_common.data.dataset import ImageData
from toolkit_common.errors import InputError
from toolkit_common.images.open import open_image
from toolkit_common.images.wide import PixelRange
from toolkit_common.sources.load import EMBEDDED, SOURCES, load_data, suggest_id
from toolkit_common.synthetic.make import make_data


@pytest.mark.slow
@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_data_need_no_place_and_take_none(name: str) -> None:
    assert load_data(name).id == name
    with pytest.raises(
        InputError, match=f"'{name}' is embedded and takes no place, got '{name}:x'"
    ):
        load_data(f"{name}:x")


@pytest.mark.parametrize("name", sorted(set(SOURCES) - set(EMBEDDED)))
def test_other_data_need_a_place(name: str) -> None:
    with pytest.raises(InputError, match=f"data set '{name}' needs a place: {name}:PATH"):
        load_data(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("imgfolder:x", r"unknown data set 'imgfolder'; did you mean 'imagefolder'\?"),
        ("", "unknown data set ''; choose from: .*csv, .*digits, .*, lesions"),
        ("digits?size=8", r"unknown option 'size' in 'digits\?size=8': it takes none"),
        ("lesions?premalignant=x", "unknown option 'premalignant' .* mean 'premalignant_as'"),
        ("csv:x?label=", "option 'label' in .* has no value"),
        ("csv:x?label=a&label=b", "option 'label' occurs twice"),
    ],
)
def test_a_wrong_id_is_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_data(text)


@pytest.mark.slow
def test_premalignant_as_beside_the_id_is_carried_into_it() -> None:
    written = load_data("lesions?premalignant_as=malignant")
    given = load_data("lesions", premalignant_as="malignant")
    assert given.id == written.id
    both = load_data(written.id, premalignant_as="malignant")
    assert (written.labels("malignant").targets == both.labels("malignant").targets).all()


@pytest.mark.parametrize("text", ["digits", "imagefolder:x", "csv:x?label=a"])
def test_data_without_premalignant_diagnoses_refuse_to_count_them(text: str) -> None:
    message = f"{text.replace('?', '[?]')}[?&]premalignant_as=drop' knows no premalignant"
    with pytest.raises(InputError, match=message):
        load_data(text, premalignant_as="drop")


def test_a_sheet_without_premalignant_diagnoses_refuses_to_count_them(tmp_path: Path) -> None:
    make_data("slice-3d", tmp_path / "set", rows=10, seed=0, layout=None, pool=None)
    with pytest.raises(InputError, match=r"set[?]premalignant_as=benign' knows no premalignant"):
        load_data(f"slice-3d:{tmp_path / 'set'}?premalignant_as=benign")


# Pixel values


def pixels_of(data: ImageData) -> np.ndarray:
    return np.stack([np.asarray(open_image(row["image"])) for row in data.images])


@pytest.mark.parametrize("write", [twelve_bits, twelve_bits_of_colour, floats])
def test_images_of_more_bits_are_those_of_8(
    write: Callable[[np.ndarray], bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = load_data(f"imagefolder:{write_greys(tmp_path / 'plain', eight_bits)}")
    wide = load_data(f"imagefolder:{write_greys(tmp_path / 'wide', write)}")
    assert plain.pixel_range is None
    assert np.abs(pixels_of(wide).astype(int) - pixels_of(plain)).max() <= 1  # of rounding
    high = 1 if write is floats else 4095
    assert wide.pixel_range == PixelRange(0.0, high)
    line = f"pixel values 0 to {high} become 0 to 255 in every image, inferred from 24 of 24"
    assert line in wide.choices[-1]
    assert f"data: {line}" in capsys.readouterr().err


def test_a_given_range_makes_other_images_and_other_keys(tmp_path: Path) -> None:
    place = f"imagefolder:{write_greys(tmp_path / 'wide', twelve_bits)}"
    inferred, same, other = (load_data(f"{place}{end}") for end in
                             ("", "?range=0,4095", "?range=1000,3000"))  # fmt: skip
    assert np.array_equal(pixels_of(inferred), pixels_of(same))
    assert inferred.fingerprint() == same.fingerprint()
    assert not np.array_equal(pixels_of(inferred), pixels_of(other))
    assert inferred.fingerprint() != other.fingerprint()
    assert set(inferred.image_keys).isdisjoint(other.image_keys)


def test_an_image_beyond_the_inferred_range_is_named_before_work_begins(tmp_path: Path) -> None:
    root = write_greys(tmp_path / "wide", twelve_bits, per_class=80)
    (root / "dark/001.img").write_bytes(png_16(np.full((9, 9), 9000), GREY))
    data = load_data(f"imagefolder:{root}")
    with pytest.raises(InputError, match=r"dark/001.img: has values .* beyond the range 0 to 4095"):
        check_images(data, np.arange(len(data)))


def test_a_range_is_an_option_of_every_data_set() -> None:
    data = load_data("digits?range=0,100")
    assert data.pixel_range == PixelRange(0, 100, is_given=True, of_8_bits=True)
    plain = np.asarray(open_image(load_data("digits").images[0]["image"]), float)
    expected = np.round(plain * 2.55).clip(0, 255)
    assert np.array_equal(np.asarray(open_image(data.images[0]["image"])), expected)
    with pytest.raises(InputError, match="range must be LOW,HIGH"):
        load_data("digits?range=255")


# Paths in place of ids


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mine", "'mine' is a folder, not the id of a data set: write imagefolder:mine"),
        (
            "./lesions.csv?label=dx",
            "'./lesions.csv' is a file, not the id of a data set: write csv:./lesions.csv",
        ),
        ("csv:mine", "csv reads a file, and mine is a folder: write imagefolder:mine"),
        (
            "imagefolder:lesions.csv",
            "imagefolder reads a folder, and lesions.csv is a file: write csv:lesions.csv",
        ),
        (
            "imagefolder:mine/a/1.png",
            "imagefolder reads a folder, and mine/a/1.png is a file",
        ),
    ],
)
def test_a_place_is_told_how_it_is_read(text: str, message: str) -> None:
    write_images(Path("mine"), "a/1.png")
    write_text(Path("lesions.csv"), "image,label\n")
    with pytest.raises(InputError) as caught:
        load_data(text)
    assert str(caught.value) == message


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
        (("ISIC_2019_Training_GroundTruth.csv", "images/1.jpg"), "isic-2019:x"),
        (("ISIC_2020_Training_GroundTruth.csv",), "isic-2020:x"),
        (("ISIC2018_Task3_Training_GroundTruth/a.csv",), "isic-2018:x"),
        (("fitzpatrick17k.csv", "images/1.jpg"), "fitzpatrick17k:x"),
        (("supplements/training_gt.csv", "metadata.csv"), "milk10k:x"),
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
