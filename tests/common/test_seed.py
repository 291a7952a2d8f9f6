"""One seed, a stream of its own for each purpose."""

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread, Timer

import numpy as np
import pytest
import torch

from toolkit_common.seed import derive_seed, generator, seed_everything, seeded, untouched_streams


def test_a_derived_seed_is_the_same_on_every_machine_and_version() -> None:
    # Pinned: resumed runs and published splits rest on these numbers.
    assert derive_seed(0, "split") == 3769940940748469125
    assert derive_seed(0, "epoch", 3) == 251044065527859115
    assert derive_seed(7) == 4359823973405836615


@pytest.mark.parametrize(
    "other", [(1, "epoch", 3), (0, "split", 3), (0, "epoch", 4), (0, "epoch"), (0, 3, "epoch")]
)
def test_seed_and_every_part_of_the_purpose_matter(other: tuple[int, str | int]) -> None:
    assert derive_seed(*other) != derive_seed(0, "epoch", 3)


def test_derived_seeds_fit_every_library() -> None:
    seeds = [derive_seed(seed, "any") for seed in range(1000)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert len(set(seeds)) == 1000
    assert max(seeds) > 2**62


def test_a_generator_is_fresh_and_leaves_the_global_stream_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first = torch.rand(3, generator=generator(5, "order"))
    second = torch.rand(3, generator=generator(5, "order"))
    assert torch.equal(first, second)
    assert torch.equal(torch.rand(3), expected)


def draw() -> list[float]:
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]  # noqa: NPY002


def test_seed_everything_sets_python_numpy_and_torch() -> None:
    seed_everything(3, "model")
    first = draw()
    draw()
    seed_everything(3, "model")
    assert draw() == first
    seed_everything(4, "model")
    assert all(new != old for new, old in zip(draw(), first, strict=True))


def test_untouched_streams_go_on_as_if_nothing_had_been_drawn() -> None:
    seed_everything(3, "model")
    expected = draw()
    seed_everything(3, "model")
    with untouched_streams():
        seed_everything(4, "model")
        draw()
    assert draw() == expected


def test_threads_draw_by_their_own_seeds_one_after_the_other() -> None:
    def draws(seed: int) -> list[float]:
        with seeded(seed, "head"):
            return [(time.sleep(0.001), float(torch.rand(())))[1] for _ in range(5)]

    expected = [draws(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(draws, range(8))) == expected


def test_torchs_stream_goes_on_as_if_nothing_had_been_drawn_by_a_seed() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with seeded(4, "head"):
        torch.rand(1)
    assert torch.equal(torch.rand(2), expected)


def test_a_process_forked_while_a_thread_draws_can_draw_too() -> None:
    began, end = Event(), Event()

    def hold() -> None:
        with seeded(0, "head"):
            began.set()
            end.wait(30)

    thread = Thread(target=hold)
    thread.start()
    began.wait(30)
    Timer(0.2, end.set).start()
    child = os.fork()  # waits for the thread
    if child == 0:
        with seeded(1, "head"):
            os._exit(0)
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
