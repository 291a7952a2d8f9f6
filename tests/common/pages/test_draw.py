"""Figures are drawn apart from us: in forks too, and where what draws them dies."""

import os
import signal
import time

import pytest

from toolkit_common.outside import OutsideError, failure_of
from toolkit_common.pages import draw
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


@pytest.mark.slow
def test_what_dies_while_it_draws_is_one_line_and_the_next_figure_is_drawn(monkeypatch):
    expected = to_svg(SPEC)
    draw._end()
    monkeypatch.setattr(draw, "DRAWER", "import os\nos.abort()")
    with pytest.raises(OutsideError, match=r"what draws figures \(vl-convert\) ended") as caught:
        to_svg(SPEC)
    failure = failure_of(caught.value)
    assert failure is not None
    assert not failure.is_users
    monkeypatch.undo()
    assert to_svg(SPEC) == expected


@pytest.mark.slow
def test_a_library_that_cannot_be_imported_is_no_want_of_memory(monkeypatch):
    draw._end()
    monkeypatch.setattr(draw, "DRAWER", "raise ImportError")
    with pytest.raises(OutsideError, match=r"with code 1: see why python -c 'import vl_convert'"):
        to_svg(SPEC)


def test_what_never_answers_is_ended_and_one_line(monkeypatch):
    draw._end()
    monkeypatch.setattr(draw, "PATIENCE_S", 0.1)
    monkeypatch.setattr(draw, "DRAWER", "import time\ntime.sleep(1000)")
    with pytest.raises(OutsideError, match=r"gave none in 10 minutes and was ended: run again"):
        to_svg(SPEC)
    assert draw._drawers == {}


def test_what_else_is_printed_is_no_answer(monkeypatch):
    draw._end()
    stray = "import os, sys\nsys.stdin.readline()\nos.write(1, b'hello\\n{}\\n\\xff warning: ')\n"
    answer = 'print(\'\\x1e{"svg": "<svg/>"}\', flush=True)\nsys.stdin.read()'
    monkeypatch.setattr(draw, "DRAWER", stray + answer)
    assert to_svg(SPEC) == "<svg/>"
    draw._end()


@pytest.mark.slow
def test_a_limit_on_addresses_is_named(monkeypatch):
    draw._end()
    limited = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (1 << 33, 1 << 33))"
    monkeypatch.setattr(draw, "DRAWER", limited + draw.DRAWER)
    monkeypatch.setattr("resource.getrlimit", lambda _: (1 << 33, 1 << 33))
    with pytest.raises(OutsideError, match=r"addresses, and they are limited here: .*ulimit -v"):
        to_svg(SPEC)


@pytest.mark.slow
def test_whole_numbers_that_javascript_lacks_are_drawn():
    assert to_svg({**SPEC, "data": {"values": [{"x": 10**30}]}}).startswith("<svg")


@pytest.mark.slow
def test_a_specification_that_is_none_is_a_fault_of_ours_and_ends_nothing():
    with pytest.raises(AssertionError, match="conversion failed"):
        to_svg({"mark": "no such"})
    assert to_svg(SPEC).startswith("<svg")
