"""Protocols: named, versioned sets of settings, so that two numbers that claim one compare.

A protocol lies between the defaults and the user's own settings, which override it and are
recorded. Its version rises when a change of ours can change its figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit_common.config import field_extra, flatten, read_yaml, resolve
from toolkit_probing.settings import TRAINING, ProbeSettings


@dataclass(frozen=True)
class Protocol:
    """A named set of settings.

    Attributes:
        version: Rises when its figures may change.
        source: Where it is described.
        settings: Setting -> value; what is not here keeps its default.
    """

    version: int
    source: str
    settings: Mapping[str, Any] = field(default_factory=dict)


PROTOCOLS: Mapping[str, Protocol] = {
    "honest": Protocol(
        2,  # 1: heads were judged as the optimizer left them, at rates too small to arrive
        "own input and normalisation, fitted heads, validation picks, the test split is read once",
    ),
    "ep-paper": Protocol(
        # 1: lars gave the query of aim, cae, cait, jepa and mhca no trust ratio; 2: a fifth of a
        # training split without a validation split was held out, though the test split picks
        3,
        "Psomas et al. 2026 (docs/protocols.md), after MAE's linear probing (He et al. 2022)",
        {
            "optimizer": "lars",
            "classifier": "trained",
            "options": {"ep": {"value_init": ("uniform",)}},
            "lr": (0.1,),
            "weight_decay": 0.0,
            "epochs": 90,
            "warmup_epochs": 10.0,
            "batch_size": 4096,
            "patience": 0,
            "preprocess": "imagenet",
            "augment": "crops",
            "select_on": "test",
            "select_by": "top1",
        },
    ),
    "dino-knn": Protocol(
        2,  # 1: a fifth of a training split without a validation split was held out
        "Caron et al. 2021, eval_knn: cosine, votes weighted by exp(sim / 0.07), best k on test",
        {
            "method": ("knn",),
            "options": {"knn": {"k": (10, 20, 100, 200), "temperature": (0.07,)}},
            "select_on": "test",
            "select_by": "top1",
        },
    ),
}
PRESETS = {name: protocol.settings for name, protocol in PROTOCOLS.items()}


def settings_of(run: Path) -> ProbeSettings:
    """Return the settings of a run.

    Raises:
        InputError: If its file of settings is gone, or holds what no run has.
    """
    return resolve(ProbeSettings, [read_yaml(run / "config.yaml")], presets=PRESETS).settings


@dataclass(frozen=True, kw_only=True)
class UsedProtocol:
    """The protocol behind some figures.

    Attributes:
        name: Which one.
        version: Its version then.
        source: Where it is described.
        overridden: Its settings that are not its own.
        unmet: What of them the data did not allow.
    """

    name: str
    version: int
    source: str
    overridden: Mapping[str, Any]
    unmet: str | None = None  # runs of before do not have it

    @property
    def line(self) -> str:
        """In one phrase for humans."""
        changed = [f"{key}={_given(value)}" for key, value in self.overridden.items()]
        changed += [self.unmet] if self.unmet else []
        name = f"protocol {self.name} v{self.version}"
        return f"{name} with {', '.join(changed)}" if changed else name


def _given(value: Any) -> str:
    """Return a value as the command line takes it."""
    if isinstance(value, list | tuple):
        return ",".join(map(_given, value))
    return str(value)


def used_protocol(settings: ProbeSettings, *, unmet: str | None = None) -> UsedProtocol:
    """Return the protocol of some settings, and which of them are not its own.

    Args:
        settings: The settings.
        unmet: What of them the data did not allow.
    """
    protocol = PROTOCOLS[settings.protocol]
    fields = ProbeSettings.model_fields
    # Of the training panel alone: seeds, machines and places of tokens make no protocol.
    defaults = {
        key: item.default for key, item in fields.items() if field_extra(item)["panel"] == TRAINING
    }
    # What a protocol does not name is the default: departing from it is an override as well.
    own = dict(flatten({**defaults, **protocol.settings}))
    given = dict(flatten(settings.model_dump()))
    overridden = {
        # As the user writes it after --set.
        key.removeprefix("options."): given.get(key)
        for key, value in own.items()
        if given.get(key) != value
    }
    return UsedProtocol(
        name=settings.protocol,
        version=protocol.version,
        source=protocol.source,
        overridden=overridden,
        unmet=unmet,
    )
