"""Cells of studies made up by hand, for what judges claims: rows that are right on some images."""

from pathlib import Path

import numpy as np

from helpers.shown_results import results, row
from lib.claims.evidence import Cell
from toolkit_common.scores.metrics import Predictions
from toolkit_probing.results.saved import SavedRow, SavedRun

COUNT = 60
TARGETS = np.arange(COUNT) % 3


def saved(method: str, right: int, **more) -> SavedRow:
    """Return a row that is right on the first images."""
    guesses = np.where(np.arange(COUNT) < right, TARGETS, (TARGETS + 1) % 3)
    parts = [Predictions(np.eye(3)[guesses], TARGETS)]
    return SavedRow(Path(), row(method, method, 0.5, **more), np.arange(COUNT),
                    np.arange(COUNT), parts)  # fmt: skip


def cell(*rows: SavedRow, encoder: str = "MAE", step: str = "probe", **axes) -> Cell:
    run = SavedRun(Path(), results([]))
    run.__dict__["rows"] = dict(enumerate(rows))  # as its cached property would
    return Cell(step, {"encoder": encoder, **axes}, run)
