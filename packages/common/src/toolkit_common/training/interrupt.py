"""Ctrl-C without torn state: a loop learns of it between two steps, saves, and stops."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Whether SIGINT or SIGTERM reached this process since the block began.

    Several processes leave the loop at one step by `toolkit_common.training.late.Agreement`.
    """

    requested = False


@contextmanager
def delayed_interrupt() -> Iterator[Interruption]:
    """Turn the first SIGINT or SIGTERM into a flag; a second SIGINT interrupts at once.

    The loop inside the block is expected to look between steps, save its state and raise
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
