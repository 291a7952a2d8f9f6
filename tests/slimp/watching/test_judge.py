"""The judge of held-out labels: EP's own formula, the same every time, no label where none is."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from helpers.slimp_problem import build_model
from helpers.small_data import build_data
from toolkit_common.errors import InputError
from toolkit_probing.probes.ep import EfficientProbing
from toolkit_slimp.watching import judge
from toolkit_slimp.watching.judge import OUT_DIM, QUERIES, SmallEP, build_judge, fit_ep


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_small_ep_pools_as_the_probe_does():
    small = SmallEP(2 * OUT_DIM, num_classes=2, draws=torch.Generator().manual_seed(0)).double()
    probe = EfficientProbing(2 * OUT_DIM, num_queries=QUERIES, width_divisor=2).double()
    with torch.no_grad():
        small.queries.copy_(draw(QUERIES, 2 * OUT_DIM, seed=1))
        probe.queries.copy_(small.queries)
        probe.value.weight.copy_(small.value.flatten(0, 1))
    tokens = draw(3, 5, 2 * OUT_DIM)
    torch.testing.assert_close(small.pool(tokens), probe(tokens), rtol=1e-10, atol=1e-12)


def problem(seed):
    """One token of six tells the class, by its direction."""
    targets = torch.arange(40) % 2
    tokens = 0.3 * draw(40, 6, 16, seed=seed)
    tokens[torch.arange(40), torch.arange(40) % 6] += 3.0 * draw(2, 16, seed=9)[targets]
    return tokens, targets


def test_it_learns_two_classes_the_same_way_every_time_and_draws_nothing():
    tokens, targets = problem(0)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first, again, other = (fit_ep(tokens, targets, num_classes=2, seed=s) for s in (0, 0, 1))
    assert torch.equal(torch.rand(2), expected)
    new_tokens, new_targets = problem(1)
    with torch.no_grad():
        answers = [probe(new_tokens) for probe in (first, again, other)]
    assert torch.equal(answers[0], answers[1])
    assert not torch.equal(answers[0], answers[2])
    assert F.cross_entropy(answers[0], new_targets) < 0.3


def build(labels, label=None):
    data = build_data(labels, groups=[f"p{row // 2}" for row in range(len(labels))])
    rows = np.arange(len(labels))
    cpu = torch.device("cpu")
    return build_judge(data, label, train=rows[::2], val=rows[1::2], seed=0, device=cpu)


def test_rows_without_a_label_are_neither_examples_nor_questions(monkeypatch):
    labels = ["a", "b", None, None, "b", "a", "a", "b", "b", "b"]
    found = build(labels)
    assert found.examples.tolist() == [0, 4, 6, 8]
    assert found.questions.tolist() == [1, 5, 7, 9]
    monkeypatch.setattr(judge, "QUESTIONS", 2)
    few = build(labels).questions.tolist()
    assert len(few) == 2
    assert few == build(labels).questions.tolist()


def test_a_label_that_cannot_be_asked_for_is_left_out_or_refused_if_it_was_named():
    assert build(["a", "a", "a", "a"]) is None
    assert build(["a", "b", "a", "b"]) is None
    with pytest.raises(InputError, match=r"label 'label' of 'small' cannot be watched.* have 1 of"):
        build(["a", "b", "a", "b"], "label")


@pytest.mark.parametrize("text", ["timm:test_vit?image_size=32", "timm:test_resnet"])
def test_the_judge_reads_the_vector_that_is_trained(text):
    model = build_model(text).eval()
    images = draw(2, 3, *model.image_encoder.preprocess.image_size)
    with torch.no_grad():
        tokens, vectors = model.tokens(images), model.encode_images(images)
    read = tokens[:, 0] if model.reads_class_token else tokens.mean(dim=1)
    torch.testing.assert_close(read, vectors)
