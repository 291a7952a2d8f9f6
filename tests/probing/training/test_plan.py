"""Batch, steps and rates are counted in one place, as the loop takes them."""

import pytest

from helpers.probe_problem import settings
from toolkit_common.errors import InputError
from toolkit_probing.settings import ENCODER_LR
from toolkit_probing.training.plan import (
    Training,
    TrainingPlan,
    describe_training,
    find_shortfall,
    infer_batch_size,
    training_of,
)


@pytest.mark.parametrize(
    ("num_train", "expected"), [(1, 16), (275, 16), (1000, 16), (2048, 64), (1_281_167, 1024)]
)
def test_batch_size_is_about_a_32nd_of_train(num_train, expected):
    assert infer_batch_size(num_train) == expected


def test_too_few_images_for_the_processes_are_refused():
    sizes = [TrainingPlan(settings(), 7, processes).batch_size for processes in (1, 2, 3, 7)]
    assert sizes == [7] * 4
    with pytest.raises(InputError, match=r"4 processes needs 4 training images, got 3"):
        TrainingPlan(settings(), 3, 4)
    with pytest.raises(InputError, match=r"1 processes needs 2 training images, got 1"):
        TrainingPlan(settings(), 1, 1)


def test_the_device_with_most_rows_has_the_batch_rounded_up():
    assert [TrainingPlan(settings(), 30, count).rows_per_process for count in (1, 2, 3)] == [
        8,
        4,
        3,
    ]


def test_rates_are_scaled_to_the_batch_that_there_is():
    plan = TrainingPlan(settings(batch_size=512), num_train=64)
    assert (plan.requested_batch, plan.batch_size) == (512, 64)
    assert plan.lr(0.1) == 0.1 * 64 / 256


@pytest.mark.parametrize(
    ("epochs", "warmup", "share"), [(3, 1.0, 1.0), (3, 2.5, 1.0), (2, 4, 5 / 12)]
)
def test_the_peak_is_the_largest_rate_of_all_steps(epochs, warmup, share):
    plan = TrainingPlan(settings(epochs=epochs, warmup_epochs=warmup), num_train=30)
    assert (plan.steps_per_epoch, plan.total_steps) == (3, 3 * epochs)
    largest = max(plan.factor(step) for step in range(plan.total_steps))
    assert plan.peak_lr(0.5) == plan.lr(0.5) * largest
    assert largest == pytest.approx(share)


def test_only_tuning_has_a_rate_of_the_encoder_and_a_clipped_gradient():
    frozen, lora = (TrainingPlan(settings(tune=tune), 30) for tune in ("none", "lora"))
    assert (frozen.encoder_lr, frozen.clip_grad) == (0.0, None)
    assert (lora.encoder_lr, lora.clip_grad) == (ENCODER_LR["lora"], 1.0)
    assert TrainingPlan(settings(tune="full", encoder_lr=0.5), 30).encoder_lr == 0.5


def test_a_row_says_how_each_draw_was_trained():
    trained = training_of(settings(), [30, 4], base_lr=0.5, num_processes=1)
    assert trained is not None
    assert (trained.effective_batch, trained.steps_per_epoch) == ([8, 4], [3, 1])
    assert trained.peak_lr == [0.5 * 8 / 256, 0.5 * 4 / 256]
    assert training_of(settings(), [30], base_lr=None, num_processes=1) is None
    other = Training(effective_batch=[16], steps_per_epoch=[1], peak_lr=[0.5])
    message = "batch 4 to 16, 1 to 3 steps an epoch, peak learning rate 0.00781 to 0.5"
    assert describe_training([trained, other]) == message


def test_a_batch_below_the_request_is_noted_with_who_requested_it():
    short = find_shortfall(settings(), [30, 4], 1)
    assert short is not None
    assert short.phrase == "batch 4 to 8 instead of 8"
    assert short.note.startswith("BATCH 4 to 8, not the 8 of --batch-size")
    assert short.note.endswith("learning rates are scaled to it")
    adamw = find_shortfall(settings(optimizer="adamw"), [4], 1)
    assert adamw is not None
    assert adamw.note.endswith("at most the training images")
    paper = find_shortfall(settings(batch_size=4096, protocol="ep-paper"), [30], 1)
    assert paper is not None
    assert paper.by == "protocol ep-paper"
    assert find_shortfall(settings(), [30, 8], 1) is None
    assert find_shortfall(settings(batch_size=None), [4], 1) is None
