"""The benchmark of a SLIMP step: every form of it can be built and run."""

import pytest
import torch

from slimp import BARE, FORMS, FULL, bare_step, build_part, row_of


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMS)
def test_every_form_takes_a_step_that_changes_weights(name, tmp_path):
    part = build_part("timm:test_vit?image_size=32", tmp_path, FORMS[name])
    before = [weight.detach().clone() for weight in part.learner.model.parameters()]
    bare_step(part.learner.model, part.batch)()
    after = list(part.learner.model.parameters())
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    part.step()
    part.read()
    assert not all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_a_row_is_about_the_bare_encoder():
    row = row_of(FULL, {BARE: 0.5, FULL: 1.0}, {BARE: 10.0, FULL: 15.0})
    assert (row["CPU ms"], row["throughput / bare"], row["memory / bare"]) == (1000.0, 0.5, 1.5)
