"""Curves over layers, labels and hidden metadata."""

import sys
from dataclasses import replace
from io import BytesIO

import pytest
from PIL import Image

from toolkit_probing.reports.curves import curves_of, write_curves
from toolkit_probing.results.contents import read_results


@pytest.mark.slow
def test_a_run_with_several_layers_has_a_curve(runs):
    path = runs / "a/curves/balanced_accuracy-by-layer"
    picture = Image.open(BytesIO(path.with_suffix(".png").read_bytes()))
    assert picture.width > picture.height > 300
    lines = path.with_suffix(".csv").read_text().splitlines()
    assert lines[0] == "curve,layer,mean,low,high"
    assert [line.split(",")[:2] for line in lines[1:]] == [
        ["linear-cls", "2"], ["linear-cls", "6"], ["knn-cls", "2"], ["knn-cls", "6"],
    ]  # fmt: skip
    assert not (runs / "b/curves").exists()


def test_along_the_labels_a_curve_has_a_point_an_amount(runs):
    row = read_results(runs / "b").rows[0]
    few = [
        replace(row, name=f"{row.name}-{n}shot", labels=f"{n} shots", num_train=[n, 3 * n])
        for n in (8, 2)
    ]
    curves = curves_of([row, *few], "num_train", "top1")
    assert {name: [at for at, _ in points] for name, points in curves.items()} == {
        "linear-layer6-cls": [4.0, 16.0, *map(float, row.num_train)]
    }
    assert curves_of([row], "num_train", "top1") == {}


def test_along_hidden_metadata_a_curve_has_a_point_a_share(runs):
    row = read_results(runs / "b").rows[0]
    rows = [
        replace(row, name=f"linear-layer6-cls{slug}{few}", hidden_metadata=share, labels=labels)
        for few, labels in (("", "all labels"), ("-2shot", "2 shots"))
        for slug, share in (("-hidden100pct", 1.0), ("", 0.0), ("-hidden12p5pct", 0.125))
    ]
    curves = curves_of(rows, "hidden_metadata", "top1")
    assert {name: [at for at, _ in points] for name, points in curves.items()} == {
        "linear-layer6-cls": [0.0, 0.125, 1.0], "linear-layer6-cls-2shot": [0.0, 0.125, 1.0],
    }  # fmt: skip
    assert curves_of([row], "hidden_metadata", "top1") == {}


def test_without_matplotlib_curves_are_numbers_alone(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    write_curves(tmp_path, read_results(runs / "a").rows, "top1")
    assert [path.name for path in tmp_path.iterdir()] == ["top1-by-layer.csv"]
    (line,) = capsys.readouterr().err.splitlines()
    assert "no picture by layer" in line
    assert "pip install 'toolkit-probing[plots]'" in line
