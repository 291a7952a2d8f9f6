"""Which methods are requested, and which share a fit."""

import json
from pathlib import Path

import pytest

from toolkit_common.config import Layer, resolve
from toolkit_probing.methods import METHODS
from toolkit_probing.methods.choose import (
    choose_fit,
    group_by_fit,
    with_all_methods,
    with_all_options,
)
from toolkit_probing.methods.frozen import probe_with_heads, probe_with_published_head
from toolkit_probing.methods.tuned import probe_with_tuning
from toolkit_probing.probes import POOLS
from toolkit_probing.settings import ProbeSettings

SMALL = ("--backbone", "timm:test_vit?image_size=64", "--random-init", "--epochs", 1)


@pytest.mark.slow
def test_all_names_every_method_once(run_cli, image_folder):
    data = f"imagefolder:{image_folder}"
    result = run_cli("probe", "-d", data, "-m", "all", "--lr", 0.01, *SMALL, "--json")
    assert result.exit_code == 0, result.output
    names = [row["method"] for row in json.loads(result.stdout)["rows"]]
    assert sorted(names) == sorted([*POOLS, "linear", "knn", "logreg"])


def test_methods_that_share_a_fit_are_fitted_together_in_the_registrys_order():
    groups = group_by_fit(ProbeSettings(method=("knn", "linear", "logreg", "ep")))
    names = [[method.name for method in methods] for _, methods in groups]
    assert names == [["linear", "ep"], ["knn"], ["logreg"]]


def test_tuning_and_a_published_head_have_fits_of_their_own():
    tuned, published = ProbeSettings(tune="full"), ProbeSettings(head=Path("f"))
    assert [name for name in METHODS if choose_fit(METHODS[name], tuned) is None] == [
        "knn", "logreg",
    ]  # fmt: skip
    assert [name for name in METHODS if choose_fit(METHODS[name], published)] == ["ep"]
    fits = [choose_fit(METHODS["ep"], item) for item in (tuned, published, ProbeSettings())]
    assert fits == [probe_with_tuning, probe_with_published_head, probe_with_heads]


@pytest.mark.parametrize(
    ("settings", "left_out"),
    [({}, set()), ({"tune": "lora"}, {"knn", "logreg"}), ({"inputs": "lesion"}, set(POOLS))],
)
def test_all_is_every_method_that_can_be_fitted(settings, left_out):
    chosen = with_all_methods(ProbeSettings(method=("all",), **settings)).method
    assert set(chosen) == METHODS.keys() - {"cls", "mean"} - left_out


def test_all_beside_a_published_head_stays_to_be_refused():
    settings = ProbeSettings(method=("all",), head=Path("f"))
    assert with_all_methods(settings) == settings


def test_the_options_of_requested_methods_are_completed_by_their_defaults():
    given = {"method": "abmilp,linear", "abmilp": {"depth": 3}, "ep": {"num_queries": 4}}
    completed = with_all_options(resolve(ProbeSettings, [Layer("f", given)]))
    assert completed.settings.options == {
        "abmilp": {"mode": ("both",), "depth": (3,), "activation": ("tanh",)},
        "ep": {"num_queries": (4,)},
    }
    sources = {key: value for key, value in completed.sources.items() if "abmilp" in key}
    assert sources == {
        "options.abmilp.mode": "default",
        "options.abmilp.depth": "f",
        "options.abmilp.activation": "default",
    }
    assert with_all_options(completed) == completed


def test_a_published_head_brings_its_own_options():
    settings = resolve(ProbeSettings, [Layer("f", {"head": "f.safetensors"})])
    assert with_all_options(settings) == settings
