"""What is no image, or no file that ends, is refused before it fills the memory."""

import os
import resource
from pathlib import Path

import h5py
import numpy as np
import pytest

from helpers.small_data import encode, noise
from toolkit_common.images import encoded
from toolkit_common.images.content import UNREADABLE, content_hash
from toolkit_common.images.encoded import MAX_BYTES, UNSEEN, read_file, read_hdf5
from toolkit_common.images.open import BadImageError, open_image

GIGABYTES = 6_000_000_000


def open_path(path: object) -> None:
    open_image({"bytes": None, "path": str(path)})


def test_a_file_that_is_no_image_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "hole.png"
    with path.open("wb") as file:
        file.truncate(GIGABYTES)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadImageError, match=r"hole\.png: not an image"):
        open_path(path)
    assert content_hash({"bytes": None, "path": str(path)}) == UNREADABLE
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 64 << 10  # KiB


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        (GIGABYTES, f"has more than {MAX_BYTES:,} bytes: make it smaller"),
        (UNSEEN + 1, f"its entry says that it has {UNSEEN + 1:,} bytes, and holds fewer"),
    ],
)
@pytest.mark.parametrize("kind", ["array", "chunks", "compressed"])
def test_an_entry_that_says_more_than_it_holds_is_not_read(
    size: int, reason: str, kind: str, tmp_path: Path
) -> None:
    options = {
        "array": {}, "chunks": {"chunks": (1 << 20,)},
        "compressed": {"chunks": (1 << 20,), "compression": "gzip"},
    }[kind]  # fmt: skip
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        entry = file.create_dataset("x", shape=(size,), dtype=np.uint8, **options)
        if kind != "array":
            entry[:9] = 1
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadImageError, match=rf"a\.hdf5#x: {reason}$"):
        open_path(f"{tmp_path}/a.hdf5#x")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10  # KiB


def test_an_entry_of_words_holds_no_bytes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["x"] = "words"
    with pytest.raises(BadImageError, match=r"a\.hdf5#x: its entry holds no bytes$"):
        open_path(f"{tmp_path}/a.hdf5#x")


@pytest.mark.parametrize("kind", ["array", "void"])
def test_large_images_are_read_whole(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = encode(noise((64, 64)))
    monkeypatch.setattr(encoded, "UNSEEN", len(content) // 2)
    (tmp_path / "a.png").write_bytes(content)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["x"] = np.frombuffer(content, np.uint8) if kind == "array" else np.void(content)
    assert read_file(tmp_path / "a.png") == content
    assert read_hdf5(f"{tmp_path}/a.hdf5", "x") == content


def test_no_more_is_read_than_an_image_can_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = encode(noise((64, 64)))
    (tmp_path / "a.png").write_bytes(content)
    monkeypatch.setattr(encoded, "MAX_BYTES", len(content))
    assert read_file(tmp_path / "a.png") == content
    monkeypatch.setattr(encoded, "MAX_BYTES", len(content) - 1)
    with pytest.raises(BadImageError, match=rf"has more than {len(content) - 1:,} bytes: make"):
        open_path(tmp_path / "a.png")


def test_a_pipe_in_the_place_of_an_hdf5_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.hdf5")
    with pytest.raises(BadImageError, match=r"a\.hdf5#x: a pipe, socket or device$"):
        open_path(f"{tmp_path}/a.hdf5#x")
