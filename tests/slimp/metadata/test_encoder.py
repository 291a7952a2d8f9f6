"""The metadata encoder never sees a missing value."""

import pytest
import torch

from helpers.slimp_problem import build_settings
from toolkit_slimp.metadata.encoder import MetadataEncoder
from toolkit_slimp.metadata.schema import ColumnSchema, Metadata, Schema

SCHEMA = Schema(
    (
        ColumnSchema("size", "lesion", "numeric", quantiles=(0.0, 1.0)),
        ColumnSchema("angle", "lesion", "angle"),
        ColumnSchema("site", "lesion", "categorical", categories=("arm", "leg")),
        ColumnSchema("itch", "lesion", "boolean", categories=("false", "true")),
        ColumnSchema("colours", "lesion", "multi", categories=("blue", "red")),
    )
)
NUMBERS, WORDS = len(SCHEMA.number_owners), len(SCHEMA.word_owners)


def rows(m: int = 5, seed: int = 0) -> Metadata:
    draws = torch.Generator().manual_seed(seed)
    return Metadata(
        torch.randn(m, NUMBERS, generator=draws),
        torch.rand(m, WORDS, generator=draws) > 0.5,
        torch.rand(m, len(SCHEMA.columns), generator=draws) > 0.4,
    )


def build(**values) -> MetadataEncoder:
    torch.manual_seed(0)
    return MetadataEncoder(SCHEMA, build_settings(**values)).eval()


def owned(metadata: Metadata) -> tuple[torch.Tensor, torch.Tensor]:
    """Whether the column of each number and word is observed."""
    observed = metadata.observed
    return observed[:, list(SCHEMA.number_owners)], observed[:, list(SCHEMA.word_owners)]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_values_behind_the_mask_change_nothing(pooling):
    encoder, given = build(metadata_pooling=pooling), rows()
    numbers, words = owned(given)
    other = Metadata(
        torch.where(numbers, given.numeric, 99.0),
        torch.where(words, given.words, ~given.words),
        given.observed,
    )
    torch.testing.assert_close(encoder(other), encoder(given))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_every_observed_value_changes_the_output(pooling):
    encoder, given = build(metadata_pooling=pooling), rows()
    full = Metadata(given.numeric, given.words, torch.ones_like(given.observed))
    for column in range(NUMBERS):
        moved = full.numeric.clone()
        moved[:, column] += 1.0
        changed = encoder(Metadata(moved, full.words, full.observed))
        assert (changed - encoder(full)).abs().amax(1).min() > 1e-4
    for word in range(WORDS):
        words = full.words.clone()
        words[:, word] = ~words[:, word]
        changed = encoder(Metadata(full.numeric, words, full.observed))
        assert (changed - encoder(full)).abs().amax(1).min() > 1e-4


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_row_without_any_value_is_encoded_and_finite(pooling):
    given = rows()
    nothing = Metadata(given.numeric, given.words, torch.zeros_like(given.observed))
    encoded = build(metadata_pooling=pooling)(nothing)
    assert torch.isfinite(encoded).all()
    torch.testing.assert_close(encoded[0], encoded[1])


def test_rows_do_not_see_each_other():
    encoder, given = build(), rows()
    torch.testing.assert_close(encoder(given)[2:3], encoder(given.take(slice(2, 3))))


@pytest.mark.parametrize("style", ["plain", "ft"])
def test_gradient_reaches_every_parameter(style):
    encoder, given = build(metadata_blocks=style).train(), rows(64)
    encoder(given).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_schema_without_columns_gives_one_constant_vector():
    encoder = MetadataEncoder(Schema(()), build_settings(metadata_dim=8)).eval()
    empty = Metadata(
        torch.zeros(3, 0), torch.zeros(3, 0, dtype=torch.bool), torch.zeros(3, 0, dtype=torch.bool)
    )
    encoded = encoder(empty)
    assert encoded.shape == (3, 8)
    torch.testing.assert_close(encoded[0], encoded[2])


def test_zero_unknown_and_missing_are_three_things():
    encoder = build()
    full = Metadata(
        torch.zeros(3, NUMBERS),
        torch.zeros(3, WORDS, dtype=torch.bool),
        torch.ones(3, len(SCHEMA.columns), dtype=torch.bool),
    )
    full.words[1, 0] = True  # the size is unknown
    full.observed[2, 0] = False  # the size is missing
    zero, unknown, missing = encoder(full)
    for first, second in ((zero, unknown), (zero, missing), (unknown, missing)):
        assert (first - second).abs().max() > 1e-3
