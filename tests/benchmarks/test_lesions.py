"""The benchmark of large lesion data sets reads what it made, with and without the cache."""

import pytest

import lesions


def test_pictures_are_read_in_every_way_and_compared_with_the_plain_one(tmp_path, monkeypatch):
    small = {"PHOTOS": 6, "DISTINCT_PHOTOS": 2, "PHOTO_SIZE": 300, "REPEATS": 1, "WORKERS": (0,)}
    for name, value in small.items():
        monkeypatch.setattr(lesions, name, value)
    pictures = lesions.photographs(tmp_path / "photos")
    assert len(pictures.data) == 6
    rows = lesions.read_all(pictures, tmp_path / "cache")
    ways = ["plain, 0 workers", "cached, 0 workers", "make the cache of 256 px"]
    assert [row["way"] for row in rows] == ways
    assert rows[0]["times faster"] == 1.0
    assert all(row["s"] > 0 and row["MiB"] is None for row in rows)


@pytest.mark.slow
def test_opening_is_measured_in_a_process_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(lesions, "REPEATS", 1)
    seconds, peak = lesions.open_with("kept = bytearray(b'x') * (64 << 20)", tmp_path)
    assert 0 < seconds < 30
    assert peak > 64 * lesions.MIB
