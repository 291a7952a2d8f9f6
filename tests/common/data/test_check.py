"""Bad images are found before long work begins, and named."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.small_data import build_data, encode, image_bytes, noise
from toolkit_common.data import check
from toolkit_common.data.check import check_images
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.loaders import build_loader
from toolkit_common.errors import InputError
from toolkit_common.images.transforms import Preprocess, build_eval_transform

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


def test_only_the_requested_rows_are_looked_at(tmp_path: Path) -> None:
    data = on_disk(tmp_path, image_bytes(0), b"")
    assert check_images(data, np.array([0])).empty
    assert check_images(data, np.array([], dtype=int)).empty


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    data = build_data(["a"], images=[f"{tmp_path}/absent.jpg"])
    with pytest.raises(InputError, match=r"absent\.jpg: no such file"):
        check_images(data, np.array([0]))
    images = [f"{tmp_path}/absent.jpg", image_bytes(0)]
    one_of_two = "no such file: correct its name or drop its row, or add --bad-files skip"
    with pytest.raises(InputError, match=one_of_two):
        check_images(build_data(["a", "b"], images=images), np.arange(2))


def test_images_in_memory_are_checked_too() -> None:
    data = build_data(["a", "b"], images=[image_bytes(0), TRUNCATED])
    with pytest.raises(InputError, match=r"bad image an image in memory: .*truncated"):
        check_images(data, np.arange(2))


def test_of_very_many_images_a_part_is_decoded_and_that_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "MAX_LOOKED_AT", 5)
    monkeypatch.setattr(check, "SPREAD", 3)
    good, rows = image_bytes(0), np.arange(7)
    data = on_disk(tmp_path, good, b"text", good, good, b"text", good, good)  # 0, 3, 6 are seen
    assert check_images(data, rows).empty
    assert "decoding 3 of 7 images to find bad files; --bad-files skip" in capsys.readouterr().err
    assert check_images(data, rows, policy="skip")["row"].tolist() == [1, 4]
    assert "decoding" not in capsys.readouterr().err


def test_an_absent_file_is_found_among_very_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "MAX_LOOKED_AT", 2)
    monkeypatch.setattr(check, "SPREAD", 1)
    data = on_disk(tmp_path, *[image_bytes(0)] * 3)
    (tmp_path / "1.jpg").unlink()
    with pytest.raises(InputError, match=r"bad image .*1.jpg: no such file"):
        check_images(data, np.arange(3))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_bad_image_that_is_met_late_is_reported_in_one_line(
    tmp_path: Path, num_workers: int
) -> None:
    data = on_disk(tmp_path, image_bytes(0), b"text")
    transform = build_eval_transform(Preprocess(image_size=(8, 8)))
    loader = build_loader(
        data, np.arange(2), transform=transform, batch_size=2, num_workers=num_workers
    )
    with pytest.raises(InputError) as caught:
        next(iter(loader))
    assert str(caught.value) == f"{tmp_path}/1.jpg: not an image"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.ENOMEM])
def test_where_the_machine_fails_no_image_is_left_out(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = on_disk(tmp_path, *[encode(noise(), "JPEG")] * 3)

    def fail(*arguments: object, **options: object) -> Image.Image:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        check_images(data, np.arange(3), policy="skip")
    assert not isinstance(caught.value, InputError)
    assert caught.value.__notes__ == [f"while reading {tmp_path / '0.jpg'}"]
