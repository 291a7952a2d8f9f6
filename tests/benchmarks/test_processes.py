"""The short form of `make processes`: three processes give what one gives, of telling kinds."""

import json
import shutil
from pathlib import Path

import numpy as np
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
    assert measured.get(OTHER_PICKS, 0) == 0


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
    assert beyond({"probability": 1e-4, OTHER_PICKS: 3.0, "weight": float("nan")}) == ["weight nan"]
