"""Cells and maps of studies made up by hand, for what judges claims: rows right on some images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers.repository import ROOT
from helpers.shown_results import results, row
from lib.claims.evidence import Cell
from toolkit_common.runs.files import write_json
from toolkit_common.scores.metrics import Predictions
from toolkit_common.study.commands import find_command
from toolkit_common.study.file import read_study
from toolkit_common.study.grid import expand
from toolkit_probing.results.saved import SavedRow, SavedRun

COUNT = 60
TARGETS = np.arange(COUNT) % 3


def saved(method: str, right: int, **more) -> SavedRow:
    """Return a row that is right on the first images."""
    guesses = np.where(np.arange(COUNT) < right, TARGETS, (TARGETS + 1) % 3)
    parts = [Predictions(np.eye(3)[guesses], TARGETS)]
    return SavedRow(Path(), row(method, method, right / COUNT, **more), np.arange(COUNT),
                    np.arange(COUNT), parts)  # fmt: skip


def cell(*rows: SavedRow, encoder: str = "MAE", step: str = "probe", **axes) -> Cell:
    run = SavedRun(Path(), results([]))
    run.__dict__["rows"] = dict(enumerate(rows))  # as its cached property would
    return Cell(step, {"encoder": encoder, **axes}, run)


def write_maps(folder: Path, heads: list[dict], random: Sequence[dict] = ()) -> None:
    """Write a study of attention as it is when it was run on one encoder, or random weights too."""
    of = {"MAE": heads, "random": [*random]}
    names = "MAE: 'timm:test_vit', twin: 'timm:test_vit?image_size=48', random: 'timm:test_resnet'"
    given = (f"encoders={{{names}}}",)
    study = read_study(ROOT / "studies/ep-attention.yaml", given)
    for place in (one for one in expand(study, folder, find_command) if one.words[0] != "probe"):
        place.place.parent.mkdir(parents=True, exist_ok=True)
        write_json(place.place, {"heads": of.get(str(place.values["encoder"]), [])})
    study.keep(folder)


def head_of(method: str, queries: int, **statistics: tuple[float, float, float]) -> dict:
    told = {name: {"mean": mean, "ci": [low, high]}
            for name, (low, mean, high) in statistics.items()}  # fmt: skip
    return {"method": method, "num_queries": queries, "statistics": told}
