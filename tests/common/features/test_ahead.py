"""The next batches are made while one is computed with, in the same order."""

import threading

import pytest
import torch

from toolkit_common.features.ahead import ahead, gather


@pytest.mark.parametrize("readers", [1, 2, 7])
def test_what_is_made_keeps_the_order_of_requests(readers: int) -> None:
    assert list(ahead(str, range(5), readers=readers)) == list("01234")
    assert list(ahead(str, [], readers=readers)) == []


@pytest.mark.parametrize("readers", [1, 2])
def test_the_next_are_made_meanwhile(readers: int) -> None:
    made = [threading.Event() for _ in range(5)]

    def make(number: int) -> int:
        made[number].set()
        return number

    items = ahead(make, range(5), readers=readers)
    assert next(items) == 0
    assert all(event.wait(5) for event in made[: readers + 1])
    assert not any(event.is_set() for event in made[readers + 1 :])  # no more than memory holds
    assert list(items) == [1, 2, 3, 4]


def test_what_making_one_raises_is_raised_in_its_turn() -> None:
    def make(number: int) -> int:
        if number == 2:
            raise ValueError("shard 2 is gone")
        return number

    items = ahead(make, [1, 2, 3], readers=2)
    assert next(items) == 1
    with pytest.raises(ValueError, match="shard 2 is gone"):
        next(items)


def test_who_stops_reading_leaves_no_thread() -> None:
    before = threading.active_count()
    items = ahead(str, range(100), readers=3)
    next(items)
    items.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_rows_are_gathered_in_any_order_and_as_often_as_requested() -> None:
    tensor = torch.randn(4, 3)
    rows = torch.tensor([2, 0, 2])
    assert torch.equal(gather(tensor, rows), tensor[rows])
