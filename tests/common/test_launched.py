"""A process knows whether it prints, and whether a launcher started it."""

import signal
from functools import partial

import pytest

from toolkit_common.launched import (
    SIGNALS,
    end_as_ctrl_c_does,
    in_worker,
    is_main_process,
    was_interrupted,
)


def test_a_process_knows_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_main_process()
    assert not in_worker()
    monkeypatch.setenv("RANK", "1")
    assert not in_worker()  # RANK alone is set by other programs, too
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert in_worker()
    assert not is_main_process()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_interrupts_and_is_remembered(number: int, request: pytest.FixtureRequest) -> None:
    for other in SIGNALS:
        request.addfinalizer(partial(signal.signal, other, signal.getsignal(other)))
        signal.signal(other, signal.SIG_DFL)
    end_as_ctrl_c_does()
    assert not was_interrupted()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    assert was_interrupted()
    end_as_ctrl_c_does()
    assert not was_interrupted()


def test_an_ignored_signal_stays_so(request: pytest.FixtureRequest) -> None:
    for other in SIGNALS:
        request.addfinalizer(partial(signal.signal, other, signal.getsignal(other)))
        signal.signal(other, signal.SIG_IGN)
    end_as_ctrl_c_does()
    assert [signal.getsignal(number) for number in SIGNALS] == [signal.SIG_IGN] * len(SIGNALS)
