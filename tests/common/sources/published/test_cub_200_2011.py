"""CUB-200-2011 as it is published."""

from pathlib import Path

import pytest

from helpers.small_data import column, write_images, write_text
from toolkit_common.errors import InputError
from toolkit_common.sources.load import load_data

PATHS = ("001.Black_footed_Albatross/a.jpg", "002.Laysan_Albatross/b.jpg",
         "001.Black_footed_Albatross/c.jpg")  # fmt: skip
TABLES = {
    "images.txt": "".join(f"{at} {path}\n" for at, path in enumerate(PATHS, start=1)),
    "image_class_labels.txt": "1 1\n2 2\n3 1\n",
    "classes.txt": "1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n",
    "train_test_split.txt": "1 1\n2 1\n3 0\n",
}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    for name, text in TABLES.items():
        write_text(tmp_path / "CUB_200_2011" / name, text)
    write_images(tmp_path / "CUB_200_2011" / "images", *PATHS)
    return tmp_path


@pytest.mark.parametrize("folder", ["", "CUB_200_2011"])
def test_images_species_and_the_official_split_are_read(folder: str, published: Path) -> None:
    data = load_data(f"cub-200-2011:{published / folder}")
    assert data.labels().classes == ("Black footed Albatross", "Laysan Albatross")
    assert data.labels().targets.tolist() == [0, 1, 0]
    assert column(data, "split") == ["train", "train", "test"]
    assert column(data, "image_id") == list(PATHS)
    assert data.sheet.notes == ("found 3 images, expected 11,788",)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("image_class_labels.txt", "1 1\n2 2\n", "has no line for image 3 .1 such images"),
        ("image_class_labels.txt", "1 1\n2 2\n3 9\n", "image 3 is of class 9, which classes.txt"),
        ("train_test_split.txt", None, "no train_test_split.txt in .*: unpack CUB-200-2011 again"),
        ("images.txt", None, "no images.txt in .*: download CUB-200-2011"),
    ],
)
def test_what_does_not_fit_is_named(
    name: str, text: str | None, message: str, published: Path
) -> None:
    path = published / "CUB_200_2011" / name
    path.unlink()
    if text is not None:
        write_text(path, text)
    with pytest.raises(InputError, match=message):
        load_data(f"cub-200-2011:{published}")


def test_it_is_no_folder_of_classes(published: Path) -> None:
    place = published / "CUB_200_2011"
    with pytest.raises(
        InputError, match=f"as cub-200-2011 is published.* write cub-200-2011:{place}"
    ):
        load_data(f"imagefolder:{place}")
