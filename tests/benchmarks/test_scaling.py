"""The table of growth: exponents, and an epoch of every kind."""

from pathlib import Path

import pytest

import scaling
from scaling import Size, exponent, grow


def test_an_exponent_says_how_time_grows() -> None:
    assert exponent([1, 4, 16], [1.0, 2.0, 32.0], 0) is None
    assert exponent([1, 4, 16], [1.0, 2.0, 32.0], 1) == 0.5
    assert exponent([1, 4, 16], [1.0, 2.0, 32.0], 2) == 2.0


def test_memory_that_grows_too_fast_is_a_miss(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = [{"exponent": None, "of memory": None}, {"exponent": 1.0, "of memory": 1.9}]
    monkeypatch.setattr(scaling, "grow", lambda what: rows)
    monkeypatch.setattr("sys.argv", ["scaling", "--output", str(tmp_path)])
    scaling.main()
    assert "the largest is 1.90: missed" in (tmp_path / "scaling.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["images", "tokens", "classes", "heads"])
def test_a_kind_of_size_grows_alone(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "FACTORS", (1, 4))
    monkeypatch.setattr(scaling, "BATCH", 8)
    start = Size(images=20, tokens=4, classes=3, heads=1)
    rows = grow(what, start=start, repeats=1)
    assert [row["how many"] for row in rows] == [getattr(start, what), 4 * getattr(start, what)]
    assert rows[0]["exponent"] is None
    assert all(row["MiB"] > 0 for row in rows)
