"""What of a training is kept on the way: its checkpoints, and its lines of metrics.jsonl.

Order, learning rate and weights at the start are functions of seed and step, and heads use no other
randomness: what training changes of the bank, the optimizer and the step are all there is to save.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from toolkit_common.console import progress
from toolkit_common.errors import InputError
from toolkit_common.runs.checkpoints import CHECKPOINTS, load_checkpoint, save_checkpoint
from toolkit_common.runs.folder import RunFolder
from toolkit_common.training.interrupt import Interruption, delayed_interrupt
from toolkit_common.training.late import Agreement
from toolkit_probing.training.compute import Compute

SAVE_EVERY_S = 30.0
VERSION = 3  # rises when a training that is half done would go on otherwise than it began

State = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """Where a training is kept.

    Attributes:
        run: Whose metrics.jsonl gets a line an epoch.
        name: Of this part of the run, and of the folder of its checkpoints.
        first_step: Its first step among all steps of the run.
    """

    run: RunFolder
    name: str = "heads"
    first_step: int = 0

    @property
    def folder(self) -> Path:
        """Where its checkpoints lie."""
        return self.run.path / CHECKPOINTS / self.name

    def part(self, name: str, first_step: int) -> "Record":
        """Return the record of a part of this training, which begins at one of its steps."""
        return Record(self.run, f"{self.name}/{name}", self.first_step + first_step)


def logged_metric(split: str, metric: str) -> str:
    """Return what metrics.jsonl calls a metric on a split; it has its own sign there."""
    return f"{split}_{metric}"


class Journal:
    """Keeps a training, so that any step can be resumed to the same result; or keeps nothing."""

    def __init__(
        self,
        record: Record | None,
        compute: Compute,
        *,
        stop: Interruption,
        advance: Callable[[int], None],
    ) -> None:
        self.advance = advance
        self._record = record
        self._compute = compute
        self.stop = Agreement(stop, compute.num_processes)
        self._last = time.monotonic()

    def resume_(self, load_: Callable[[State], None]) -> int:
        """Let `load_` take up the newest checkpoint and return its step; 0 without any.

        Raises:
            InputError: If it is of an earlier version, which trains otherwise.
        """
        # Each process reads it: all have the same disk, and none must send it.
        newest = None if self._record is None else load_checkpoint(self._record.folder)
        if newest is None:
            return 0
        step, state = newest
        if state.pop("version", 1) != VERSION:
            assert self._record is not None
            raise InputError(
                f"{self._record.run.path} was begun by a version of toolkit that trains heads "
                "otherwise: finish it with that one, or train anew with --overwrite"
            )
        load_(state)
        return step

    def rewind(self, step: int) -> None:
        """Drop what was logged after a step, which is now taken again."""
        # The file is the main one's alone.
        if self._record is not None and self._compute.is_main_process:
            self._record.run.rewind_log(self._record.first_step + step)

    def is_stopped(self) -> bool:
        """Tell whether any process was interrupted, to all of them alike."""
        # Without a record Python's own interrupt does it.
        return self._record is not None and self.stop.reached

    def write(self, step: int, *, epoch: int, **values: Mapping[str, float]) -> None:
        """Log what an epoch ended with: what is measured -> head -> value."""
        if self._record is not None and self._compute.is_main_process:
            at = {"step": self._record.first_step + step, "part": self._record.name}
            self._record.run.log(**at, epoch=epoch, **values)

    def save(self, step: int, state: Callable[[], State], *, if_due: bool = False) -> None:
        """Save what `state` returns as a checkpoint; `if_due`: only if the last one is long ago."""
        # By time, not by steps: a step may take a millisecond or a minute.
        if if_due and time.monotonic() - self._last <= SAVE_EVERY_S:
            return
        if self._record is not None and self._compute.is_main_process:
            # One writes what all hold alike.
            save_checkpoint(self._record.folder, step, {"version": VERSION, **state()})
        self._last = time.monotonic()


@contextmanager
def open_journal(
    record: Record | None, compute: Compute, *, title: str, total: int
) -> Iterator[Journal]:
    """Open the journal of a training of `total` steps.

    With a record there is a bar, and an interrupt waits for the step that is being taken, so that
    its state can be saved. Without one, Python's own interrupt stops the training at once.
    """
    if record is None:
        yield Journal(None, compute, stop=Interruption(), advance=lambda _: None)
        return
    with progress(title, total) as advance, delayed_interrupt() as stop:
        yield Journal(record, compute, stop=stop, advance=advance)


def trained_state(module: nn.Module) -> State:
    """Return the state of a module but for its frozen parameters (shared, not copied)."""
    frozen = {name for name, item in module.named_parameters() if not item.requires_grad}
    return {name: value for name, value in module.state_dict().items() if name not in frozen}


def copy_trained(module: nn.Module) -> State:
    """Return a copy of `trained_state` on the CPU."""
    # To the CPU, as best states of all heads at once would fill the device; cloned, as the next
    # step changes weights in place.
    return {name: value.detach().cpu().clone() for name, value in trained_state(module).items()}


def load_trained_(module: nn.Module, state: State) -> None:
    """Load what `trained_state` gave; the frozen parameters stay as they are."""
    # strict=False below would pass over what is missing.
    assert set(state) == set(trained_state(module)), "a state of another module"
    module.load_state_dict(state, strict=False)
