"""A run's results for humans."""

from dataclasses import replace
from pathlib import Path

import pytest

from helpers.shown_results import many_rows, plain_rows, row
from helpers.shown_results import results as made_up
from helpers.snapshots import assert_fits, assert_snapshot
from toolkit_common.scores.statistics import ONE_GROUP, UNDEFINED, Estimate
from toolkit_probing.results.contents import read_results
from toolkit_probing.results.layout import show_estimate
from toolkit_probing.results.summary import (
    remark_lines,
    show_results,
    training_lines,
    why_no_intervals,
)

SHOWN = Path(__file__).parent / "shown"

WHOLE = Estimate(0.5, None, (0.25, 0.75), (0.5,))


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        (WHOLE, "0.500 [0.25, 0.75]"),
        (replace(WHOLE, sd=0.125), "0.500 \u00b1 0.125 [0.25, 0.75]"),
        (replace(WHOLE, ci=None, why_no_ci=ONE_GROUP), "0.500 no interval"),
        (replace(WHOLE, ci=None), "0.500"),  # a run of before, which does not know why
        (replace(WHOLE, mean=None, ci=None, why_no_ci=UNDEFINED), "undefined"),
    ],
)
def test_a_metric_is_shown_with_its_interval_or_without(metric, text):
    assert show_estimate(metric) == text


def test_every_reason_for_no_interval_is_given_once_and_undefined_is_explained():
    metrics = [replace(WHOLE, ci=None, why_no_ci=why) for why in (ONE_GROUP, None, UNDEFINED)]
    assert why_no_intervals([*metrics, *metrics, WHOLE]) == [
        "no interval: all images are of one group",
        "undefined: too few classes, a class without test images there, or a head that gave no "
        "number",
    ]
    assert why_no_intervals([WHOLE]) == []


def test_training_is_described_for_each_amount_of_labels(runs):
    rows = [row for row in read_results(runs / "a").rows if row.training]
    (line,) = training_lines(rows)
    assert line.startswith("heads trained with batch 16, 1 step an epoch, peak learning rate ")
    assert training_lines([*rows, replace(rows[0], labels="2 shots")]) == [
        f"all labels: {line}",
        f"2 shots: {line}",
    ]
    assert training_lines([replace(rows[0], training=None)]) == []


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("rows", [plain_rows, many_rows])
def test_a_table_is_readable_at_any_width(rows, width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    show_results(made_up(rows()), Path("runs/probe 1"), as_json=False)
    shown = capsys.readouterr().out
    assert_fits(shown, width)
    assert_snapshot(shown, SHOWN / f"probe-{rows.__name__.removesuffix('_rows')}-{width}.txt")


def test_in_a_terminal_the_best_of_each_kind_is_bold(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    show_results(made_up(plain_rows()), Path("run"), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    (ep,) = (line for line in lines if line.startswith("ep "))
    assert ep.count("\x1b[1m0.8") == 4
    for name in ("linear", "knn", "missingness"):
        assert all("\x1b[1m" not in line for line in lines if line.startswith(f"{name} "))


def test_the_labels_that_all_rows_learned_from_stand_above_the_table(capsys):
    few = made_up([row("linear-layer12-cls-2shot", "linear", 0.5, labels="2 shots")])
    show_results(few, Path("run"), as_json=False)
    assert "read at layer 12: cls; learned from 2 shots" in capsys.readouterr().out


def test_a_remark_stands_once_with_the_rows_that_it_is_about():
    (line,) = remark_lines(many_rows())
    assert line.count("ep \u00b7 queries") == 3
    assert " and 5 more: C 0.0001 is the lowest" in line


def test_the_next_steps_are_those_that_make_sense(tmp_path, capsys):
    (tmp_path / "heads").mkdir()
    (tmp_path / "heads/ep.safetensors").touch()
    for rows, commands in ((plain_rows(), 3), (plain_rows()[1:], 2), (plain_rows()[1:2], 1)):
        show_results(made_up(rows), tmp_path, as_json=False)
        last = [line for line in capsys.readouterr().out.splitlines() if line.startswith("next: ")]
        assert last[0] == f"next: toolkit report {tmp_path} -o report.html"
        assert len(last) == commands


def test_a_next_step_can_be_pasted_whatever_the_run_is_called(tmp_path, capsys):
    run = tmp_path / "red\x1b[31m\nits own"
    show_results(made_up(plain_rows()[1:2]), run, as_json=False)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"next: toolkit report $'{tmp_path}/red\\x1b[31m\\nits own' -o report.html"


def test_what_must_be_known_stands_below_the_table(runs, capsys):
    results = replace(
        read_results(runs / "a"), diverged={"ep-a": 3}, tuning={"tune": "lora"}, notes=["a note"]
    )
    show_results(results, runs / "a", as_json=False)
    shown = capsys.readouterr().out
    for text in (
        "DIVERGED: 1 head ended without finite probabilities",
        "ep-a from epoch 3",
        "TUNED ENCODERS (tune lora)",
        "RANDOM WEIGHTS",
        "a note",
        f"run folder: {runs / 'a'}",
        "baselines read no image",
    ):
        assert text in shown
    show_results(replace(results, baselines=()), runs / "a", as_json=False)
    assert "baselines read" not in capsys.readouterr().out
