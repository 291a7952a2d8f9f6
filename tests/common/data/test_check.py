"""Bad images are found before long work begins, and named."""

from pathlib import Path

import numpy as np
import pytest

from small_data import build_data, encode, image_bytes, noise
from toolkit_common.data.base import ImageData
from toolkit_common.data.check import check_images
from toolkit_common.errors import InputError

TRUNCATED = encode(noise((200, 200)), "JPEG")[:-2000]


def on_disk(folder: Path, *contents: bytes) -> ImageData:
    paths = [folder / f"{row}.jpg" for row in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return build_data(["a"] * len(contents), images=list(map(str, paths)))


@pytest.mark.parametrize(
    "content",
    [
        encode(noise((1, 1)), "JPEG"),
        encode(noise((200, 9)), "JPEG", progressive=True),
        encode(noise((200, 100)), "JPEG"),
        encode(noise().convert("CMYK"), "JPEG"),
        encode(noise().convert("P"), "PNG"),
        encode(noise(), "TIFF"),
    ],
)
def test_sound_images_pass(content: bytes, tmp_path: Path) -> None:
    table = check_images(on_disk(tmp_path, content), np.array([0]))
    assert table.columns.tolist() == ["row", "image_id", "problem"]
    assert table.empty


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"<html>", "not an image"),
        (TRUNCATED, "truncated"),
        (encode(noise((64, 64)))[:-200], "truncated"),
        (encode(noise((200, 200)), "JPEG", progressive=True)[:-3000], "truncated"),
    ],
)
def test_a_bad_file_stops_the_run_with_name_and_reason(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    data = on_disk(tmp_path, image_bytes(0), content)
    with pytest.raises(InputError, match=f"bad image {tmp_path}/1.jpg: .*{reason}") as caught:
        check_images(data, np.array([0, 1]))
    assert "mend or remove it, or add --bad-files skip" in str(caught.value)


def test_bad_files_are_returned_when_they_may_be_skipped(tmp_path: Path) -> None:
    data = on_disk(tmp_path, image_bytes(0), b"", image_bytes(1), TRUNCATED)
    table = check_images(data, np.array([3, 0, 1, 2]), policy="skip")
    assert table["row"].tolist() == [3, 1]
    assert table["image_id"].tolist() == ["i3", "i1"]
    assert "truncated" in table["problem"][0]
    assert table["problem"][1] == f"{tmp_path}/1.jpg: the file is empty"


def test_all_files_bad_is_an_error_under_any_policy(tmp_path: Path) -> None:
    data = on_disk(tmp_path, b"", b"text")
    with pytest.raises(
        InputError, match=r"0.jpg: the file is empty \(and 1 more bad files of 2\)$"
    ):
        check_images(data, np.arange(2), policy="skip")


def test_only_the_asked_for_rows_are_looked_at(tmp_path: Path) -> None:
    data = on_disk(tmp_path, image_bytes(0), b"")
    assert check_images(data, np.array([0])).empty
    assert check_images(data, np.array([], dtype=int)).empty


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    data = build_data(["a"], images=[f"{tmp_path}/absent.jpg"])
    with pytest.raises(InputError, match=r"absent\.jpg: no such file"):
        check_images(data, np.array([0]))


def test_images_in_memory_are_checked_too() -> None:
    data = build_data(["a", "b"], images=[image_bytes(0), TRUNCATED])
    with pytest.raises(InputError, match=r"bad image an image in memory: .*truncated"):
        check_images(data, np.arange(2))
