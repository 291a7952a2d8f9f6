"""PASS or FAIL: within the tolerance, by a head of the same size, on the same data."""

import json
from dataclasses import replace

import pytest

from helpers.leaderboards import PAPER, encoder, on_imagenet
from helpers.shown_results import row
from helpers.snapshots import assert_fits
from toolkit_common.console import result_console
from toolkit_common.scores.statistics import Estimate
from toolkit_probing.published.reproduction import reproduction_of
from toolkit_probing.published.rows import read_published
from toolkit_probing.published.settings import ReproduceSettings
from toolkit_probing.published.verdict import judge, show_verdict

PARAMETERS = {"knn": 0, "linear": 769_000, "ep": 1_383_400}
REPRODUCTION = reproduction_of(
    "mae-vit-b-16", read_published(), ReproduceSettings(data="imagefolder:imagenet")
)[0]


def measured(knn=45.0, linear=67.78, ep=75.46, **fields):
    """Return results of these figures, in percent."""
    rows = [
        replace(
            row(method, method, 0.5, num_parameters=PARAMETERS[method]),
            metrics={"top1": Estimate(value and value / 100, None, None, (0.5,))},
        )
        for method, value in (("knn", knn), ("linear", linear), ("ep", ep))
    ]
    base = on_imagenet("runs/a", 0.5, "mae-base").results
    return replace(base, rows=rows, **fields)


def test_figures_within_the_tolerance_pass():
    verdict = judge(measured(linear=67.28, ep=75.96), REPRODUCTION, tolerance=0.5)
    assert verdict.has_passed
    assert verdict.line == "PASS: linear and EP within 0.5 points of the published"
    assert [item.verdict for item in verdict.judgements] == ["not judged", "PASS", "PASS"]


@pytest.mark.parametrize("ep", [74.95, 75.97])
def test_one_figure_beyond_it_fails_up_or_down(ep):
    verdict = judge(measured(ep=ep), REPRODUCTION, tolerance=0.5)
    assert not verdict.has_passed
    assert verdict.line == f"FAIL: EP is {ep - 75.46:+.2f} points off, more than 0.5"


def test_an_undefined_figure_fails():
    line = judge(measured(ep=None), REPRODUCTION, tolerance=0.5).line
    assert line == "FAIL: EP is undefined: the head diverged"


def test_a_head_of_another_size_fails():
    results = measured()
    rows = [*results.rows[:2], replace(results.rows[2], num_parameters=7)]
    line = judge(replace(results, rows=rows), REPRODUCTION, tolerance=0.5).line
    assert line == "FAIL: EP has 7 parameters, the published one 1,383,400"


def test_random_weights_and_other_data_fail_whatever_the_figures():
    random = measured(backbone=encoder("mae-base", random_weights=True))
    assert "linear is of random weights" in judge(random, REPRODUCTION, tolerance=9).line
    data = replace(random.data, sizes={"train": 5, "val": 0, "test": 50_000})
    other = judge(measured(data=data), REPRODUCTION, tolerance=9).line
    assert "EP is of other data: 5 training images and not 1,281,167" in other


def test_the_table_fits_and_ends_with_the_verdict(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    verdict = judge(measured(protocol=PAPER), REPRODUCTION, tolerance=0.5)
    show_verdict(verdict, REPRODUCTION, result_console(as_json=False))
    shown = capsys.readouterr().out
    assert_fits(shown, 80)
    assert "mae-vit-b-16: MAE ViT-B/16 on ImageNet-1k, top-1 in percent, protocol ep-paper" in shown
    assert "k-NN is not judged: k-NN searched one process's share" in shown
    assert shown.splitlines()[-1] == verdict.line
    figures = json.loads(json.dumps(verdict.to_json()))["figures"]
    assert figures[0]["difference"] == pytest.approx(45 - 35.57)
