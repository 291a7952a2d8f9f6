"""A hash of what an image's file holds: equal for copies, whatever holds them."""

import hashlib
from pathlib import Path

import h5py
import numpy as np

from helpers.small_data import image_bytes
from toolkit_common.images.content import UNREADABLE, content_hash


def place(path: str | Path) -> dict[str, object]:
    return {"bytes": None, "path": str(path)}


def test_copies_have_one_hash_in_memory_on_disk_and_in_hdf5(tmp_path: Path) -> None:
    content = image_bytes(0)
    (tmp_path / "a.png").write_bytes(content)
    with h5py.File(tmp_path / "many.hdf5", "w") as file:
        file["ISIC_1"] = np.frombuffer(content, np.uint8)
    expected = hashlib.sha256(content).hexdigest()
    assert content_hash({"bytes": content, "path": None}) == expected
    assert content_hash(place(tmp_path / "a.png")) == expected
    assert content_hash(place(f"{tmp_path / 'many.hdf5'}#ISIC_1")) == expected
    assert content_hash({"bytes": image_bytes(1), "path": None}) != expected


def test_what_is_not_there_has_none(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "many.hdf5", "w") as file:
        file["ISIC_1"] = np.zeros(3, np.uint8)
    assert content_hash(place(tmp_path / "absent.png")) == UNREADABLE
    assert content_hash(place(f"{tmp_path / 'many.hdf5'}#ISIC_2")) == UNREADABLE
