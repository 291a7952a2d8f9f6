"""A head in a bank learns exactly what it learns alone (docs/traps.md 13)."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from helpers.probe_problem import FITTED, fitted_specs, make_problem, specs, train_heads
from helpers.waiting import pinning
from toolkit_probing.heads.bank import HeadBank, features_to, sample_of


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["lars", "sgd", "adamw"])
def test_six_heads_together_equal_six_alone_to_the_bit(tmp_path, optimizer):
    bank, _ = train_heads(tmp_path / "bank", specs(), optimizer=optimizer)
    for number, spec in enumerate(specs()):
        single, _ = train_heads(tmp_path / str(number), [spec], optimizer=optimizer)
        alone = single.heads[spec.key].state_dict()
        together = bank.heads[spec.key].state_dict()
        assert all(torch.equal(alone[name], together[name]) for name in alone), spec.key


@pytest.mark.slow
def test_fitted_heads_together_equal_those_alone_to_the_bit(tmp_path):
    # Patience that ends some before others.
    changes = {**FITTED, "epochs": 5, "patience": 1}
    bank, best = train_heads(tmp_path / "bank", fitted_specs(), d=16, **changes)
    assert len({item.epoch for item in best.values()}) > 1
    for number, spec in enumerate(fitted_specs()):
        single, (alone,) = _alone(tmp_path / str(number), spec, changes)
        together = best[spec.key]
        assert (alone.value, alone.epoch, alone.c) == (together.value, together.epoch, together.c)
        assert alone.shown == together.shown
        held, other = (item.heads[spec.key].state_dict() for item in (single, bank))
        for name, value in held.items():
            assert torch.equal(value, other[name]), (spec.key, name)
            assert torch.equal(alone.state[name], together.state[name]), (spec.key, name)


def _alone(folder, spec, changes):
    bank, best = train_heads(folder, [spec], d=16, **changes)
    return bank, best.values()


def test_two_heads_of_one_spec_are_a_mistake_of_ours():
    store, _ = make_problem()
    sample = sample_of(store)
    with pytest.raises(AssertionError, match="two heads"):
        HeadBank([specs()[0]] * 2, sample, num_classes=3)


def test_heads_are_built_and_counted_on_the_cpu_whatever_runs_online():
    store, _ = make_problem()

    class OnGpu:
        def __len__(self):
            return len(store)

        def iterate(self, batches, *, patches=True):
            for features in store.iterate(batches, patches=patches):
                yield features_to(features, "cuda:0")

    with pinning(), FakeTensorMode(allow_non_fake_inputs=True):
        (features,) = sample_of(OnGpu()).values()
    assert {item.device.type for item in (features.patches, *features.vectors.values())} == {"cpu"}
