"""Parameters count as published (docs/poolings.md); what does not divide is refused."""

import pytest
import torch
from torch import nn

from lib.literal_probes import PARAMETERS
from toolkit_common.errors import InputError
from toolkit_probing.probes import POOLS

NUM_CLASSES, GRID = 1000, (14, 14)
TOTALS = [  # with the classifier
    ("abmilp", 768, {"mode": "none", "depth": 1}, 769_769),
    ("abmilp", 768, {"mode": "none", "depth": 2}, 1_360_361),
    ("abmilp", 768, {"mode": "both", "depth": 1}, 3_129_833),
    ("abmilp", 768, {"mode": "both", "depth": 3}, 4_311_017),
    *(
        ("ep", dim, {"num_queries": count, "width_divisor": divisor}, total)
        for count, divisor, *totals in [
            (1, 1, 1_359_592, 2_074_600),
            (8, 1, 1_364_968, 2_081_768),
            (16, 1, 1_371_112, 2_089_960),
            (32, 1, 1_383_400, 2_106_344),
            (64, 1, 1_407_976, 2_139_112),
            (128, 1, 1_457_128, 2_204_648),
            (32, 2, 704_488, 1_070_056),
            (32, 4, 365_032, 551_912),
            (32, 8, 195_304, 292_840),
        ]
        for dim, total in zip((768, 1024), totals, strict=True)
    ),
]


def count(name: str, dim: int, **options) -> tuple[int, int]:
    """Return the pooling's parameters, and those with its classifier's."""
    where = {"grid": GRID} if POOLS[name].needs_grid else {}
    with torch.device("meta"):
        pool = POOLS[name](dim, **where, **options)
        classifier = nn.Linear(pool.out_dim, NUM_CLASSES)
    own = sum(parameter.numel() for parameter in pool.parameters())
    return own, own + sum(parameter.numel() for parameter in classifier.parameters())


def test_every_pooling_has_a_count():
    assert set(PARAMETERS) == set(POOLS)


@pytest.mark.parametrize("name", POOLS)
def test_parameters_count_as_published(name: str):
    assert (count(name, 768)[0], count(name, 1024)[0]) == PARAMETERS[name]


@pytest.mark.parametrize(("name", "dim", "options", "total"), TOTALS)
def test_variants_count_as_published(name, dim, options, total):
    assert count(name, dim, **options)[1] == total


@pytest.mark.parametrize(
    "name", ["esimpool", "clip", "siglip", "aim", "cait", "cae", "dinovit", "jepa", "mhca"]
)
def test_heads_that_do_not_divide_are_refused_with_the_valid_ones(name: str):
    message = r"multiple of num_heads, got dim=48, num_heads=5; .* from: 1, 2, 3, 4, 6, 8, 12"
    with pytest.raises(InputError, match=message):
        count(name, 48, num_heads=5)


@pytest.mark.parametrize(("dim", "heads"), [(768, 12), (1280, 10), (1408, 11), (1792, 8), (7, 7)])
def test_esimpool_takes_twelve_heads_or_the_most_below_that_divide(dim: int, heads: int):
    assert POOLS["esimpool"](dim).num_heads == heads


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("abmilp", {"depth": 0}, "depth=0"),
        ("coca", {"num_heads": 0}, "num_heads=0"),
        ("cbam", {}, "width 16 or more, got dim=12"),
    ],
)
def test_bad_options_are_refused(name: str, options, message: str):
    with pytest.raises(InputError, match=message):
        count(name, 12, **options)
