"""One device does for the loop what accelerate does, and binds no other fit to itself."""

from accelerate.state import AcceleratorState
from torch import nn

from toolkit_common.training.distributed import build_accelerator
from toolkit_probing.training.compute import Compute, OneDevice


def test_both_give_what_the_loop_needs() -> None:
    assert isinstance(OneDevice("cpu"), Compute)
    assert isinstance(build_accelerator(device="cpu"), Compute)


def test_prepared_items_come_back_alone_or_together() -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    for compute in (OneDevice("cpu"), build_accelerator(device="cpu")):
        assert isinstance(compute.prepare(first), nn.Linear)
        *models, last = compute.prepare(first, second)
        assert len(models) == 1
        assert isinstance(last, nn.Linear)


def test_the_device_of_the_process_is_left_open() -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    OneDevice("cpu").prepare(nn.Linear(2, 2))
    assert AcceleratorState._shared_state == {}
