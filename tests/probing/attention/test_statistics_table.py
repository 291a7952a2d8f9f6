"""Statistics as a table and as a file."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from helpers.snapshots import assert_snapshot
from toolkit_common.scores.statistics import Estimate
from toolkit_probing.attention.measure import Measured, Statistics
from toolkit_probing.attention.statistics_table import (
    HEADINGS,
    show_statistics,
    write_statistics,
)


def estimate(mean: float | None) -> Estimate:
    ci = None if mean is None else (mean - 0.1, mean + 0.1)
    return Estimate(mean, None, ci, (mean,), why_no_ci=None if ci else "undefined")


def counted(peak: float, grids: Sequence[tuple[int, int]] = ((7, 5), (7, 5))) -> Statistics:
    figures = dict.fromkeys(HEADINGS, estimate(0.5)) | {
        "peak": estimate(peak),
        "overlap": estimate(None),
    }
    heads = [
        Measured(name, name, "ep", {}, 2, "patches", grid, 8, figures)
        for name, grid in zip(("ep", "a-long-name-of-a-head"), grids, strict=True)
    ]
    return Statistics("run", False, "its own test images", 30, 20, 28, heads)


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_a_table_keeps_its_figures_whole_at_every_width(capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    show_statistics(counted(peak=2.0), as_json=False)
    text = capsys.readouterr().out
    assert_snapshot(text, Path(__file__).parent / f"shown/statistics-{width}.txt")
    table = [line for line in text.splitlines() if "[" in line]
    assert max(map(len, table)) <= width
    assert text.count("0.500 [0.40, 0.60]") == 2 * (len(HEADINGS) - 2)
    assert text.count("undefined") == 2
    for line in ("30 images of 20 groups", "patch grid 7 x 5; 28 with a mask", "pointing game"):
        assert line in text
    assert "almost even" not in text


def test_grids_that_differ_stand_beside_the_heads(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    statistics = counted(peak=2.0, grids=((6, 6), (3, 3)))
    show_statistics(statistics, as_json=False)
    text = capsys.readouterr().out
    assert "(its own test images); 28 with a mask" in text
    cells = [line.split()[1:4] for line in text.splitlines() if "6 x 6" in line or "3 x 3" in line]
    assert ["6", "x", "6"] in cells
    assert ["3", "x", "3"] in cells
    assert statistics.to_json()["grid"] is None
    assert counted(peak=2.0).to_json()["grid"] == (7, 5)


def test_almost_even_maps_are_named(capsys):
    show_statistics(counted(peak=1.05), as_json=False)
    text = capsys.readouterr().out
    assert "ep: almost even (strongest patch 1.05 times an even share on average)" in text


def test_files_hold_what_was_counted(tmp_path):
    write_statistics(tmp_path / "a.json", counted(peak=2.0))
    read = json.loads((tmp_path / "a.json").read_text())
    assert read["heads"][1]["statistics"]["peak"]["mean"] == 2.0
    write_statistics(tmp_path / "a.csv", counted(peak=2.0))
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0] == "head,queries,statistic,mean,low,high"
    assert "ep,8,overlap,,," in lines
