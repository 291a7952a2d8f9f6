"""A loss scale for every head: in fp16 small gradients would vanish, and large ones overflow.

The rules are those of `torch.amp.GradScaler`, which has one scale for all parameters of an
optimizer, so that a head whose gradient overflows would make all others leave out a step
(docs/traps.md 32). Here it leaves out its own, and each head trains as if alone. All heads are
looked at in one transfer from the device a step, where a scaler each would wait for every head.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

INITIAL, GROWTH, BACKOFF = 2.0**16, 2.0, 0.5  # torch's, as is the interval
GROWTH_INTERVAL = 2000  # steps without an overflow after which a scale grows
LOWEST = 2.0**-126  # of what is below, the inverse is no fp32 number


class LossScales:
    """Scales losses up and gradients down, and takes away gradients that overflowed.

    Args:
        keys: The heads.
        enabled: Whether losses are scaled at all; else nothing is changed.
    """

    def __init__(self, keys: Iterable[str], *, enabled: bool) -> None:
        self._enabled = enabled
        # Powers of two, exact in any precision.
        self._scales = dict.fromkeys(keys, INITIAL)
        self._steps_since = dict.fromkeys(self._scales, 0)

    @property
    def enabled(self) -> bool:
        """Whether losses are scaled at all."""
        return self._enabled

    def scale(self, key: str, loss: Tensor) -> Tensor:
        """Return the loss of a head, scaled for its backward pass."""
        return loss * self._scales[key] if self._enabled else loss

    def unscale_(self, heads: Mapping[str, Sequence[nn.Parameter]]) -> None:
        """Scale gradients of heads back; one that is not finite leaves its head without any.

        An optimizer passes over parameters without a gradient, momentum and decay too. Every scale
        is then what the head's next step needs.

        Args:
            heads: Parameters of each head that took part in the step.
        """
        if not self._enabled:
            return
        overflowed = torch.cat([self._unscale_head_(key, heads[key]) for key in heads]).tolist()
        for (key, parameters), is_lost in zip(heads.items(), overflowed, strict=True):
            self._move_(key, is_lost=bool(is_lost))
            if is_lost:
                for parameter in parameters:
                    parameter.grad = None

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return {"scales": dict(self._scales), "steps_since": dict(self._steps_since)}

    def load_(self, state: Mapping[str, Any]) -> None:
        """Take up what a checkpoint holds."""
        self._scales.update(state["scales"])
        self._steps_since.update(state["steps_since"])

    def _unscale_head_(self, key: str, parameters: Sequence[nn.Parameter]) -> Tensor:
        """Scale a head's gradients back; returns `(1,)`, 1 where any is not finite."""
        gradients = [item.grad for item in parameters if item.grad is not None]
        found = torch.zeros(1, device=gradients[0].device)
        inverse = torch.full_like(found, 1 / self._scales[key])
        # GradScaler's own kernel: nothing waits for the device.
        torch._amp_foreach_non_finite_check_and_unscale_(gradients, found, inverse)
        return found

    def _move_(self, key: str, *, is_lost: bool) -> None:
        self._steps_since[key] = 0 if is_lost else self._steps_since[key] + 1
        if is_lost:
            self._scales[key] = max(LOWEST, self._scales[key] * BACKOFF)
        elif self._steps_since[key] == GROWTH_INTERVAL:
            grown = self._scales[key] * GROWTH
            self._scales[key], self._steps_since[key] = grown, 0
