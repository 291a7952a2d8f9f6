"""What a run keeps: the last state, or the best that was watched, resumed or not."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from conftest import assert_bad_input
from helpers.slimp_run import run_killed
from toolkit_common.errors import InputError
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.training.keep import Keeper, Outcome

METRIC = "val_lesion_recall_at_5"
LAST = Outcome(9, {METRIC: 0.0})


def keeper(**settings):
    return Keeper(SlimpSettings(**{"keep": METRIC, "watch_every": 2, **settings}))


def looked(own, figures):
    """A model whose only weight is the number of the look; the keeper after all looks."""
    model = nn.Linear(1, 1, bias=False)
    for step, figure in enumerate(figures, start=1):
        with torch.no_grad():
            model.weight.fill_(step)
        own.look_(model, step, {METRIC: figure, "val_loss": float(step)})
    return model


def test_the_first_of_the_best_is_kept_with_its_values():
    own = keeper()
    model = looked(own, [0.1, 0.4, 0.4, 0.2])
    assert own.finish_(model, LAST) == Outcome(2, {METRIC: 0.4, "val_loss": 2.0})
    assert model.weight.item() == 2.0


def test_by_default_the_last_is_kept_and_nothing_is_remembered():
    own = keeper(keep="last")
    model = looked(own, [0.9, 0.1])
    assert own.finish_(model, LAST) == LAST
    assert model.weight.item() == 2.0
    assert own.state() is None


def test_what_was_best_is_taken_up_again():
    first, second = keeper(), keeper()
    looked(first, [0.1, 0.4])
    second.resume_(first.state())
    model = looked(second, [0.3, 0.4])
    assert second.finish_(model, LAST).step == 2
    assert model.weight.item() == 2.0


def test_other_steps_to_choose_among_are_refused():
    first = keeper()
    looked(first, [0.1])
    with pytest.raises(InputError, match=r"watch_every 3 \(was 2\): keep val_lesion_recall_at_5"):
        keeper(watch_every=3).resume_(first.state())


RUN = ("--keep", METRIC, "--epochs", "6", "--watch-every", "1")


@pytest.mark.slow
def test_the_best_state_is_exported_and_a_killed_run_keeps_the_same(
    pretrain, tmp_path, monkeypatch
):
    result = pretrain(*RUN, output=tmp_path / "whole")
    assert result.exit_code == 0, result.output
    text = (tmp_path / "whole/metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    best = max(lines, key=lambda line: line[METRIC])  # the first of equals
    results = json.loads((tmp_path / "whole/results.json").read_text())
    assert results["kept"] == {"by": METRIC, "step": best["step"]}
    assert 0 < best["step"] < results["steps"]
    held_out = {key: best[key] for key in best if key.startswith("val_")}
    assert results["held_out"] == held_out
    assert f"kept: step {best['step']} of {results['steps']}, the best by {METRIC}" in result.stdout
    run_killed(lambda: pretrain(*RUN), monkeypatch, step=results["steps"] - 2)
    assert pretrain(*RUN, "--resume").exit_code == 0
    for name in ("encoder.safetensors", "slimp.safetensors"):
        whole, resumed = (load_file(tmp_path / run / "encoder" / name) for run in ("whole", "run"))
        assert all(torch.equal(whole[key], resumed[key]) for key in whole)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--keep", "val_knn_auroc", "--watch-every", "1", "--ablation", "simclr"], None),
        (["--keep", "val_patient_recall_at_5", "--ablation", "lesion-only"],
         ["keep val_patient_recall_at_5", "as the patient loss is off"]),
        (["--keep", METRIC, "--ablation", "simclr"], ["as the lesion loss is off"]),
        (["--keep", "val_loss"], ["held-out loss is no metric to keep by"]),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_a_metric_that_no_look_has_is_refused_before_anything_is_trained(
    pretrain, tmp_path, options, parts
):
    result = pretrain(*options, "--epochs", "1")
    if parts is None:
        assert result.exit_code == 0, result.output
    else:
        assert_bad_input(result, *parts)
        assert not (tmp_path / "run").exists()
