"""The short form of `make processes`: three processes give what one gives, of telling kinds."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from lib.drill.apart import OTHER_PICKS, beyond, compare
from lib.drill.world import World
from processes import apart


@pytest.mark.dist
@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["all methods, classifiers trained", "tuning by LoRA", "pre-training"]
)
def test_three_processes_give_what_one_gives(drilled: World, kind: str) -> None:
    measured = apart(drilled, kind, counts=(3,))[3]
    assert measured
    assert beyond(measured) == []


@pytest.mark.slow
def test_what_differs_is_seen(drilled: World, tmp_path: Path) -> None:
    out = drilled.undisturbed("pre-training").out
    other = shutil.copytree(out, tmp_path / "other")
    assert set(compare(out, other).values()) == {0.0}
    path = other / "encoder/encoder.safetensors"
    weights = load_file(path)
    name = next(iter(weights))
    save_file({**weights, name: weights[name] + np.float32(0.5)}, path)
    assert compare(out, other)["weight"] == pytest.approx(0.5)
    log = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    log[0]["loss"] *= 1.25
    (other / "metrics.jsonl").write_text("\n".join(map(json.dumps, log)))
    assert compare(out, other)["training loss, relative"] == pytest.approx(0.25)
    assert [item.split(" ")[0] for item in beyond(compare(out, other))] == ["weight", "training"]


def test_a_difference_within_its_tolerance_is_none() -> None:
    assert beyond({"probability": 1e-4, "weight": float("nan")}) == ["weight nan"]


def test_what_has_no_tolerance_is_not_passed_over() -> None:
    with pytest.raises(KeyError, match="probabilty"):
        beyond({"probabilty": 0.0})


def write_run(folder: Path, *, lr: float, probabilities: list[float] | None) -> Path:
    """Write as much of a run with one head as is compared."""
    folder.mkdir()
    name = None if probabilities is None else "ep.parquet"
    if name is not None:
        pd.DataFrame({"probabilities": [probabilities]}).to_parquet(folder / name)
    row = {
        "name": "ep", "method": "ep", "labels": "all", "settings": {"lr": lr},
        "predictions": name, "metrics": {"log_loss": {"values": [0.5]}},
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps({"rows": [row], "baselines": []}))
    return folder


def test_a_head_that_was_picked_otherwise_is_beyond(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", lr=0.1, probabilities=[0.5, 0.5])
    alike = write_run(tmp_path / "alike", lr=0.1, probabilities=[0.5, 0.5])
    other = write_run(tmp_path / "other", lr=0.2, probabilities=[0.9, 0.1])
    assert beyond(compare(one, alike)) == []
    assert beyond(compare(one, other)) == [f"{OTHER_PICKS} 1"]


def test_a_probability_that_is_no_number_is_beyond(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", lr=0.1, probabilities=[0.5, 0.5])
    other = write_run(tmp_path / "other", lr=0.1, probabilities=[0.5, float("nan")])
    assert beyond(compare(one, other)) == ["probability nan"]


def test_a_head_that_predicts_in_one_run_alone_is_refused(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", lr=0.1, probabilities=None)
    other = write_run(tmp_path / "other", lr=0.1, probabilities=[0.5, 0.5])
    with pytest.raises(ValueError, match="ep predicts in one of both"):
        compare(one, other)


def test_a_neighbour_that_is_missing_once_is_beyond(tmp_path: Path) -> None:
    tables = {"one": [0.5, float("nan")], "other": [float("nan"), float("nan")]}
    for name, similarity in tables.items():
        pd.DataFrame({"similarity": similarity}).to_parquet(tmp_path / name)
    assert beyond(compare(tmp_path / "one", tmp_path / "one")) == []
    assert beyond(compare(tmp_path / "one", tmp_path / "other")) == [
        "similarity of a neighbour nan"
    ]
