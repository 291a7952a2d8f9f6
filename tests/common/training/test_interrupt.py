"""An interrupt becomes a flag between two steps, on all ranks alike."""

import signal
import threading

import pytest
from accelerate import Accelerator

from helpers.ranks import run_ranks
from toolkit_common.training.distributed import average_gradients_
from toolkit_common.training.interrupt import Interruption, delayed_interrupt
from toolkit_common.training.late import Agreement


def send(number: int) -> None:
    """As `kill` from outside does, but handled before this returns."""
    signal.raise_signal(number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_only_sets_the_flag(number: int) -> None:
    with delayed_interrupt() as interruption:
        assert not interruption.requested
        send(number)
        assert interruption.requested
        assert Agreement(interruption, 1).reached


def test_a_second_ctrl_c_interrupts_at_once() -> None:
    with delayed_interrupt():
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_the_handlers_are_put_back_even_after_an_error(
    request: pytest.FixtureRequest,
) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # Tests that a shell started in the background inherit an ignored SIGINT.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, inherited))
    before = [signal.getsignal(number) for number in numbers]
    with pytest.raises(RuntimeError, match="boom"), delayed_interrupt():
        raise RuntimeError("boom")
    assert [signal.getsignal(number) for number in numbers] == before
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)


def test_a_run_under_nohup_outlives_its_terminal(request: pytest.FixtureRequest) -> None:
    inherited = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    request.addfinalizer(lambda: signal.signal(signal.SIGHUP, inherited))
    with delayed_interrupt() as interruption:
        send(signal.SIGHUP)
        assert not interruption.requested
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_each_block_starts_without_a_request() -> None:
    with delayed_interrupt():
        send(signal.SIGINT)
    with delayed_interrupt() as interruption:
        assert not interruption.requested


def test_it_belongs_to_the_main_thread() -> None:
    errors: list[ValueError] = []

    def enter() -> None:
        try:
            with delayed_interrupt():
                pass
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert "main thread" in str(errors[0])


@pytest.mark.dist
def test_all_ranks_stop_when_one_is_interrupted() -> None:
    def interrupt_only_rank_1(accelerator: Accelerator) -> list[bool]:
        interruption = Interruption()
        agreement, reached = Agreement(interruption, accelerator.num_processes), []
        for step in range(4):
            interruption.requested = step >= 1 and accelerator.process_index == 1
            votes = agreement.vote("cpu")
            average_gradients_([], beside=(votes,))
            agreement.count_(votes)
            reached.append(agreement.reached)
        return reached

    # Requested before step 1, which sends it: read with step 2.
    assert run_ranks(interrupt_only_rank_1) == [[False, False, True, True]] * 2
