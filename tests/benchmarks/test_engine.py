"""What the engine's benchmark says of its targets."""

from argparse import Namespace

import engine
from lib.harness import Cost


def cost(seconds: float) -> Cost:
    return Cost(seconds, seconds, 0)


def test_targets_are_judged_by_what_was_measured() -> None:
    runs = {
        "features": {"cost": cost(200.0)},
        "features int8": {"cost": cost(200.0)},
        "ep": {"cost": cost(100.0), "top1": {"ep": 0.9}},
        "ep short": {"cost": cost(12.0), "top1": {"ep": 0.5}},
        "int8": {"cost": cost(100.0), "top1": {"ep": 0.8}},
        "small": {"top1": {"ep": 0.9}},
        "small loop": {"top1": {"ep": 0.9}},
        "lighter": [{"cost": cost(10.0)}, {"cost": cost(16.0)}],
        "attentive": [{"cost": cost(10.0)}, {"cost": cost(70.0)}],
        "loop": {
            "cost": cost(410.0),
            "top1": {"ep": 0.5},
            "epochs": {"cpu_seconds": [200.0, 200.0], "wall_seconds": [1.0, 1.0],
                       "encoded": 1416, "images": 1797},
        },
    }  # fmt: skip
    rows = engine.table(runs)
    loop, again, *_ = engine.notes(runs, rows, Namespace(backbone="x", data="y"))
    # (410 + 88 x 200) / 300; 90 epochs by a difference of 88: 90, in a process of 100.
    assert rows[1]["times faster than the loop"] == 18010 / 300
    assert "60 times cheaper than the loop: reached" in loop
    assert "by images alone 71 times" in loop
    assert "start-up, are 33% of ours" in loop
    assert "1.11, missed" in again
