"""Records of a study's cells that have predictions, a fold each."""

from pathlib import Path

import numpy as np
import pandas as pd

from toolkit_common.scores.metrics import Predictions
from toolkit_common.study.commands import find_command
from toolkit_common.study.grid import Cell
from toolkit_common.study.records import Record

NUM_ROWS, SEEDS = 40, (0, 1)


def ids_of(fold: int) -> np.ndarray:
    return np.array([f"image-{fold}-{number:02}" for number in range(NUM_ROWS)])


def groups_of(fold: int) -> np.ndarray:
    return np.array([f"patient-{fold}-{number // 2}" for number in range(NUM_ROWS)])


def predictions_of(fold: int, *, skill: float) -> list[Predictions]:
    rng = np.random.default_rng(fold)
    targets = rng.integers(0, 2, NUM_ROWS)
    runs = []
    for _ in SEEDS:
        chance = np.clip(rng.normal(0.5 + skill * (targets - 0.5), 0.2), 0.01, 0.99)
        chance = chance.astype(np.float32)
        runs.append(Predictions(np.stack([1 - chance, chance], axis=1), targets))
    return runs


def joined(skill: float) -> list[Predictions]:
    by_fold = [predictions_of(fold, skill=skill) for fold in range(3)]
    return [
        Predictions(
            np.concatenate([run.probabilities for run in runs]),
            np.concatenate([run.targets for run in runs]),
        )
        for runs in zip(*by_fold, strict=True)
    ]


def record_of(path: Path, fold: int, *, skill: float) -> Record:
    frames = [
        pd.DataFrame({
            "image_id": ids_of(fold), "group": groups_of(fold), "target": run.targets,
            "seed": seed, "draw": 0, "probabilities": list(run.probabilities),
        })
        for seed, run in zip(SEEDS, predictions_of(fold, skill=skill), strict=True)
    ]  # fmt: skip
    # The order of rows in the file carries no meaning.
    pd.concat(frames).sample(frac=1, random_state=0).to_parquet(path)
    cell = Cell(
        step="judge", name=path.stem, values={}, needs={}, place=path.parent, words=[],
        command=find_command("toy judge"), resolved=None,
    )  # fmt: skip
    return Record(cell, {}, {}, {}, classes=("a", "b"), predictions=path)
