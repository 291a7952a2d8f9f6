"""Content keys of images: what they know, and what they do not look at twice."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.small_data import build_data, image_bytes
from toolkit_common.data.dataset import ImageData
from toolkit_common.images import keys as image_keys


def on_disk(folder: Path, *contents: bytes) -> ImageData:
    folder.mkdir(exist_ok=True)
    paths = []
    for place, content in enumerate(contents):
        paths.append(str(folder / f"{place}.png"))
        Path(paths[-1]).write_bytes(content)
        os.utime(paths[-1], ns=(10**9, 10**9))
    return build_data(["a"] * len(contents), images=paths)


def test_the_key_of_bytes_is_their_content() -> None:
    one, same, other = image_bytes(0), image_bytes(0), image_bytes(1)
    keys = build_data(["a"] * 3, images=[one, same, other]).image_keys
    assert keys[0] == keys[1] != keys[2]


def test_the_key_of_a_file_knows_name_size_and_time(tmp_path: Path) -> None:
    original = on_disk(tmp_path / "a", b"1234").image_keys
    assert on_disk(tmp_path / "a", b"5678").image_keys == original  # same size and time
    assert on_disk(tmp_path / "a", b"12345").image_keys != original
    data = on_disk(tmp_path / "a", b"1234")
    os.utime(tmp_path / "a" / "0.png", ns=(10**9, 10**9 + 1))
    assert data.image_keys != original


def test_the_key_of_a_file_does_not_know_where_the_data_lie(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    here = on_disk(tmp_path / "here" / "a", b"1234")
    there = on_disk(tmp_path / "there" / "a", b"1234")
    assert here.image_keys == there.image_keys


def test_entries_of_one_file_and_missing_files_have_keys_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "x.hdf5").write_bytes(b"1")
    places = [f"{tmp_path}/x.hdf5#{key}" for key in "ab"] + [f"{tmp_path}/absent.png"]
    keys = build_data(["a"] * 3, images=places).image_keys
    assert len(set(keys)) == 3
    assert keys[2].endswith(":absent")


def test_a_folder_may_hold_what_parts_file_and_entry(tmp_path: Path) -> None:
    (tmp_path / "b.hdf5#2").mkdir()
    keys = on_disk(tmp_path / "b.hdf5#2" / "x#1", b"1", b"12").image_keys
    assert keys == ["x#1/0.png#:1:1000000000", "x#1/1.png#:2:1000000000"]


def test_keys_follow_a_selection_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_keys, "CHUNK", 2)
    data = build_data(["a"] * 5, images=[image_bytes(seed) for seed in range(5)])
    chosen = replace(data, rows=data.rows.select([4, 0, 2, 1]))
    assert chosen.image_keys == [data.image_keys[row] for row in (4, 0, 2, 1)]
