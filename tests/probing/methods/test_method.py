"""What a method is, and the variants that its options make."""

import json

import pytest

from toolkit_probing.methods import METHODS
from toolkit_probing.probes import POOLS
from toolkit_probing.settings import ProbeSettings


def test_every_method_has_the_name_it_is_looked_up_by():
    assert [method.name for method in METHODS.values()] == list(METHODS)
    assert [name for name, method in METHODS.items() if method.reads_tokens] == list(POOLS)


def test_what_trains_no_head_is_neither_tuned_nor_published():
    assert [name for name, method in METHODS.items() if not method.is_trained] == ["knn", "logreg"]
    for method in METHODS.values():
        assert method.is_trained or method.tuned is method.published is method.pool is None


def test_every_combination_of_values_is_a_variant():
    settings = ProbeSettings(options={"abmilp": {"depth": [1, 3], "mode": ["map", "none"]}})
    variants = METHODS["abmilp"].variants(settings)
    assert [(item["mode"], item["depth"]) for item in variants] == [
        ("map", 1), ("map", 3), ("none", 1), ("none", 3),
    ]  # fmt: skip
    assert {item["activation"] for item in variants} == {"tanh"}


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("ep", {"num_queries": 32, "width_divisor": 1}, {"num_queries": 32}),
        ("ep", {"num_queries": 8, "width_divisor": 2}, {"num_queries": 8, "width_divisor": 2}),
        ("siglip", {"num_heads": 8}, {}),
        ("siglip", {"num_heads": 4}, {"num_heads": 4}),
        ("esimpool", {"num_heads": None}, {}),
    ],
)
def test_heads_keep_the_names_they_had_before_options_could_be_set(name, options, named):
    assert METHODS[name].named(options) == named


@pytest.mark.slow
def test_variants_train_side_by_side_and_rows_record_all_options(probe):
    chosen = ["--set", "abmilp.mode=both,none", "--set", "siglip.num_heads=2", "--lr", "0.01"]
    result = probe("--method", "abmilp,siglip,linear,knn", *chosen, "--json")
    assert result.exit_code == 0, result.output
    rows = {row["name"]: row["options"] for row in json.loads(result.stdout)["rows"]}
    assert rows == {
        "abmilp-layer6-all": {"mode": "both", "depth": 2, "activation": "tanh"},
        "abmilp-modenone-layer6-all": {"mode": "none", "depth": 2, "activation": "tanh"},
        "siglip-num_heads2-layer6-all": {"num_heads": 2},
        "linear-layer6-cls": {},
        "knn-layer6-cls": {"k": [5, 10, 20, 50], "temperature": [0.07]},
    }
