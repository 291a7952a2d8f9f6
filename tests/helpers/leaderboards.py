"""Runs made up by hand for leaderboards, a stand-in for published rows, and where they are kept."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers.shown_results import baselines, results, row
from toolkit_common.scores.metrics import Predictions
from toolkit_probing.protocols import UsedProtocol
from toolkit_probing.results.contents import JudgedBackbone, Results
from toolkit_probing.results.rows import Row
from toolkit_probing.results.saved import SavedRow, SavedRun

IMAGENET = {"train": 1_281_167, "val": 0, "test": 50_000}
NUM = 200  # test images
TARGETS = np.arange(NUM) % 2
PAPER = UsedProtocol(name="ep-paper", version=3, source="paper", overridden={})
STAND_IN = """
title: A stand-in
source: generated images
commit: 0123456789
protocol: ep-paper
judged: [linear, ep]
notes: [k-NN is of another search]
data: {title: dark and light, classes: 2, train: 12, test: 8}
rows:
  tiny-vit:
    method: Tiny
    architecture: ViT-Ti/16
    family: MIM
    pretraining: nothing
    image_size: 32
    knn: {top1: 12.5, k: 5, temperature: 0.07}
    linear: {top1: 95, reads: cls, parameters: 130}
    ep: {top1: 90, reads: patches, queries: 4, parameters: 4482}
    backbone: "timm:test_vit?image_size=32&final_norm=none"
    needs_weights: true
    stochastic: stochastic depth 0.1
  own-vit:
    method: Own
    architecture: ViT-Ti/16
    family: VLM
    pretraining: nothing
    image_size: 32
    knn: {top1: 50, k: 5, temperature: 0.07}
    linear: {top1: 50, reads: projected, parameters: 130}
    ep: {top1: 50, reads: projected, queries: 4, parameters: 4482}
"""


def encoder(name: str, place: str = "timm:vit_base_patch16_224.mae", **more: Any) -> JudgedBackbone:
    """Return what a run records of an encoder."""
    given: dict[str, Any] = {
        "facts": {"architecture": place},
        "card": {"objective": "masked reconstruction (MAE)"},
        "preprocess": {}, "weights": {}, "random_weights": False,
    }  # fmt: skip
    return JudgedBackbone(
        id=f"{place}{'&' if '?' in place else '?'}name={name}", name=name, **(given | more)
    )


def methods(value: float, **more: Any) -> list[Row]:
    """Return a row of each method around a value."""
    return [
        row("knn-layer12-cls", "knn", value - 0.1, num_parameters=0, **more),
        row("linear-layer12-cls", "linear", value, num_parameters=769_000, **more),
        row("ep-layer12-patches", "ep", value + 0.05, num_parameters=1_383_400, **more),
    ]


def run(path: str, rows: list[Row], backbone: JudgedBackbone, **more: Any) -> SavedRun:
    """Return a run of these rows; `more` are fields of its results."""
    of = replace(results(rows), **{"backbone": backbone, "baselines": baselines(), **more})
    return with_images(SavedRun(Path(path), of))


def judged(name: str, value: float, skill: float) -> SavedRun:
    """Return a run whose scores are noise and `skill` times the truth."""
    one = run(f"runs/{name}", methods(value), encoder(name))
    score = 1 / (
        1 + np.exp(-(np.random.default_rng(0).normal(size=NUM) + skill * (2 * TARGETS - 1)))
    )
    part = Predictions(np.stack([1 - score, score], axis=1), TARGETS)
    rows = {
        row.name: SavedRow(Path(name), row, np.arange(NUM).astype(str), np.arange(NUM) // 2, [part])
        for row in one.results.rows
    }
    vars(one)["rows"] = rows
    return one


def on_imagenet(path: str, value: float, name: str, **more: Any) -> SavedRun:
    """Return a run of the published rows' data and protocol."""
    base = results([]).data
    data = replace(base, id="imagefolder:/data/imagenet", label="label", sizes=IMAGENET,
                   classes=[f"n{at:08d}" for at in range(1000)], splits="given",
                   num_test_groups=50_000)  # fmt: skip
    given: Mapping[str, Any] = {"data": data, "protocol": PAPER, "baselines": (), **more}
    return run(path, methods(value, selected="selected on test"), encoder(name), **given)


def with_images(one: SavedRun, images: str = "abcd") -> SavedRun:
    """Give a run test images that lie in no file."""
    vars(one)["test_rows"] = pd.DataFrame(index=list(images))
    return one


def recorded(one: SavedRun, **facts: str) -> SavedRun:
    """Give a run what run.json holds."""
    vars(one)["recorded"] = facts
    return one


def with_results(one: SavedRun, **fields: Any) -> SavedRun:
    """Return a run with other fields of its results."""
    other: Results = replace(one.results, **fields)
    return with_images(SavedRun(one.path, other))
