"""Which state of a run is kept: its last, or the best that a look at held-out patients has seen.

Of equally good ones the first is kept. What is best so far is part of a checkpoint, so that a
resumed run keeps what it would have kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from toolkit_common.errors import InputError
from toolkit_slimp.settings import SlimpSettings


@dataclass(frozen=True)
class Outcome:
    """What a run ended as.

    Attributes:
        step: Updates behind the state that is kept.
        values: Of held-out patients, of that state.
    """

    step: int
    values: dict[str, float]


class Keeper:
    """Remembers the best state so far; nothing where the last one is kept.

    Args:
        settings: Name the metric.
    """

    def __init__(self, settings: SlimpSettings) -> None:
        self.settings = settings
        self.best: Outcome | None = None
        self._weights: dict[str, Tensor] = {}

    def look_(self, model: nn.Module, step: int, values: Mapping[str, float]) -> None:
        """Remember the model if it is better than all before.

        Args:
            model: What was looked at.
            step: Updates behind it.
            values: What the look said.
        """
        metric = self.settings.keep
        if metric == "last":
            return
        if self.best is None or values[metric] > self.best.values[metric]:
            self.best = Outcome(step, dict(values))
            # On the CPU, and apart: the next update changes the model in place.
            self._weights = {
                name: item.detach().cpu().clone() for name, item in model.state_dict().items()
            }

    def finish_(self, model: nn.Module, last: Outcome) -> Outcome:
        """Put what is kept in the model's place; returns what it is."""
        if self.best is None:
            return last
        model.load_state_dict(self._weights)
        return self.best

    def state(self) -> dict[str, Any] | None:
        """Return what `resume_` needs."""
        if self.best is None:
            return None
        return {"step": self.best.step, "values": self.best.values, "weights": self._weights,
                "watch_every": self.settings.watch_every}  # fmt: skip

    def resume_(self, state: Mapping[str, Any] | None) -> None:
        """Take up what was best.

        Raises:
            InputError: If the looks are at other steps now: what is best would be another.
        """
        if state is None:
            return
        if (before := state["watch_every"]) != (now := self.settings.watch_every):
            raise InputError(
                f"cannot resume with watch_every {now} (was {before}): keep {self.settings.keep} "
                "chooses among the steps that were watched; leave it as it was"
            )
        self.best = Outcome(state["step"], dict(state["values"]))
        self._weights = dict(state["weights"])
