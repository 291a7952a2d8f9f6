"""What travels from the device is read a step later, and what it says is known to all alike."""

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from helpers.devices import DEVICE, on_gpu
from helpers.waiting import pinning
from toolkit_common.training.interrupt import Interruption
from toolkit_common.training.late import Agreement, Late, OnItsWay, send


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


def test_what_goes_to_a_gpu_is_pinned_before_and_once() -> None:
    given = torch.ones(3)
    with pinning() as pinned, FakeTensorMode(allow_non_fake_inputs=True):
        there = send(given, "cuda:1")
        assert there.device == torch.device("cuda:1")
        assert send(there, "cuda:1") is there
        assert send(there, "cpu").device.type == "cpu"
    assert len(pinned) == 1
    assert send(given, "cpu") is given


def test_numbers_are_waited_for_on_the_device_that_they_come_from(monkeypatch) -> None:
    recorded = []

    class Event:
        def record(self, stream: torch.device) -> None:
            recorded.append(stream)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", torch.device)
    with FakeTensorMode():
        OnItsWay(torch.empty(2, device="cuda:1"))
    assert recorded == [torch.device("cuda:1")]


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
