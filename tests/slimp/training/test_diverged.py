"""A loss or a gradient that is no number ends the run and leaves its batch."""

from dataclasses import replace

import pandas as pd
import pytest
from safetensors.torch import load_file

from conftest import assert_bad_input
from toolkit_slimp.training.step import Stepper


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_batch(
    pretrain, tmp_path, monkeypatch
):
    original = Stepper.backward

    def spoiled(self, batch, step):
        loss = original(self, batch, step)
        return replace(loss, total=loss.total * float("nan")) if step == 2 else loss

    monkeypatch.setattr(Stepper, "backward", spoiled)
    place = tmp_path / "run/diverged/step-000000002-rank-0.safetensors"
    assert_bad_input(pretrain(), "the loss is nan at step 2", "lower --lr", str(place))
    saved, listed = load_file(place), pd.read_csv(place.with_suffix(".csv"))
    assert saved["images"].shape[1:] == (3, 32, 32)
    assert saved["rows"].tolist() == listed["row"].tolist()
    assert listed["image_id"].str.contains("pictures/").all()
    assert {"lesions.numeric", "lesions.observed", "patients.words", "segments"} <= set(saved)
    assert not (tmp_path / "run/encoder").exists()


@pytest.mark.slow
def test_a_gradient_that_is_no_number_stops_the_run(pretrain, monkeypatch):
    original = Stepper.backward

    def spoiled(self, batch, step):
        loss = original(self, batch, step)
        self.model.project_image[0].weight.grad[0, 0] = float("inf")
        return loss

    monkeypatch.setattr(Stepper, "backward", spoiled)
    assert_bad_input(pretrain(), "the gradient's norm is", "at step 0", "lower --lr")


@pytest.mark.slow
def test_weights_that_the_last_update_spoiled_are_seen_before_they_are_exported(pretrain, tmp_path):
    result = pretrain("--lr", "1e30", "--image-lr", "1e30", "--patients-per-batch", "32",
                      "--epochs", "3", "--watch-every", "1")  # fmt: skip
    assert_bad_input(result, "the held-out loss is no finite number at step 0", "lower --lr")
    assert "checkpoints" not in result.stderr  # there is none from before
    assert (tmp_path / "run/diverged/step-000000000-rank-0.safetensors").exists()
    assert not (tmp_path / "run/encoder").exists()
