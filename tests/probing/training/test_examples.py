"""Batches come in an order of their own each epoch, shared by the processes."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from helpers.probe_problem import make_examples, settings
from toolkit_probing.training.compute import OneDevice
from toolkit_probing.training.examples import epoch_order
from toolkit_probing.training.plan import TrainingPlan


class Rank(OneDevice):
    """One of several processes."""

    def __init__(self, index: int, count: int) -> None:
        super().__init__("cpu")
        self.process_index, self.num_processes = index, count


@dataclass
class Crops:
    """Remembers for which epoch features were read, and where."""

    source: object
    read: list

    def iterate(self, batches, *, epoch, patches=True):
        self.read += [(epoch, batch.tolist()) for batch in batches]
        return self.source.iterate(batches, patches=patches)


def positions(rank=0, count=1, *, first=0, epoch=0, examples=None):
    plan = TrainingPlan(settings(), num_train=30, num_processes=count)
    read = (examples or make_examples()).batches(
        plan, epoch=epoch, first=first, compute=Rank(rank, count)
    )
    return [at.tolist() for at, _ in read]


def test_every_epoch_has_its_own_order_of_the_same_rows():
    rows = np.arange(50, 80)
    first, second = epoch_order(rows, 0, 0), epoch_order(rows, 0, 1)
    assert sorted(first) == sorted(second) == list(rows)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, epoch_order(rows, 0, 0))


@pytest.mark.parametrize("count", [2, 3])
def test_processes_share_every_batch_of_one_process(count):
    shares = [positions(rank, count) for rank in range(count)]
    for whole, *parts in zip(positions(), *shares, strict=True):
        assert [parts[at % count][at // count] for at in range(len(whole))] == whole


def test_an_epoch_is_taken_up_where_it_was_left():
    assert positions(first=2) == positions()[2:]
    assert len(positions()) == 30 // 8


def test_crops_are_read_in_the_place_of_features_for_their_epoch():
    given = make_examples()
    crops = Crops(given.source, [])
    at = positions(epoch=2, examples=replace(given, crops=crops))
    assert crops.read == [(2, batch) for batch in at]
