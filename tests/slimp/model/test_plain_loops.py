"""Every term of the loss against plain float64 loops: value, gradient, chance level."""

import math

import pytest
import torch

from helpers.slimp_problem import build_batch, build_model

EXACT = {"rtol": 1e-9, "atol": 1e-12}
SIZES = (3, 1, 4, 2)
IGNORED = {  # of lesions i and j of patients p and q, numbered k and n: are they no negatives?
    "all": lambda p, q, k, n: False,
    "other_lesions": lambda p, q, k, n: k == n,
    "other_patients": lambda p, q, k, n: p == q,
    "same_patient": lambda p, q, k, n: p != q or k == n,
}


def features_of(model, batch):
    images = batch.images.double() / 255.0 - 0.5
    views = None if batch.views is None else batch.views.double() / 255.0 - 0.5
    return model.encode(images, batch.lesions, views)


def cosine(a, b):
    return (a * b).sum() / (a.square().sum() * b.square().sum()).sqrt()


def share(logits, matches):
    """Mean over the matches of -log of their share of the whole."""
    whole = torch.stack(list(logits.values())).exp().sum().log()
    return sum(whole - logits[j] for j in matches) / len(matches)


def info_nce(first, second, scale, *, ignored, same):
    """Both ways, pair by pair."""
    m, total = len(first), 0.0
    for a, b in ((first, second), (second, first)):
        for i in range(m):
            kept = [j for j in range(m) if same(i, j) or not ignored(i, j)]
            logits = {j: scale * cosine(a[i], b[j]) for j in kept}
            total = total + share(logits, [j for j in kept if same(i, j)]) / m
    return 0.5 * total


def nt_xent(first, second, *, ignored):
    """Each view looks for its other view among all others, at a temperature of 0.1."""
    both, m, total = [*first, *second], len(first), 0.0
    for i in range(2 * m):
        match = (i + m) % (2 * m)
        others = [j for j in range(2 * m) if j != i and (j == match or not ignored(i % m, j % m))]
        total = total + share({j: 10.0 * cosine(both[i], both[j]) for j in others}, [match])
    return total / (2 * m)


def reference(model, batch, negatives, positives):
    """The three terms of a batch by loops."""
    features, members = features_of(model, batch), batch.members
    people, lesions = members.segments.tolist(), members.lesion_codes.tolist()

    def ignored(i, j):
        return IGNORED[negatives](people[i], people[j], lesions[i], lesions[j])

    def same(codes):
        return lambda i, j: i == j or (positives == "same_metadata" and bool(codes[i] == codes[j]))

    lesion_scale, patient_scale = model.scales()
    joined = torch.cat([features.images, features.lesions], dim=1)
    means = [joined[members.segments == number].mean(0) for number in range(len(SIZES))]
    return {
        "lesion": info_nce(
            model.project_image(features.images), model.project_lesion(features.lesions),
            lesion_scale, ignored=ignored, same=same(members.metadata_codes),
        ),
        "patient": info_nce(
            model.project_phenotype(torch.stack(means)),
            model.project_patient(model.patient_encoder(members.patients)),
            patient_scale, ignored=lambda i, j: False, same=same(members.patient_codes),
        ),
        "image": nt_xent(
            model.project_view(features.images), model.project_view(features.views),
            ignored=ignored,
        ),
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("negatives", IGNORED)
@pytest.mark.parametrize("positives", ["diagonal", "same_metadata"])
def test_every_term_has_the_value_and_the_gradient_of_plain_loops(negatives, positives):
    """Whatever counts as match and as negative; the gradient is that of every weight."""
    options = {"lesion_negatives": negatives, "lesion_positives": positives,
               "patient_positives": positives, "image_weight": 0.5}  # fmt: skip
    model, batch = build_model(**options), build_batch(sizes=SIZES, views=True)
    weights = [item for item in model.parameters() if item.requires_grad]
    terms = reference(model, batch, negatives, positives)
    loss = model.nested_loss(features_of(model, batch), batch.members)
    for name, expected in terms.items():
        actual = getattr(loss, name)
        torch.testing.assert_close(actual, expected, **EXACT)
        gradients = [
            torch.autograd.grad(term, weights, allow_unused=True, retain_graph=True)
            for term in (actual, expected)
        ]
        assert sum(item is not None for item in gradients[1]) > 10
        for one, other in zip(*gradients, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                torch.testing.assert_close(one, other, **EXACT)
    total = 0.5 * (terms["lesion"] + terms["patient"] + terms["image"])
    torch.testing.assert_close(loss.total, total, **EXACT)


def test_a_patients_only_lesion_has_nothing_to_be_told_apart_from():
    model, batch = build_model(lesion_negatives="same_patient"), build_batch(sizes=(1, 1, 1))
    loss = model.nested_loss(features_of(model, batch), batch.members)
    assert (loss.lesion.item(), loss.chance["lesion"].item()) == (0.0, 0.0)
    assert loss.patient.item() > 0


@pytest.mark.parametrize("negatives", IGNORED)
def test_chance_is_a_guess_among_what_a_row_is_compared_with(negatives):
    model = build_model(
        lesion_negatives=negatives, lesion_positives="same_metadata", image_weight=0.5
    )
    batch = build_batch(sizes=SIZES, views=True)
    chance = model.nested_loss(features_of(model, batch), batch.members).chance
    people, lesions, looks = (
        codes.tolist()
        for codes in (
            batch.members.segments, batch.members.lesion_codes, batch.members.metadata_codes
        )
    )  # fmt: skip
    m = sum(SIZES)
    expected = {"lesion": 0.0, "image": 0.0, "patient": math.log(len(SIZES))}
    for i in range(m):
        told = [
            not IGNORED[negatives](people[i], people[j], lesions[i], lesions[j]) for j in range(m)
        ]
        expected["lesion"] += math.log(sum(looks[i] == looks[j] or told[j] for j in range(m))) / m
        expected["image"] += math.log(1 + 2 * sum(told[j] for j in range(m) if j != i)) / m
    expected["total"] = 0.5 * sum(expected.values())
    actual = {name: term.item() for name, term in chance.items()}
    assert actual == pytest.approx(expected, abs=1e-9)


def test_no_loss_of_embeddings_that_are_all_alike_differs_from_chance():
    """With equal features for all the lesion loss is its chance level, to the last digits."""
    model, batch = build_model(lesion_negatives="other_patients"), build_batch(sizes=SIZES)
    features = features_of(model, batch)
    same = type(features)(
        features.images[:1].expand_as(features.images),
        features.lesions[:1].expand_as(features.lesions),
    )
    loss = model.nested_loss(same, batch.members)
    assert loss.lesion.item() == pytest.approx(loss.chance["lesion"].item(), abs=1e-9)
