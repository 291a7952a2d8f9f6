"""The nested loss of a whole model: naive value, order, padding, encoders of every kind."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from helpers.slimp_problem import build_batch, build_model
from helpers.tiny_encoders import write_open_clip
from toolkit_slimp.model.losses import equal_pairs
from toolkit_slimp.model.terms import Members

EXACT = {"rtol": 1e-9, "atol": 1e-12}
SAME = {"patient_positives": "same_metadata"}


def features_of(model, batch):
    images = batch.images.double() / 255.0 - 0.5
    views = None if batch.views is None else batch.views.double() / 255.0 - 0.5
    return model.encode(images, batch.lesions, views)


def shuffled(batch, order):
    """The same lesions in another order, patients in another order too."""
    members, patients = batch.members, torch.arange(len(batch.members.patients)).flip(0)
    return replace(
        batch.take(order),
        members=Members(
            segments=(len(patients) - 1 - members.segments)[order],
            lesion_codes=members.lesion_codes[order],
            metadata_codes=members.metadata_codes[order],
            patients=members.patients.take(patients),
            patient_codes=members.patient_codes[patients],
        ),
    )


@pytest.mark.parametrize("phenotype", ["mean", "attention", "mean_max"])
@pytest.mark.parametrize("negatives", ["all", "other_lesions", "other_patients"])
def test_neither_the_order_of_lesions_nor_of_patients_matters(phenotype, negatives):
    options = {"lesion_negatives": negatives, **SAME, "image_weight": 0.5}
    model, batch = build_model(phenotype=phenotype, **options), build_batch(views=True)
    order = torch.randperm(len(batch.rows), generator=torch.Generator().manual_seed(1))
    expected = model.nested_loss(features_of(model, batch), batch.members)
    other = shuffled(batch, order)
    actual = model.nested_loss(features_of(model, other), other.members)
    for name in ("total", "lesion", "patient", "image"):
        torch.testing.assert_close(getattr(actual, name), getattr(expected, name), **EXACT)


def naive_loss(first, second, scale, ignored, positives):
    total, m = 0.0, len(first)
    for a, b in ((first, second), (second, first)):
        for i in range(m):
            kept = [j for j in range(m) if positives[i, j] or not ignored[i, j]]
            logits = {j: scale * float(a[i] @ b[j]) for j in kept}
            log_sum = math.log(sum(math.exp(value) for value in logits.values()))
            matches = [j for j in kept if positives[i, j]]
            total += sum(log_sum - logits[j] for j in matches) / len(matches) / m
    return 0.5 * total


@pytest.mark.slow
@few_examples
@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4), seed=st.integers(0, 99),
       weight=st.sampled_from([0.0, 0.3, 1.0]))  # fmt: skip
def test_the_nested_loss_equals_naive_loops(sizes, seed, weight):
    options = {"lesion_weight": weight, "lesion_negatives": "other_lesions", **SAME}
    model = MODELS.setdefault(weight, build_model(**options).requires_grad_(False))
    batch = build_batch(sizes=tuple(sizes), seed=seed)
    members, features = batch.members, features_of(model, batch)
    loss = model.nested_loss(features, members)

    def embed(head, rows):
        return [row / row.norm() for row in head(rows)]

    scale, eye = float(model.scales()[0]), torch.eye(len(batch.rows), dtype=torch.bool)
    lesion = naive_loss(
        embed(model.project_image, features.images),
        embed(model.project_lesion, features.lesions),
        scale, equal_pairs(members.lesion_codes), eye,
    )  # fmt: skip
    joined = torch.cat([features.images, features.lesions], dim=1)
    means = [joined[members.segments == number].mean(0) for number in range(len(sizes))]
    patients = model.patient_encoder(members.patients)
    nothing = torch.zeros(len(sizes), len(sizes), dtype=torch.bool)
    patient = naive_loss(
        embed(model.project_phenotype, torch.stack(means)),
        embed(model.project_patient, patients),
        scale, nothing, equal_pairs(members.patient_codes),
    )  # fmt: skip
    if weight == 0:
        assert loss.lesion is None
    else:
        assert float(loss.lesion) == pytest.approx(lesion, abs=1e-9)
    assert float(loss.total) == pytest.approx(weight * lesion + (1 - weight) * patient, abs=1e-9)


MODELS: dict[float, object] = {}


def test_without_patient_columns_the_patient_loss_is_off(monkeypatch):
    from helpers import slimp_problem

    monkeypatch.setattr(slimp_problem, "SCHEMA", slimp_problem.SCHEMA.at("lesion"))
    model, batch = build_model(), build_batch()
    loss = model.nested_loss(features_of(model, batch), batch.members)
    assert model.lesion_weight == 1.0
    assert loss.patient is None
    torch.testing.assert_close(loss.total, loss.lesion)


@pytest.mark.parametrize("how", ["weight", "columns"])
def test_the_patient_loss_alone_is_watched_by_the_head_that_it_trains(monkeypatch, how):
    from helpers import slimp_problem

    weight = 0.0 if how == "weight" else 0.5
    if how == "columns":
        monkeypatch.setattr(slimp_problem, "SCHEMA", slimp_problem.SCHEMA.at("patient"))
    model, batch = build_model(lesion_weight=weight), build_batch()
    loss = model.nested_loss(features_of(model, batch), batch.members)
    assert (loss.lesion, loss.lesion_pairs) == (None, None)
    torch.testing.assert_close(loss.total, loss.patient)
    assert (loss.embeddings, loss.partners) == loss.patient_pairs
    assert len(loss.embeddings) == len(batch.members.patients)
    loss.total.backward()
    assert model.project_image[0].weight.grad is None
    assert model.embed_images(features_of(model, batch).images) is None
    assert model.image_encoder.model.patch_embed.proj.weight.grad.abs().sum() > 0


def test_simclr_alone_reads_no_metadata():
    model, batch = build_model(nested_weight=0.0, image_weight=0.5), build_batch(views=True)
    features = features_of(model, batch)
    loss = model.nested_loss(features, batch.members)
    first, second = (
        [row / row.norm() for row in model.project_view(rows).detach()]
        for rows in (features.images, features.views)
    )
    both, m = first + second, len(first)
    expected = 0.0
    for i in range(2 * m):
        logits = {j: 10.0 * float(both[i] @ both[j]) for j in range(2 * m) if j != i}
        log_sum = math.log(sum(math.exp(value) for value in logits.values()))
        expected += (log_sum - logits[(i + m) % (2 * m)]) / (2 * m)
    assert loss.total.item() == pytest.approx(0.5 * expected, abs=1e-9)
    assert (loss.lesion, loss.patient, loss.lesion_pairs, loss.patient_pairs) == (None,) * 4
    torch.testing.assert_close(loss.embeddings, torch.stack(first))
    torch.testing.assert_close(loss.partners, torch.stack(second))
    loss.total.backward()
    for encoder in (model.lesion_encoder, model.patient_encoder, model.project_image):
        assert all(parameter.grad is None for parameter in encoder.parameters())


def test_the_nested_weight_scales_both_levels():
    batch = build_batch(views=True)
    totals = {}
    for weight in (1.0, 0.25):
        model = build_model(nested_weight=weight, image_weight=0.5)
        loss = model.nested_loss(features_of(model, batch), batch.members)
        totals[weight] = loss.total.item() - 0.5 * loss.image.item()
    assert totals[0.25] == pytest.approx(0.25 * totals[1.0], abs=1e-9)


@pytest.mark.parametrize("start", [5.0, 1e-9])
def test_learned_temperatures_stay_in_their_bounds_and_can_come_back(start):
    model = build_model(learn_temperature=True)
    with torch.no_grad():
        model.log_scales.fill_(-math.log(start))
    model.clamp_temperatures_()
    bound = 1.0 if start > 1 else 100.0
    assert model.scales().tolist() == pytest.approx([bound, bound])
    batch = build_batch()
    model.nested_loss(features_of(model, batch), batch.members).total.backward()
    assert model.log_scales.grad is not None
    assert (model.log_scales.grad != 0).all()


def test_fixed_temperatures_are_those_requested_and_have_no_gradient():
    model = build_model(temperature=4.0)
    model.clamp_temperatures_()
    assert model.scales().tolist() == pytest.approx([0.25, 0.25])
    assert not model.log_scales.requires_grad


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    ["timm:test_vit?image_size=32", "timm:test_convnext", "timm:test_resnet", "timm:test_vit3"],
)
def test_encoders_of_every_kind_are_trained(text):
    assert_trained(text)


@pytest.mark.parametrize("tower", ["vit", "resnet", "trunk"])
def test_open_clip_towers_are_trained(tower, tmp_path):
    assert_trained(write_open_clip(tmp_path / tower, tower))


def assert_trained(text):
    model = build_model(text).train()
    side = model.image_encoder.preprocess.image_size[0]
    batch = build_batch(sizes=(2, 1))
    images = torch.randn(3, 3, side, side, dtype=torch.float64)
    features = model.encode(images, batch.lesions)
    model.nested_loss(features, batch.members).total.backward()
    first = next(model.image_encoder.parameters())
    assert first.grad is not None
    assert first.grad.abs().sum() > 0
