"""Protocols: named sets of settings, so that two numbers that claim one protocol compare.

A protocol lies between the defaults and the user's own settings, which override it and are
recorded.
"""

from collections.abc import Mapping
from typing import Any

HONEST: dict[str, Any] = {}

EP_PAPER: dict[str, Any] = {
    # specs/ep.md 4: MAE's linear-probing recipe.
    "optimizer": "lars",
    "lr": (0.1,),
    "weight_decay": 0.0,
    "epochs": 90,
    "warmup_epochs": 10.0,
    "batch_size": 4096,
    "select_on": "test",
    "select_by": "top1",
}

PROTOCOLS: Mapping[str, Mapping[str, Any]] = {
    "honest": HONEST,
    "ep-paper": EP_PAPER,
}
