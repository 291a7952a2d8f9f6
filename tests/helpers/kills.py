"""Runs a function in a fork of this process and kills it, as a power cut or a full queue would."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

STILL_RUNNING = 0.002  # seconds between looks


def run_forked(
    function: Callable[[], object],
    *,
    kill_after_s: float | None = None,
    counted_from: Callable[[], bool] = lambda: True,
) -> bool:
    """Run `function` in a fork; SIGKILL it after some seconds. Returns whether it came to its end.

    The seconds count from when `counted_from` is first true.

    Everything is imported already, so that a start costs milliseconds; safe with one thread only
    (docs/stack.md), which conftest.py sees to.
    """
    child = os.fork()
    if child == 0:
        try:
            function()
        except BaseException:
            os._exit(1)
        os._exit(0)
    if kill_after_s is not None:
        end = None
        while end is None or time.monotonic() < end:
            if end is None and counted_from():
                end = time.monotonic() + kill_after_s
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return _ended(status)
            time.sleep(STILL_RUNNING)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return _ended(status)


def _ended(status: int) -> bool:
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL), f"the forked function failed (exit code {code})"
    return code == 0


def wait_for_end(pids: Iterable[int], *, within_s: float = 10.0) -> bool:
    """Wait until processes, children of others perhaps, run no more; returns whether they do."""
    waited_for, end = list(pids), time.monotonic() + within_s
    while any(map(_is_running, waited_for)):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def _is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"  # a dead one may wait for its parent
