"""How far apart two runs of one command are: what another number of processes may change.

docs/protocols.md, "Number of processes", states the tolerances.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

OTHER_PICKS = "picks (number)"
TOLERANCES = {  # of the largest difference
    OTHER_PICKS: 0.0,  # behind another pick, which is compared no further, anything could hide
    "probability": 1e-4,
    "probability, few shots": 5e-4,
    "probability, CaiT": 0.05,
    "probability, no heads": 0.0,  # k-NN, logistic regression, baselines
    "log-loss, relative": 2e-3,
    "training loss, relative": 1e-4,
    "weight": 1e-4,  # of a rate of 3e-4: Adam divides by a gradient's size, rounding included
    "metadata of a neighbour": 0.0,
    "similarity of a neighbour": 1e-5,
}
NO_HEADS = ("knn", "logreg", "baseline")
NOT_WEIGHTS = ("seen.safetensors",)


def compare(one: Path, other: Path) -> dict[str, float]:
    """Return the largest difference of each kind, and how many heads were picked otherwise.

    A head whose pick differs is another one: it is counted, and compared no further.

    Raises:
        ValueError: If the runs hold other rows or files.
    """
    largest: dict[str, float] = {}
    for name, value in _differences(one, other):
        before = largest.get(name, 0.0)
        # What is no number stays so, where `max` would drop it.
        largest[name] = float(before + value if name == OTHER_PICKS else np.maximum(before, value))
    return largest


def beyond(largest: Mapping[str, float]) -> list[str]:
    """Return which differences exceed their tolerance.

    Raises:
        KeyError: If one has none.
    """
    return [
        f"{name} {value:.2g}" for name, value in largest.items() if not value <= TOLERANCES[name]
    ]


def _differences(one: Path, other: Path) -> Iterator[tuple[str, float]]:
    if one.is_file():
        yield from _of_extrapolations(pd.read_parquet(one), pd.read_parquet(other))
        return
    for path, twin in _pairs(one, other, "results.json"):
        first, second = (json.loads(file.read_text(encoding="utf-8")) for file in (path, twin))
        if "rows" in first:
            yield from _of_rows(first, second, (path.parent, twin.parent))
    for path, twin in _pairs(one, other, "encoder/*.safetensors"):
        if path.name not in NOT_WEIGHTS:
            yield from _of_weights(load_file(path), load_file(twin))
    if (one / "encoder").exists():
        first, second = ((place / "metrics.jsonl").read_text() for place in (one, other))
        yield from _of_logs(first.splitlines(), second.splitlines())


def _of_rows(
    one: dict[str, Any], other: dict[str, Any], folders: tuple[Path, Path]
) -> Iterator[tuple[str, float]]:
    rows, again = ([*result["rows"], *result["baselines"]] for result in (one, other))
    for row, twin in zip(rows, again, strict=True):
        if row["name"] != twin["name"]:
            raise ValueError(f"{row['name']} and {twin['name']} are other rows")
        if (row["predictions"] is None) != (twin["predictions"] is None):
            raise ValueError(f"{row['name']} predicts in one of both")
        is_alike = row["settings"] == twin["settings"]
        yield OTHER_PICKS, float(not is_alike)
        if not is_alike or row["predictions"] is None:
            continue
        first, second = (
            np.stack(pd.read_parquet(folder / row["predictions"]).probabilities.to_list())
            for folder in folders
        )
        yield f"probability{_kind(row)}", float(np.abs(first - second).max())
        if row["method"] != "cait":
            losses = (item["metrics"]["log_loss"]["values"] for item in (row, twin))
            yield "log-loss, relative", _relative(*losses)


def _kind(row: Mapping[str, Any]) -> str:
    """Return which heads of their own tolerance a row is of."""
    if str(row["method"]).startswith(NO_HEADS):
        return ", no heads"
    if row["method"] == "cait":
        return ", CaiT"
    return ", few shots" if "shot" in row["labels"] else ""


def _of_logs(one: Iterable[str], other: Iterable[str]) -> Iterator[tuple[str, float]]:
    for line, again in zip(map(json.loads, one), map(json.loads, other), strict=True):
        names = [name for name in line if name.endswith("loss")]
        pairs = [[item[name] for name in names] for item in (line, again)]
        yield "training loss, relative", _relative(*pairs)


def _of_weights(
    one: dict[str, np.ndarray], other: dict[str, np.ndarray]
) -> Iterator[tuple[str, float]]:
    if one.keys() != other.keys():
        raise ValueError(f"other weights: {', '.join(sorted(one.keys() ^ other.keys()))}")
    for name, value in one.items():
        yield "weight", float(np.abs(value - other[name]).max(initial=0.0))


def _of_extrapolations(one: pd.DataFrame, other: pd.DataFrame) -> Iterator[tuple[str, float]]:
    first, second = (frame.similarity.to_numpy(float) for frame in (one, other))
    is_none = np.isnan(first) & np.isnan(second)  # of images without a neighbour
    apart = np.where(is_none, 0.0, np.abs(first - second))
    yield "similarity of a neighbour", float(apart.max(initial=0.0))
    alike = one.drop(columns="similarity").equals(other.drop(columns="similarity"))
    yield "metadata of a neighbour", float(not alike)


def _pairs(one: Path, other: Path, pattern: str) -> Iterator[tuple[Path, Path]]:
    paths, twins = (sorted(folder.rglob(pattern)) for folder in (one, other))
    if [path.relative_to(one) for path in paths] != [path.relative_to(other) for path in twins]:
        raise ValueError(f"other files {pattern}: {len(paths)} and {len(twins)}")
    yield from zip(paths, twins, strict=True)


def _relative(one: Iterable[float], other: Iterable[float]) -> float:
    first, second = np.array(list(one), float), np.array(list(other), float)
    return float((np.abs(first - second) / np.abs(first)).max(initial=0.0))
