"""What a process knows of its launcher (torchrun, accelerate, Slurm): its part, and its end."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

LAUNCHER = "TOOLKIT_LAUNCHER"  # pid of a launcher of ours
ELASTIC = "TORCHELASTIC_RUN_ID"  # set by torch's launcher, ours or torchrun
EXIT_INTERRUPTED = 130  # SIGINT, as shells count it
PR_SET_PDEATHSIG = 1  # linux/prctl.h
HANGUP = getattr(signal, "SIGHUP", None)  # of a terminal that is closed; Windows has none
SIGNALS = (signal.SIGINT, signal.SIGTERM, *([HANGUP] if HANGUP else []))

Handler = Callable[[int, FrameType | None], None]


def is_main_process() -> bool:
    """Tell whether this process is the one that prints and writes."""
    return os.environ.get("RANK", "0") == "0"


def in_worker() -> bool:
    """Tell whether this process was started by a launcher (torchrun, accelerate, Slurm)."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


@contextmanager
def on_signals(act: Handler) -> Iterator[None]:
    """Let `act` handle the signals that ask this process to end.

    Works in the main thread only, as signals do. An ignored SIGHUP stays so: that is `nohup`.
    """
    previous = {}
    try:
        for number in SIGNALS:
            if number != HANGUP or signal.getsignal(number) != signal.SIG_IGN:
                previous[number] = signal.signal(number, act)
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _Interrupts:
    """Interrupts this process, and remembers it: an import may make any error of it, or none."""

    requested = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.requested = True
        raise KeyboardInterrupt


_interrupts = _Interrupts()  # one a process, as its handlers are


def end_as_ctrl_c_does() -> None:
    """Let SIGTERM and SIGHUP interrupt this process, so that whatever runs is left in order."""
    _interrupts.requested = False
    for number in SIGNALS:  # but those that are ignored
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _interrupts)


def was_interrupted() -> bool:
    """Tell whether a signal interrupted this process since `end_as_ctrl_c_does`."""
    return _interrupts.requested


def end_with_launcher() -> None:
    """Let this process be killed when what launched it, its parent, dies; on Linux alone.

    A launcher that is killed (torch's, or a study's) cannot end its workers, which would train on
    and write the run's folder.
    """
    launcher = os.environ.pop(LAUNCHER, None)
    if (launcher is None and ELASTIC not in os.environ) or not sys.platform.startswith("linux"):
        return
    # From the kernel: whatever kills the launcher leaves it no time to tell its workers.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if launcher is not None and os.getppid() != int(launcher):  # it died before that call
        os.kill(os.getpid(), signal.SIGKILL)
