"""The metadata encoder never sees a missing value."""

import pytest
import torch

from toolkit_slimp.encoders import MetadataEncoder
from toolkit_slimp.schema import ColumnSchema, Metadata, Schema

SCHEMA = Schema(
    (
        ColumnSchema("size", "lesion", "numeric", quantiles=(0.0, 1.0)),
        ColumnSchema("angle", "lesion", "angle", quantiles=(0.0,)),
        ColumnSchema("site", "lesion", "categorical", categories=("arm", "leg")),
        ColumnSchema("itch", "lesion", "boolean", categories=("false", "true")),
    )
)


def rows(m: int = 5, seed: int = 0) -> Metadata:
    draws = torch.Generator().manual_seed(seed)
    return Metadata(
        torch.randn(m, 3, generator=draws),
        torch.randint(1, 4, (m, 2), generator=draws),
        torch.rand(m, 5, generator=draws) > 0.4,
    )


def build(**options) -> MetadataEncoder:
    torch.manual_seed(0)
    return MetadataEncoder(SCHEMA, dim=16, depth=2, num_heads=2, **options).eval()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_values_behind_the_mask_change_nothing(pooling):
    encoder, given = build(pooling=pooling), rows()
    hidden = ~given.observed
    other = Metadata(
        torch.where(hidden[:, :3], 99.0, given.numeric),
        torch.where(hidden[:, 3:], 0, given.categorical),
        given.observed,
    )
    torch.testing.assert_close(encoder(other), encoder(given))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_every_observed_value_changes_the_output(pooling):
    encoder, given = build(pooling=pooling), rows()
    full = Metadata(given.numeric, given.categorical, torch.ones_like(given.observed))
    for column in range(3):
        moved = full.numeric.clone()
        moved[:, column] += 1.0
        changed = encoder(Metadata(moved, full.categorical, full.observed))
        assert (changed - encoder(full)).abs().amax(1).min() > 1e-4


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_row_without_any_value_is_encoded_and_finite(pooling):
    given = rows()
    nothing = Metadata(given.numeric, given.categorical, torch.zeros_like(given.observed))
    encoded = build(pooling=pooling)(nothing)
    assert torch.isfinite(encoded).all()
    torch.testing.assert_close(encoded[0], encoded[1])


def test_rows_do_not_see_each_other():
    encoder, given = build(), rows()
    torch.testing.assert_close(encoder(given)[2:3], encoder(given.take(slice(2, 3))))


def test_gradient_reaches_every_parameter():
    encoder, given = build().train(), rows(64)
    encoder(given).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_schema_without_columns_gives_one_constant_vector():
    encoder = MetadataEncoder(Schema(()), dim=8, depth=1, num_heads=2).eval()
    empty = Metadata(
        torch.zeros(3, 0), torch.zeros(3, 0, dtype=torch.int64), torch.zeros(3, 0, dtype=torch.bool)
    )
    encoded = encoder(empty)
    assert encoded.shape == (3, 8)
    torch.testing.assert_close(encoded[0], encoded[2])
