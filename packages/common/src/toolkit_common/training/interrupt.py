"""Ctrl-C without torn state: a loop learns of it between two steps, saves, and stops.

So do a scheduler's SIGTERM and the SIGHUP of a terminal that is closed (`launched.SIGNALS`).
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from toolkit_common.launched import on_signals


class Interruption:
    """Whether one of the signals reached this process since the block began.

    Several processes leave the loop at one step by `toolkit_common.training.late.Agreement`.
    """

    requested = False


@contextmanager
def delayed_interrupt() -> Iterator[Interruption]:
    """Turn the first of the signals into a flag; a second SIGINT interrupts at once.

    The loop inside the block is expected to look between steps, save its state and raise
    `KeyboardInterrupt` (exit code 130). Works in the main thread only, as signals do.
    """
    state = Interruption()

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        if state.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        state.requested = True

    with on_signals(note):
        yield state
