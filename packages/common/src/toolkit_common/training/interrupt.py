"""Ctrl-C without torn state: a loop learns of it between two steps, saves, and stops."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import accelerate


class Interruption:
    """Whether SIGINT or SIGTERM arrived since the block began."""

    requested = False

    def agreed(self, accelerator: "accelerate.Accelerator") -> bool:
        """Tell whether any rank was interrupted, so that all leave the loop at one step."""
        # A collective: each rank asks at every step, so that all hear of it at the same one.
        if accelerator.num_processes == 1:
            return self.requested
        # Here, as who has no ranks (a study) needs no torch.
        import torch

        flag = torch.tensor(int(self.requested), device=accelerator.device)
        return bool(accelerator.reduce(flag, reduction="sum") > 0)


@contextmanager
def delayed_interrupt() -> Iterator[Interruption]:
    """Turn the first SIGINT or SIGTERM into a flag; a second SIGINT interrupts at once.

    The loop inside the block is expected to ask `agreed` between steps, save its state and raise
    `KeyboardInterrupt` (exit code 130). Works in the main thread only, as signals do.
    """
    state = Interruption()

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        if state.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        state.requested = True

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield state
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
