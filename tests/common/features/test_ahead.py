"""The next batch is made while one is computed with, in the same order."""

import threading
from collections.abc import Iterator

import pytest
import torch

from toolkit_common.features.ahead import ahead, gather


def test_items_keep_their_order() -> None:
    assert list(ahead(range(5))) == [0, 1, 2, 3, 4]
    assert list(ahead([])) == []


def test_the_next_one_is_made_meanwhile() -> None:
    made = [threading.Event() for _ in range(3)]

    def make() -> Iterator[int]:
        for number, event in enumerate(made):
            event.set()
            yield number

    items = ahead(make())
    assert next(items) == 0
    assert made[1].wait(5)
    assert not made[2].is_set()  # one ahead, as memory holds no more
    assert list(items) == [1, 2]


def test_what_making_one_raises_is_raised_in_its_turn() -> None:
    def make() -> Iterator[int]:
        yield 1
        raise ValueError("shard 2 is gone")

    items = ahead(make())
    assert next(items) == 1
    with pytest.raises(ValueError, match="shard 2 is gone"):
        next(items)


def test_rows_are_gathered_in_any_order_and_as_often_as_requested() -> None:
    tensor = torch.randn(4, 3)
    rows = torch.tensor([2, 0, 2])
    assert torch.equal(gather(tensor, rows), tensor[rows])
