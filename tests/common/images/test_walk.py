"""What lies below a folder: every entry is in one list."""

from pathlib import Path

import pytest

from helpers.small_data import encode, noise, write_images, write_text
from toolkit_common.images.walk import count_endings, find_files, is_image, walk


def test_files_come_in_the_order_of_their_paths_through_links(tmp_path: Path) -> None:
    write_images(tmp_path / "root", "b/1.png", "a/2.png", "a.png", "c/.x/3.png", ".y.png")
    write_images(tmp_path / "far", "deep/1.png")
    (tmp_path / "root/a/link").symlink_to(tmp_path / "far")
    walked = walk(tmp_path / "root")
    names = [path.relative_to(tmp_path / "root").as_posix() for path in walked.files]
    assert names == ["a/2.png", "a/link/deep/1.png", "a.png", "b/1.png"]
    assert walked.files == sorted(walked.files)
    assert [path.name for path in walked.hidden] == [".y.png", ".x"]


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert find_files(tmp_path / "absent") == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (encode(noise(), "TIFF"), True),
        (encode(noise(), "PNG"), True),
        (b"", False),
        (b"x,y\n1,2\n", False),
        (b"\x89PNG\r\n\x1a\n", False),
    ],
)
def test_an_ending_that_says_nothing_leaves_it_to_the_content(
    content: bytes, expected: bool, tmp_path: Path
) -> None:
    (tmp_path / "x.dat").write_bytes(content)
    assert is_image(tmp_path / "x.dat") is expected


def test_a_known_ending_is_an_image_whatever_it_holds(tmp_path: Path) -> None:
    assert is_image(write_text(tmp_path / "x.JFIF", "no image"))


def test_endings_are_counted_the_most_frequent_first() -> None:
    names = ("a.txt", "b.TXT", "c", "d.x", "e.y", "f.z")
    counted = count_endings([Path(name) for name in names])
    assert counted == ".txt 2, no ending 1, .x 1, .y 1, ..."


def test_a_link_to_a_device_leads_somewhere(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("/dev/zero")
    (tmp_path / "b.png").symlink_to("gone.png")
    walked = walk(tmp_path)
    assert (walked.others, walked.dangling) == ([tmp_path / "a.png"], [tmp_path / "b.png"])
