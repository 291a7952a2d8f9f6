"""In fp16 every head has a loss scale of its own, and is trained as if it were alone."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.half import Half, overflow_
from helpers.probe_problem import Interrupting, make_examples, settings, specs
from toolkit_common.runs.checkpoints import load_checkpoint
from toolkit_common.runs.folder import RunFolder
from toolkit_common.training.distributed import build_accelerator
from toolkit_common.training.optimizers import build_optimizer, parameter_groups
from toolkit_common.training.schedules import set_lr_
from toolkit_probing.heads.bank import HeadBank, features_to, sample_of
from toolkit_probing.heads.head import HeadSpec
from toolkit_probing.training.checkpoint import Record
from toolkit_probing.training.compute import Compute
from toolkit_probing.training.examples import Examples
from toolkit_probing.training.loop import train_bank
from toolkit_probing.training.loss_scales import INITIAL, LOWEST, LossScales
from toolkit_probing.training.plan import TrainingPlan

INTERVAL = 3  # short, so that scales grow on the way
FIRST, SECOND, LAST = HEADS = [specs()[0], specs()[3], specs()[5]]
SPOILED: Mapping[str, set[int]] = {SECOND.key: {0, 5, 6}, LAST.key: {2}}  # steps
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
COMPUTES = [
    pytest.param(Half, id="cpu"),
    pytest.param(
        lambda: build_accelerator(device="cuda", precision="fp16"),
        id="cuda",
        marks=[pytest.mark.gpu, CUDA],
    ),
]
everywhere = pytest.mark.parametrize("compute", COMPUTES)
State = dict[str, Tensor]


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # One precision a process, says accelerate: that of one test is not another's.
    AcceleratorState._reset_state(reset_partial_state=True)
    monkeypatch.setattr("toolkit_probing.training.loss_scales.GROWTH_INTERVAL", INTERVAL)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def train(
    heads: Sequence[HeadSpec],
    compute: Compute,
    *,
    examples: Examples | None = None,
    folder: Path | None = None,
    counts: Mapping[str, itertools.count] | None = None,
) -> dict[str, State]:
    """Train heads, of which some overflow in some steps, and return their last states."""
    examples = examples or make_examples()
    bank = HeadBank(heads, sample_of(examples.source), num_classes=3)
    counts = counts or {key: itertools.count() for key in SPOILED}
    for key in SPOILED.keys() & bank.specs.keys():
        overflow_(bank.heads[key], counts[key], SPOILED[key])
    record = None if folder is None else Record(RunFolder(folder))
    train_bank(bank, examples, settings(), compute=compute, record=record)
    return {key: head.cpu().state_dict() for key, head in bank.heads.items()}


def assert_equal(actual: State, expected: State) -> None:
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(actual[name], value), name


@pytest.mark.slow
@everywhere
def test_a_head_that_overflows_leaves_the_others_as_they_are_alone(compute) -> None:
    together = train(HEADS, compute())
    for spec in HEADS:
        assert_equal(together[spec.key], train([spec], compute())[spec.key])


@pytest.mark.slow
@everywhere
def test_every_head_is_what_a_scaler_and_an_optimizer_of_its_own_make_of_it(compute) -> None:
    where = compute()
    for spec in HEADS:
        actual = train([spec], where)[spec.key]
        assert_equal(actual, train_by_torch(spec, where))


def train_by_torch(spec: HeadSpec, compute: Compute) -> State:
    """The loop over one head as it is written for one model, with torch's own scaler."""
    examples = make_examples()
    plan = TrainingPlan(settings(), len(examples.train))
    bank = HeadBank([spec], sample_of(examples.source), num_classes=3).to(compute.device).train()
    head = bank.heads[spec.key]
    if spec.key in SPOILED:
        overflow_(head, itertools.count(), SPOILED[spec.key])
    optimizer = build_optimizer(
        "lars", parameter_groups(head.parameters(), lr=plan.lr(spec.base_lr))
    )
    scaler = torch.amp.GradScaler(compute.device.type, growth_interval=INTERVAL)
    steps = itertools.count()
    for epoch in range(plan.settings.epochs):
        for rows, features in examples.batches(plan, epoch=epoch, first=0, compute=compute):
            set_lr_(optimizer, plan.factor(next(steps)))
            optimizer.zero_grad()
            with compute.autocast():
                (logits,) = bank(features_to(features, compute.device)).values()
            targets = torch.from_numpy(examples.targets[rows]).to(compute.device)
            scaler.scale(F.cross_entropy(logits.float(), targets)).backward()
            scaler.step(optimizer)
            scaler.update()
    return head.cpu().state_dict()


@pytest.mark.slow
@everywhere
@pytest.mark.parametrize("batch", [1, 4, 6])
def test_an_interrupted_run_resumes_with_its_scales_to_the_same_bits(compute, tmp_path, batch):
    whole, cut = (tmp_path / name for name in ("whole", "cut"))
    for folder in (whole, cut):
        folder.mkdir()
    expected = train(HEADS, compute(), folder=whole)
    given, counts = make_examples(), {key: itertools.count() for key in SPOILED}
    examples = replace(given, source=Interrupting(given.source, itertools.count(), at=batch))
    with pytest.raises(KeyboardInterrupt):
        train(HEADS, compute(), examples=examples, folder=cut, counts=counts)
    actual = train(HEADS, compute(), folder=cut, counts=counts)
    for key, state in expected.items():
        assert_equal(actual[key], state)
    scales, resumed = (
        load_checkpoint(folder / "checkpoints/heads")[1]["loss_scales"] for folder in (whole, cut)
    )
    assert resumed == scales
    assert len(set(scales["scales"].values())) > 1


def test_scales_and_steps_follow_torchs_scaler_to_the_bit() -> None:
    draws = torch.Generator().manual_seed(0)
    ours, theirs = (nn.Parameter(torch.ones(4)) for _ in range(2))
    scales = LossScales(["head"], enabled=True)
    scaler = torch.amp.GradScaler("cpu", growth_interval=INTERVAL)
    optimizers = [torch.optim.SGD([item], lr=0.1, momentum=0.9) for item in (ours, theirs)]
    for step in range(30):
        factors = torch.randn(4, generator=draws)
        if step in (0, 4, 5, 17):
            factors[step % 4] = torch.nan if step == 4 else torch.inf
        for optimizer in optimizers:
            optimizer.zero_grad()
        scales.scale("head", (ours * factors).sum()).backward()
        scaler.scale((theirs * factors).sum()).backward()
        scales.unscale_({"head": [ours]})
        optimizers[0].step()
        scaler.step(optimizers[1])
        scaler.update()
        assert torch.equal(ours, theirs), step
        assert scales.state()["scales"]["head"] == scaler.get_scale()
    assert scaler.get_scale() != INITIAL


def test_a_scale_never_becomes_zero() -> None:
    scales, parameter = LossScales(["head"], enabled=True), nn.Parameter(torch.ones(1))
    for _ in range(300):
        parameter.grad = torch.full((1,), torch.inf)
        scales.unscale_({"head": [parameter]})
    assert scales.state()["scales"]["head"] == LOWEST
    loss = scales.scale("head", parameter.sum())
    loss.backward()
    scales.unscale_({"head": [parameter]})
    assert parameter.grad == 1.0


def test_where_losses_are_not_scaled_nothing_is_looked_at() -> None:
    scales, parameter = LossScales(["head"], enabled=False), nn.Parameter(torch.ones(1))
    assert scales.scale("head", parameter) is parameter
    parameter.grad = torch.full((1,), torch.inf)
    scales.unscale_({"head": [parameter]})
    assert parameter.grad.isinf()
