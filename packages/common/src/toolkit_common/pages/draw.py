"""Draws a specification of Vega-Lite as SVG, also in a fork of a process that has drawn before.

vl-convert keeps threads, which a fork does not inherit: there it would wait for them without end.
"""

import json
import os
import subprocess
import sys
from typing import Any

from toolkit_common.extras import require

FRESH = "import json, sys, vl_convert; print(vl_convert.vegalite_to_svg(json.load(sys.stdin)))"

_drawing: set[int] = set()  # processes that have drawn: this one, or those that it is a fork of


def to_svg(spec: dict[str, Any]) -> str:
    """Return the SVG of a specification.

    Raises:
        InputError: If vl-convert is not installed.
    """
    vl_convert = require("vl_convert", extra="plots", purpose="a page with figures")
    if _drawing and os.getpid() not in _drawing:
        command = [sys.executable, "-c", FRESH]
        done = subprocess.run(
            command, input=json.dumps(spec), capture_output=True, text=True, check=True
        )
        return done.stdout.strip()
    _drawing.add(os.getpid())
    svg: str = vl_convert.vegalite_to_svg(spec)
    return svg
