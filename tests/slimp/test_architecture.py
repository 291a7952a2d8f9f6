"""A continued run keeps the architecture of the other, and says where each setting is from."""

from pathlib import Path

import pytest

from toolkit_common.config import Layer, Resolved, resolve
from toolkit_common.errors import InputError
from toolkit_slimp.ablations import ABLATIONS
from toolkit_slimp.architecture import keep_architecture
from toolkit_slimp.settings import SlimpSettings

RUN = Path("runs/first")
STORED = SlimpSettings(metadata_dim=16, metadata_heads=2, phenotype="attention", temperature=0.2)


def complete(**given: object) -> Resolved[SlimpSettings]:
    layers = [Layer("--from-run", {"from_run": str(RUN)})]
    layers += [Layer(f"--{key.replace('_', '-')}", {key: value}) for key, value in given.items()]
    resolved = resolve(SlimpSettings, layers, presets=ABLATIONS, preset_field="ablation")
    return keep_architecture(resolved, STORED, RUN)


def test_what_is_not_given_comes_from_the_run_and_says_so():
    completed = complete(lr=1e-3)
    settings = completed.settings
    assert (settings.metadata_dim, settings.metadata_heads) == (16, 2)
    assert (settings.phenotype, settings.temperature) == ("attention", 0.2)
    assert (settings.train, settings.lr) == ("embeddings", 1e-3)
    assert settings.from_run == RUN.resolve()  # of any working folder
    assert completed.sources["metadata_dim"] == "run runs/first"
    assert completed.sources["train"] == "default with --from"
    assert completed.sources["lr"] == "--lr"
    assert completed.sources["epochs"] == "default"


def test_what_is_given_is_kept_where_it_does_not_contradict():
    settings = complete(temperature=0.07, train="norms", metadata_dim=16, steps=5).settings
    assert (settings.temperature, settings.train, settings.epochs) == (0.07, "norms", None)


def test_it_is_the_same_when_it_is_done_again():
    completed = complete()
    again = keep_architecture(completed, STORED, RUN)
    assert again.settings == completed.settings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"metadata_dim": 32}, r"metadata_dim 32 \(--metadata-dim\) contradicts .*first has 16"),
        (
            {"phenotype": "mean"},
            r"phenotype mean \(--phenotype\) .*first has attention",
        ),
        ({"ablation": "mean-max"}, r"phenotype mean_max \(ablation mean-max\) contradicts"),
        ({"ablation": "flat"}, r"patient_columns lesion \(ablation flat\) contradicts"),
    ],
)
def test_what_contradicts_is_refused_by_name(given, message):
    with pytest.raises(InputError, match=message):
        complete(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"backbone": "timm:test_vit"}, "backbone timm:test_vit and from_run runs/first exclude"),
        ({"random_init": True}, "random_init and from_run runs/first exclude each other"),
        ({"allow_partial": True}, "allow_partial and from_run"),
    ],
)
def test_the_image_encoder_is_that_of_the_run(given, message):
    with pytest.raises(InputError, match=message):
        complete(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"train": "norms"},  # of the stand-in
            "train norms would leave layers as they were drawn: it needs a backbone with weights",
        ),
        (
            {"train": "embeddings", "backbone": "timm:test_vit", "random_init": True},
            "train embeddings would leave layers as they were drawn",
        ),
        ({"allow_seen": True}, "allow_seen needs from_run"),
    ],
)
def test_without_a_run_there_is_nothing_to_choose_from(given, message):
    with pytest.raises(InputError, match=message):
        resolve(SlimpSettings, [Layer("--x", given)])
    assert not SlimpSettings(train="all").is_partial
