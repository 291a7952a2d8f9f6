"""Figures of how a run went: what is logged is drawn, beside its chance level."""

import re

import pytest

from helpers.watched_rows import build_watched
from toolkit_slimp.reports import evidence
from toolkit_slimp.reports.recalls import recalls
from toolkit_slimp.settings import SlimpSettings


def log_of(count=20, **more):
    return [
        {
            "step": step, "epoch": step / 10, "loss": 4.0 - step / count, "loss_chance": 4.1,
            "val_loss": 4.5, "val_loss_chance": 4.6, "effective_rank": 20.0, "grad_norm": step,
            **more,
        }
        for step in range(1, count + 1)
    ]  # fmt: skip


LOG = log_of(lesion_loss=3.0, lesion_loss_chance=3.5, patient_loss=3.0, patient_loss_chance=3.5,
             val_lesion_recall_at_1=0.1, val_lesion_recall_at_1_chance=0.02,
             val_lesion_recall_at_5=0.3, val_lesion_recall_at_5_chance=0.1)  # fmt: skip


def titles(figures):
    return [re.search(r'aria-label="([^"]+) by epoch', str(figure))[1] for figure in figures]


@pytest.mark.slow
def test_losses_have_a_panel_a_term_and_dashed_chance_levels():
    figures = list(evidence.losses(LOG))
    assert titles(figures) == ["Whole loss", "Lesion loss (inner)", "Patient loss (outer)"]
    assert str(figures[0]).count("stroke-dasharray") == 2  # of batches and of held-out patients
    assert str(figures[1]).count("stroke-dasharray") == 1
    # A term that is the whole loss is drawn once.
    assert titles(evidence.losses(log_of(lesion_loss=3.0))) == ["Whole loss"]
    assert list(evidence.losses([])) == []


@pytest.mark.slow
def test_recall_of_the_kept_state_has_intervals_and_over_epochs_chance():
    values = recalls(build_watched())
    text = str(evidence.recall_now(values, people="patients"))
    assert "image to metadata, at 5 held out 1.000" in text
    assert "image to metadata, at 5 chance 0.021" in text
    assert "among 240 images, 60 patients; lines: 95 % intervals by bootstrap over" in text
    assert evidence.recall_now([], people="patients") is None
    (figure,) = evidence.recall_by_epoch(LOG)  # the patient level is off
    assert str(figure).count("stroke-dasharray") == 2


@pytest.mark.slow
def test_spread_and_gradients_say_where_they_collapse_and_are_clipped():
    (figure,) = evidence.spread(LOG)
    assert "below it embeddings count as collapsed" in str(figure)
    settings = SlimpSettings(clip_grad=10.0)
    text = str(evidence.gradients(LOG, settings))
    assert "clipped to 10 (dashed), which 50% of the steps that are drawn were" in text
    assert evidence.gradients([{"step": 1}], settings) is None


def test_lines_that_a_disk_spoilt_are_left_out():
    spoilt = [
        {"loss": 1.0},
        {"epoch": 1, "loss": "x"},
        {"epoch": None, "loss": 1.0},
        {"step": True},
    ]
    assert evidence._lines([*spoilt, {"step": 3, "loss": 2.0}], {"a": "loss"}) == [
        {"name": "a", "x": 3, "y": 2.0}
    ]


def test_a_long_run_is_thinned_and_keeps_its_last_state():
    rows = evidence._lines(log_of(count=10_001), {"a": "loss"})
    assert 200 < len(rows) <= evidence.MOST_POINTS
    assert rows[-1]["x"] == 1000.1
    assert [row["x"] for row in rows] == sorted(row["x"] for row in rows)
