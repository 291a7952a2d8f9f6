"""A run's results for humans."""

from dataclasses import replace

import pytest

from toolkit_common.scores.statistics import ONE_GROUP, UNDEFINED, Estimate
from toolkit_probing.results.contents import read_results
from toolkit_probing.results.summary import (
    format_estimate,
    show_results,
    training_lines,
    why_no_intervals,
)

WHOLE = Estimate(0.5, None, (0.25, 0.75), (0.5,))


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        (WHOLE, "0.500\n0.25 to 0.75"),
        (replace(WHOLE, sd=0.125), "0.500 \u00b1 0.125\n0.25 to 0.75"),
        (replace(WHOLE, ci=None, why_no_ci=ONE_GROUP), "0.500\nno interval"),
        (replace(WHOLE, ci=None), "0.500"),  # a run of before, which does not know why
        (replace(WHOLE, mean=None, ci=None, why_no_ci=UNDEFINED), "undefined"),
    ],
)
def test_a_metric_is_shown_with_its_interval_or_without(metric, text):
    assert format_estimate(metric) == text


def test_every_reason_for_no_interval_is_given_once_and_undefined_is_none():
    metrics = [replace(WHOLE, ci=None, why_no_ci=why) for why in (ONE_GROUP, None, UNDEFINED)]
    assert why_no_intervals([*metrics, *metrics, WHOLE]) == [f"no interval: {ONE_GROUP}"]


def test_training_is_described_for_each_amount_of_labels(runs):
    rows = [row for row in read_results(runs / "a").rows if row.training]
    (line,) = training_lines(rows)
    assert line.startswith("heads trained with batch 16, 1 step an epoch, peak learning rate ")
    assert training_lines([*rows, replace(rows[0], labels="2 shots")]) == [
        f"all labels: {line}",
        f"2 shots: {line}",
    ]
    assert training_lines([replace(rows[0], training=None)]) == []


def test_a_table_has_a_column_for_labels_only_where_they_differ(runs, capsys):
    results = read_results(runs / "a")
    show_results(results, runs / "a", as_json=False)
    assert "labels" not in capsys.readouterr().out.splitlines()[2]
    few = replace(results, rows=[replace(results.rows[0], labels="2 shots")])
    show_results(few, runs / "a", as_json=False)
    assert "labels" in capsys.readouterr().out.splitlines()[2]


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
