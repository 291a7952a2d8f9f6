"""A head in a bank learns exactly what it learns alone (docs/traps.md 13)."""

import pytest
import torch

from helpers.probe_problem import make_problem, specs, train_heads
from toolkit_probing.heads.bank import HeadBank, sample_of


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["lars", "sgd", "adamw"])
def test_six_heads_together_equal_six_alone_to_the_bit(tmp_path, optimizer):
    bank, _ = train_heads(tmp_path / "bank", specs(), optimizer=optimizer)
    for number, spec in enumerate(specs()):
        single, _ = train_heads(tmp_path / str(number), [spec], optimizer=optimizer)
        alone = single.heads[spec.key].state_dict()
        together = bank.heads[spec.key].state_dict()
        assert all(torch.equal(alone[name], together[name]) for name in alone), spec.key


def test_two_heads_of_one_spec_are_a_mistake_of_ours():
    store, _ = make_problem()
    sample = sample_of(store)
    with pytest.raises(AssertionError, match="two heads"):
        HeadBank([specs()[0]] * 2, sample, num_classes=3)
