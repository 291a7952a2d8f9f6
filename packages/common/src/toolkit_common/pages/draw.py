"""Draws specifications of Vega-Lite as SVG, in a process of its own that stays for the next one.

vl-convert holds a JavaScript engine, which ends its whole process where it gets no memory, and
keeps threads, which a fork does not inherit. So it is never loaded here.
"""

import atexit
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from toolkit_common.extras import require_installed
from toolkit_common.outside import OutsideError

RESERVED = "64 GiB"  # of addresses, by the engine as it starts, whatever it draws
PATIENCE_S = 600.0  # for a figure, which takes a second where nothing is amiss
# Begins an answer (RFC 7464), as no text of JSON holds it: what else is printed is passed over.
ANSWER = "\x1e"
DRAWER = """
import json, sys
import vl_convert
def number(text):  # JavaScript has no larger whole numbers, and vl-convert takes none
    return int(text) if len(text) < 16 else float(text)
for line in sys.stdin:
    try:
        spec = json.loads(line, parse_int=number)
        answer = {"svg": vl_convert.vegalite_to_svg(spec)}
    except ValueError as error:
        answer = {"error": str(error)}
    print(chr(30) + json.dumps(answer), flush=True)
"""

TOO_LATE = (
    f"what draws figures (vl-convert) gave none in {PATIENCE_S / 60:.0f} minutes and was ended: "
    "run again where the machine is less busy, or leave the page out"
)

# Of this process, and of those that it is a fork of: their pipes are not ours to use.
_drawers: dict[int, "subprocess.Popen[str]"] = {}


def to_svg(spec: dict[str, Any]) -> str:
    """Return the SVG of a specification.

    Raises:
        InputError: If vl-convert is not installed.
        OutsideError: If it ended, as it does where memory is short, or gave no answer in
            `PATIENCE_S`.
    """
    require_installed("vl_convert", extra="plots", purpose="a page with figures")
    drawer = _drawers.get(os.getpid()) or _start()
    with _ended_if_late(drawer) as is_late:
        answer = _ask(drawer, json.dumps(spec))
    if not answer:
        code = _exit_code(drawer)
        _end()
        raise OutsideError(TOO_LATE if is_late.is_set() else _why_none(code))
    drawn = json.loads(answer)
    assert "svg" in drawn, drawn.get("error")
    svg: str = drawn["svg"]
    return svg


@contextmanager
def _ended_if_late(drawer: "subprocess.Popen[str]") -> Iterator[threading.Event]:
    """Kill it after `PATIENCE_S`, which closes the pipes; yields what says whether that was."""
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        drawer.kill()

    timer = threading.Timer(PATIENCE_S, end)
    timer.daemon = True
    timer.start()
    try:
        yield is_late
    finally:
        timer.cancel()


def _ask(drawer: "subprocess.Popen[str]", line: str) -> str:
    """Return what it answers; nothing where it has ended."""
    assert drawer.stdin is not None
    assert drawer.stdout is not None
    try:
        drawer.stdin.write(line + "\n")
        drawer.stdin.flush()
        for printed in drawer.stdout:
            _, is_answer, answer = printed.partition(ANSWER)
            if is_answer and answer.endswith("\n"):
                return answer
    except BrokenPipeError:
        pass
    except BaseException:  # interrupted: what it answers then is no answer to the next
        _end()
        raise
    return ""


def _start() -> "subprocess.Popen[str]":
    drawer = subprocess.Popen(
        [sys.executable, "-P", "-c", DRAWER],  # -P: whatever modules lie in the current folder
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        errors="replace",  # of what else is printed
        start_new_session=True,  # Ctrl-C is for us, and ends it with us
    )
    _drawers[os.getpid()] = drawer
    return drawer


@atexit.register
def _end() -> None:
    if (drawer := _drawers.pop(os.getpid(), None)) is not None:
        drawer.kill()
        drawer.communicate()


def _exit_code(drawer: "subprocess.Popen[str]") -> int | None:
    """Return the code of what has closed its pipe: negative of a signal, None while it goes on."""
    try:
        return drawer.wait(timeout=1.0)
    except subprocess.TimeoutExpired:
        return None


def _why_none(code: int | None) -> str:
    what = "what draws figures (vl-convert) ended"
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        return (
            f"{what}: it reserves {RESERVED} of addresses, and they are limited here: lift the "
            "limit (ulimit -v unlimited), or leave the page out"
        )
    if code is not None and code >= 0:  # by itself: no signal ended it
        return f"{what} with code {code}: see why python -c 'import vl_convert' fails"
    return f"{what}, as when memory runs out: free some, or leave the page out"
