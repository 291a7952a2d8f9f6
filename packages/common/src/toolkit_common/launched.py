"""What a process knows of its launcher (torchrun, accelerate, Slurm): its part, and its end."""

import ctypes
import os
import signal
import sys

LAUNCHER = "TOOLKIT_LAUNCHER"  # pid of a launcher of ours
ELASTIC = "TORCHELASTIC_RUN_ID"  # set by torch's launcher, ours or torchrun
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def is_main_process() -> bool:
    """Tell whether this process is the one that prints and writes."""
    return os.environ.get("RANK", "0") == "0"


def in_worker() -> bool:
    """Tell whether this process was started by a launcher (torchrun, accelerate, Slurm)."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


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
