"""What travels from the device is read a step later, and what it says is known to all alike."""

import torch

from helpers.devices import DEVICE, on_gpu
from toolkit_common.training.interrupt import Interruption
from toolkit_common.training.late import Agreement, Late, OnItsWay


def test_numbers_come_a_step_later_and_each_once() -> None:
    late = Late()
    assert late.swap(torch.tensor([1.0, 2.0])) is None
    assert late.swap(torch.tensor([3.0])) == [1.0, 2.0]
    assert late.read() == [3.0]
    assert late.read() is None


def test_a_tensor_with_a_gradient_travels_without_it() -> None:
    sent = OnItsWay(torch.ones(2, requires_grad=True) * 3)
    assert not sent.read().requires_grad
    assert sent.read().tolist() == [3.0, 3.0]


@on_gpu
def test_numbers_arrive_from_a_gpu() -> None:
    late, values = Late(), [torch.full((2,), float(step), device=DEVICE) for step in range(3)]
    assert [late.swap(value) for value in values] == [None, [0.0, 0.0], [1.0, 1.0]]
    assert late.read() == [2.0, 2.0]


def test_a_process_alone_knows_at_once() -> None:
    interruption = Interruption()
    agreement = Agreement(interruption, 1)
    assert not agreement.reached
    interruption.requested = True
    assert agreement.reached


def test_one_vote_of_several_is_enough_and_stays() -> None:
    agreement = Agreement(Interruption(), 4)
    for votes, reached in ((0.0, False), (0.25, False), (0.0, True), (0.0, True)):
        agreement.count_(torch.tensor([votes]))
        assert agreement.reached == reached
