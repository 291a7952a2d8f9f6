"""Figures are drawn in a fork too, whose parent has drawn."""

import os
import signal
import time

import pytest

from toolkit_common.pages.draw import to_svg

SPEC = {"data": {"values": [{"x": 1}]}, "mark": "point",
        "encoding": {"x": {"field": "x", "type": "quantitative"}}}  # fmt: skip
PATIENCE_S = 60.0


@pytest.mark.slow
def test_a_fork_of_a_process_that_has_drawn_draws_the_same():
    expected = to_svg(SPEC)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, to_svg(SPEC).encode())
        finally:
            os._exit(0)  # never back into pytest
    os.close(writer)
    since = time.monotonic()
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() - since > PATIENCE_S:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail("the fork waits for threads that it does not have")
        time.sleep(0.05)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read().decode() == expected.strip()
