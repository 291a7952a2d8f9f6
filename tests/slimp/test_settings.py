"""Settings: what contradicts itself is refused, what went is reported."""

import logging

import pytest

from conftest import assert_bad_input
from toolkit_common import config
from toolkit_common.config import Layer, resolve
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
    config._note_gone.cache_clear()
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
