"""Settings: what contradicts itself is refused, what went is reported."""

import logging

import pytest

from conftest import assert_bad_input
from toolkit_common.config import Layer, resolve
from toolkit_common.config.resolve import _note_gone
from toolkit_common.errors import InputError
from toolkit_slimp.settings import SlimpSettings


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, False),  # the stand-in is untrained
        ({"backbone": "timm:resnet18"}, True),
        ({"backbone": "timm:resnet18", "random_init": True}, False),
        ({"backbone": "timm:resnet18", "random_init": True, "batch_norm": "frozen"}, True),
        ({"backbone": "timm:resnet18", "batch_norm": "batch"}, False),
    ],
)
def test_batch_norms_keep_statistics_that_were_trained(settings, expected):
    assert SlimpSettings(**settings).freezes_batch_norms is expected


def test_a_short_name_becomes_the_id_that_is_recorded():
    resolved = resolve(SlimpSettings, [Layer("--x", {"backbone": "mae-base"})])
    assert resolved.settings.backbone == "timm:vit_base_patch16_224.mae?name=mae-base"
    assert resolved.settings.freezes_batch_norms


def test_a_width_that_heads_do_not_divide_is_refused():
    layer = Layer("--set", {"metadata_dim": 10, "metadata_heads": 4})
    with pytest.raises(InputError, match="multiple of its heads, got 10 and 4"):
        resolve(SlimpSettings, [layer])


GONE = {
    "metadata_numbers": "periodic",
    "metadata_missing": "token",
    "metadata_block_dropout": "0.1",
}


@pytest.mark.parametrize("key", GONE)
def test_a_setting_that_went_is_refused_unless_it_is_what_is_left(run_cli, caplog, key, tmp_path):
    option, left = f"--{key.replace('_', '-')}", SlimpSettings.gone[key]
    refused = run_cli("pretrain", "slimp", option, GONE[key], "--output", tmp_path / "run")
    assert_bad_input(refused, option, f"{key} is gone, only {left} is left", GONE[key])
    stored = tmp_path / "old.yaml"
    stored.write_text(f"{key}: {GONE[key]}\n")
    refused = run_cli("pretrain", "slimp", "--config", stored, "--output", tmp_path / "run")
    assert_bad_input(refused, "old.yaml", f"{key} is gone, only {left} is left", GONE[key])
    _note_gone.cache_clear()
    with caplog.at_level(logging.WARNING):
        settings = resolve(SlimpSettings, [Layer("old.yaml", {key: left})] * 2).settings
    assert settings == SlimpSettings()
    assert [record.getMessage() for record in caplog.records] == [
        f"the setting {key} is gone, {left} is all that is left: drop it"
    ]
    assert option not in run_cli("pretrain", "slimp", "--help").stdout


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bank_size": 10}, "bank_size 10 needs bank"),
        ({"bank": True, "bank_size": 0}, "bank needs bank_size above 0"),
    ],
)
def test_a_bank_is_written_when_asked_for_alone(given, message):
    with pytest.raises(ValueError, match=message):
        SlimpSettings(**given)
    assert SlimpSettings(bank_size=0).bank is False  # how to have none, in files of before


@pytest.mark.parametrize(
    ("given", "epochs", "steps"),
    [({}, 30, None), ({"epochs": 4}, 4, None), ({"steps": 600}, None, 600),
     ({"epochs": 4, "steps": None}, 4, None), ({"epochs": None, "steps": 7}, None, 7)],
)  # fmt: skip
def test_a_run_is_as_long_as_its_epochs_or_its_steps_say(given, epochs, steps):
    settings = resolve(SlimpSettings, [Layer("file", given)]).settings
    assert (settings.epochs, settings.steps) == (epochs, steps)
    stored = settings.model_dump(mode="json")  # as config.yaml keeps it, and --resume reads it
    assert resolve(SlimpSettings, [Layer("stored", stored)]).settings == settings


@pytest.mark.parametrize("given", [{"epochs": 30, "steps": 7}, {"epochs": None}])
def test_both_lengths_or_none_are_refused(given):
    message = f"give one of them, got epochs {given['epochs']} and steps {given.get('steps')}"
    with pytest.raises(InputError, match=message):
        resolve(SlimpSettings, [Layer("file", given)])


@pytest.mark.parametrize("name", ["val_loss", "loss"])
def test_held_out_loss_is_no_metric_to_keep_by(name):
    with pytest.raises(InputError, match=f"lowest after a few epochs.*got '{name}'"):
        resolve(SlimpSettings, [Layer("--keep", {"keep": name})])


def test_labels_choose_what_is_kept_only_where_they_are_watched():
    with pytest.raises(InputError, match="keep val_knn_auroc needs watch_every"):
        resolve(SlimpSettings, [Layer("--keep", {"keep": "val_knn_auroc"})])
    assert SlimpSettings(keep="val_knn_auroc", watch_every=5).keep == "val_knn_auroc"
