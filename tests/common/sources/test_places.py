"""Images are found as a table writes them, or by their names."""

from pathlib import Path

import pandas as pd
import pytest

from helpers.small_data import write_images
from toolkit_common.errors import InputError
from toolkit_common.sources.places import find_places, with_slashes


def find(folder: Path, *cells: str) -> tuple[list[str], list[str]]:
    places, notes = find_places(pd.Series(cells, dtype=object), folder)
    return [Path(place).relative_to(folder).as_posix() for place in places], notes


@pytest.mark.parametrize(
    ("cells", "notes"),
    [
        (("images/a.png", "images/b.c.jpg"), 0),
        (("images\\a.png", "images\\b.c.jpg"), 0),
        (("a", "b.c"), 1),
        (("a.png", "b.c.jpg"), 1),
        (("C:\\scans\\a.png", "elsewhere/b.c.png"), 1),
    ],
)
def test_images_are_found_as_people_name_them(
    cells: tuple[str, str], notes: int, tmp_path: Path
) -> None:
    write_images(tmp_path, "images/a.png", "images/b.c.jpg")
    places, told = find(tmp_path, *cells)
    assert places == ["images/a.png", "images/b.c.jpg"]
    assert len(told) == notes
    if notes:
        first = cells[0]
        assert told == [f"2 of 2 images are found by their names (first: {first} is images/a.png)"]


def test_what_is_nowhere_keeps_its_place(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png")
    assert find(tmp_path, "a.png", "x\\b.png") == (["a.png", "x/b.png"], [])


def test_two_pictures_of_one_name_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path, "one/a.png", "two/a.png")
    with pytest.raises(InputError, match="two pictures are called a"):
        find(tmp_path, "a")
    assert find(tmp_path, "one/a.png") == (["one/a.png"], [])


def test_slashes_are_those_of_this_system() -> None:
    assert with_slashes("a\\b/c.png") == "a/b/c.png"
