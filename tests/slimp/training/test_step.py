"""A batch in pieces, or on two processes, has the loss and the gradient of the whole."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch import nn

from helpers.devices import DEVICE, on_gpu
from helpers.ranks import run_ranks
from helpers.slimp_problem import SCHEMA, Float64Preprocess, build_batch, build_model
from helpers.waiting import counting
from toolkit_common.training.distributed import (
    average_gradients_,
    build_accelerator,
    own_accelerator,
)
from toolkit_slimp.metadata.table import EncodedTable
from toolkit_slimp.training.step import Learner, Stepper

EXACT = {"rtol": 1e-9, "atol": 1e-12}


def run(model, batch, accelerator=None, *, step: int = 0):
    """The loss and the gradient of every parameter that has one."""
    accelerator = accelerator or build_accelerator(device="cpu")
    model.image_encoder.preprocess = Float64Preprocess()
    loss = Stepper(model, accelerator).backward(batch, step)
    average_gradients_(model.parameters())
    return loss, {
        name: parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def assert_equal_gradients(actual, expected):
    assert actual.keys() == expected.keys()
    assert sum(float(gradient.abs().sum()) for gradient in expected.values()) > 0
    for name, gradient in expected.items():
        torch.testing.assert_close(actual[name], gradient, msg=name, **EXACT)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 3, 5, 9])
@pytest.mark.parametrize("weights", [(0.5, 0.0), (1.0, 0.0), (0.0, 0.0), (0.3, 0.5)])
def test_pieces_have_the_gradient_of_the_whole_batch(size, weights):
    lesion_weight, image_weight = weights
    options = {"lesion_weight": lesion_weight, "image_weight": image_weight}
    batch = build_batch(views=image_weight > 0)
    expected, gradients = run(build_model(**options), batch)
    actual, others = run(build_model(**options, lesions_per_pass=size), batch)
    torch.testing.assert_close(actual.total, expected.total, **EXACT)
    assert_equal_gradients(others, gradients)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["timm:test_convnext?image_size=32", "timm:test_vit4?image_size=32"]
)
def test_pieces_are_exact_for_other_encoders_without_batch_statistics(text):
    batch = build_batch(sizes=(2, 1))
    _, expected = run(build_model(text), batch)
    assert_equal_gradients(run(build_model(text, lesions_per_pass=2), batch)[1], expected)


@pytest.mark.parametrize("options", [
    {}, {"ema": 0.9}, {"phenotype": "attention"}, {"phenotype": "mean_max"},
    {"image_weight": 0.5}, {"lesions_per_pass": 4},
    {"lesion_negatives": "same_patient", "lesion_positives": "same_metadata"},
], ids=str)  # fmt: skip
def test_a_step_waits_for_nothing_on_the_device(options, tmp_path):
    batch, model = build_batch(views="image_weight" in options), build_model(**options).float()
    stepper = Stepper(model, build_accelerator(device="cpu"))
    table = EncodedTable(
        SCHEMA, batch.lesions, batch.members.patients, *3 * [batch.rows], pd.Series(["x"])
    )
    learner = Learner(stepper, table, tmp_path, total_steps=10)
    for step in range(2):
        with counting() as (waits, _):
            learner.step_(batch, step)
    assert waits == {"tolist": 1}  # of two numbers of the step before, which have arrived


def weights_after(steps, folder, *, device, precision="fp32", **options):
    """The weights after some steps on a device, as one row."""
    batch, model = build_batch(), build_model(**options).float()
    table = EncodedTable(
        SCHEMA, batch.lesions, batch.members.patients, *3 * [batch.rows], pd.Series(["x"])
    )
    with own_accelerator(device=device, precision=precision) as accelerator:
        learner = Learner(Stepper(model, accelerator), table, folder, total_steps=10)
        for step in range(1, 1 + steps):  # at 0 the rate of warm-up is 0
            learner.step_(batch.to(accelerator.device), step)
        learner.check()
    return torch.cat([weight.detach().cpu().flatten() for weight in learner.watched.parameters()])


@on_gpu
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 0.02), ("bf16", 0.5)])
def test_pre_training_on_a_gpu_is_that_of_the_cpu(precision, tolerance, tmp_path):
    start, expected = (weights_after(n, tmp_path, device="cpu", ema=0.5) for n in (0, 3))
    actual = weights_after(3, tmp_path, device=DEVICE, precision=precision, ema=0.5)
    # Of what training changes.
    assert (actual - expected).norm() <= tolerance * (expected - start).norm()
    assert (expected - start).norm() > 0


@pytest.mark.slow
def test_a_piece_sees_the_same_dropout_both_times():
    """Without a graph first, with one later: as if the pieces had been encoded once, with it."""
    batch, size = build_batch(), 4

    def build():
        model = build_model(seed=3, lesions_per_pass=size)
        transformer = model.lesion_encoder.transformer
        transformer.norm = nn.Sequential(transformer.norm, nn.Dropout(0.5))
        return model

    _, actual = run(build(), batch, step=7)
    model = build()
    model.image_encoder.preprocess = Float64Preprocess()
    stepper = Stepper(model, build_accelerator(device="cpu"))
    starts = range(0, len(batch.rows), size)
    pieces = [batch.take(slice(start, start + size)) for start in starts]
    encoded = [stepper._encode(piece, 7, number) for number, piece in enumerate(pieces)]
    joined = [torch.cat(part) for part in zip(*(item.parts() for item in encoded), strict=True)]
    stepper._loss(type(encoded[0])(*joined), batch, 7).total.backward()
    expected = {name: item.grad for name, item in model.named_parameters() if item.grad is not None}
    assert_equal_gradients(actual, expected)
    other = run(build(), batch, step=8)[1]
    assert any(not torch.equal(other[name], expected[name]) for name in expected)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["timm:test_resnet", "timm:test_efficientnet"])
def test_frozen_statistics_stay_and_pieces_are_exact(text):
    """A batch norm that reads no batch is exact in pieces; its scale and shift are trained."""
    batch, options = build_batch(), {"batch_norm": "frozen"}
    _, expected = run(build_model(text, **options), batch)
    model = build_model(text, **options, lesions_per_pass=4)
    before = {name: item.clone() for name, item in model.named_buffers()}
    _, actual = run(model, batch)
    assert_equal_gradients(actual, expected)
    assert any("bn" in name for name in actual)
    for name, item in model.named_buffers():
        assert torch.equal(item, before[name]), name


def test_statistics_of_the_batch_move_where_they_are_not_frozen():
    model = build_model("timm:test_resnet")
    before = {name: item.clone() for name, item in model.named_buffers()}
    run(model, build_batch())
    assert any(not torch.equal(item, before[name]) for name, item in model.named_buffers())


@pytest.mark.slow
def test_pieces_work_under_mixed_precision():
    """Autocast must not hand weights that were cast without a graph to the pass with one."""
    accelerator = build_accelerator(device="cpu", precision="bf16")

    def gradients(size):
        model, batch = build_model(lesions_per_pass=size).float(), build_batch()
        stepper = Stepper(model, accelerator)
        assert stepper.backward(batch, 0).total.dtype == torch.float32
        return {name: item.grad for name, item in model.named_parameters() if item.grad is not None}

    expected, actual = gradients(None), gradients(4)
    assert actual.keys() == expected.keys()
    for name, gradient in expected.items():
        error = (actual[name] - gradient).norm()
        assert error <= 0.1 * gradient.norm() + 1e-3, name


@pytest.mark.dist
@pytest.mark.parametrize("size", [None, 2])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lesion_negatives": "other_patients", "patient_positives": "same_metadata",
         "image_weight": 0.5},
        {"lesion_negatives": "same_patient", "lesion_positives": "same_metadata"},
    ],
)  # fmt: skip
def test_two_processes_have_the_loss_and_gradient_of_one(options, size):
    sizes = (3, 1, 4, 3)  # 11 lesions: the second part is filled up
    batch = build_batch(sizes=sizes, views="image_weight" in options)
    build = {**options, "phenotype": "attention"}

    def work(accelerator):
        own = torch.tensor([[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 10]])[accelerator.process_index]
        views = None if batch.views is None else batch.views[own]
        part = replace(
            batch,
            rows=own, images=batch.images[own], views=views, lesions=batch.lesions.take(own),
        )  # fmt: skip
        loss, actual = run(build_model(**build, lesions_per_pass=size), part, accelerator)
        return loss.total.detach(), actual

    several = run_ranks(work)  # first: forks inherit accelerate's state
    expected, gradients = run(build_model(**build), batch)
    for total, actual in several:
        torch.testing.assert_close(total, expected.total.detach(), **EXACT)
        assert_equal_gradients(actual, gradients)


@pytest.mark.slow
def test_a_patient_of_one_lesion_and_one_of_many_fit_in_bounded_memory():
    """What is kept for the backward pass is that of one piece, however many lesions there are."""
    from torch.autograd.graph import saved_tensors_hooks

    def kept(sizes, lesions_per_pass):
        peak, alive = 0, 0

        def pack(tensor):
            nonlocal peak, alive
            alive += tensor.numel()
            peak = max(peak, alive)
            return tensor

        def unpack(tensor):
            nonlocal alive
            alive -= tensor.numel()
            return tensor

        with saved_tensors_hooks(pack, unpack):
            run(build_model(lesions_per_pass=lesions_per_pass), build_batch(sizes=sizes))
        return peak

    few, many = kept((1, 7), 8), kept((1, 95), 8)
    assert many < 3 * few
    assert kept((1, 95), None) > 6 * few
