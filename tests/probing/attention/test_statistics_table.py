"""Statistics as a table and as a file."""

import json

import pytest

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


def counted(peak: float) -> Statistics:
    figures = dict.fromkeys(HEADINGS, estimate(0.5)) | {
        "peak": estimate(peak),
        "overlap": estimate(None),
    }
    heads = [
        Measured(name, name, "ep", {}, 2, "patches", 8, figures)
        for name in ("ep", "a-long-name-of-a-head")
    ]
    return Statistics("run", False, "its own test images", 30, 20, 28, (7, 5), heads)


@pytest.mark.parametrize("width", [80, 120])
def test_a_table_keeps_its_figures_whole_at_every_width(capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    show_statistics(counted(peak=2.0), as_json=False)
    text = capsys.readouterr().out
    table = [line for line in text.splitlines() if "[" in line]
    assert max(map(len, table)) <= width
    assert text.count("0.500 [0.40, 0.60]") == 2 * (len(HEADINGS) - 2)
    assert text.count("undefined") == 2
    for line in ("30 images of 20 groups", "patch grid 7 x 5; 28 with a mask", "pointing game"):
        assert line in text
    assert "almost even" not in text


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
