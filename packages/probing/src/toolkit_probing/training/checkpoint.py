"""What training changes of a module, and how it is saved on the way."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn

from toolkit_common.runs.checkpoints import save_checkpoint

SAVE_EVERY_S = 30.0

State = dict[str, Any]


def trained_state(module: nn.Module) -> State:
    """Return the state of a module but for its frozen parameters (shared, not copied)."""
    frozen = {name for name, item in module.named_parameters() if not item.requires_grad}
    return {name: value for name, value in module.state_dict().items() if name not in frozen}


def copy_trained(module: nn.Module) -> State:
    """Return a copy of `trained_state` on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in trained_state(module).items()}


def load_trained_(module: nn.Module, state: State) -> None:
    """Load what `trained_state` gave; the frozen parameters stay as they are."""
    assert set(state) == set(trained_state(module)), "a state of another module"
    module.load_state_dict(state, strict=False)


class Saver:
    """Saves the state once in a while; any step can be resumed to the same result."""

    def __init__(self, folder: Path, accelerator: Accelerator, state: Callable[[], State]) -> None:
        self._folder = folder
        self._is_main = accelerator.is_main_process
        self._state = state
        self._last = time.monotonic()

    def save_if_due(self, step: int) -> None:
        """Save if the last time is long ago."""
        if time.monotonic() - self._last > SAVE_EVERY_S:
            self.save(step)

    def save(self, step: int) -> None:
        """Save now."""
        if self._is_main:
            save_checkpoint(self._folder, step, self._state())
        self._last = time.monotonic()
