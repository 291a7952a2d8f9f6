"""What a source's name stands for, against plain loops; heads with metadata beside the tokens."""

import numpy as np
import pytest
import torch

from toolkit_common.errors import InputError
from toolkit_common.features.contract import Features
from toolkit_probing.heads.head import HeadSpec, build_head
from toolkit_probing.heads.inputs import (
    NO_LAYER,
    base_of,
    describe_place,
    place_name,
    read_inputs,
    read_source,
)

B, N, D = 6, 4, 8


def features(*levels: str) -> Features:
    draws = torch.Generator().manual_seed(0)
    patches = torch.randn(B, N, D, generator=draws)
    vectors = {"mean": patches.mean(1), "cls": torch.randn(B, D, generator=draws)}
    for width, level in enumerate(levels, start=3):
        vectors[level] = 5 * torch.randn(B, width, generator=draws)
    return Features(vectors, patches, (2, 2))


def joined(given: Features, *names: str) -> np.ndarray:
    """Each block of each row divided by its length, side by side, in float64."""
    rows = []
    for row in range(B):
        blocks = [given.vectors[name][row].double().numpy() for name in names]
        rows.append(np.concatenate([block / np.sqrt((block**2).sum()) for block in blocks]))
    return np.stack(rows)


def test_a_vector_with_metadata_is_its_normalised_blocks_side_by_side():
    given = features("lesion", "patient")
    actual = read_inputs(given, "cls+meta")
    assert actual.beside is None
    expected = joined(given, "cls", "lesion", "patient")
    np.testing.assert_allclose(actual.main.numpy(), expected, atol=1e-6)


def test_tokens_stay_as_they_are_and_have_the_metadata_beside_them():
    given = features("lesion", "patient")
    actual = read_inputs(given, "all+meta")
    assert torch.equal(actual.main, read_source(given, "all"))
    assert actual.beside is not None
    expected = joined(given, "lesion", "patient")
    np.testing.assert_allclose(actual.beside.numpy(), expected, atol=1e-6)


def test_a_level_that_is_not_there_is_left_out():
    given = features("lesion")
    actual = read_inputs(given, "mean+meta").main.numpy()
    np.testing.assert_allclose(actual, joined(given, "mean", "lesion"), atol=1e-6)


def test_metadata_alone_are_read_as_they_are():
    given = features("lesion")
    assert torch.equal(read_inputs(given, "lesion").main, given.vectors["lesion"])
    with pytest.raises(InputError, match="unknown vector of this backbone 'patient'"):
        read_inputs(given, "patient")


def test_names_hold_the_layer_where_there_is_one():
    assert (place_name(3, "cls+meta"), base_of("cls+meta")) == ("layer3-cls+meta", "cls")
    assert describe_place(3, "all") == "all @ layer 3"
    assert place_name(NO_LAYER, "lesion") == describe_place(NO_LAYER, "lesion") == "lesion"


def spec(method: str, source: str) -> HeadSpec:
    options = {"num_queries": 2} if method == "ep" else {}
    return HeadSpec(method, 1, source, 0.1, 0, options)


@pytest.mark.parametrize("method", ["ep", "abmilp"])
def test_a_head_pools_tokens_and_classifies_them_with_the_metadata(method):
    given = features("lesion")
    head = build_head(spec(method, "patches+meta"), given, num_classes=3).eval()
    tokens, beside = read_inputs(given, "patches+meta")
    assert beside is not None
    expected = head.classifier(head.norm(torch.cat([head.pool(tokens), beside], dim=1)))
    torch.testing.assert_close(head(tokens, beside), expected)
    alone = build_head(spec(method, "patches"), given, num_classes=3)
    assert head.classifier.in_features == alone.classifier.in_features + 3
    for name, value in alone.pool.state_dict().items():
        assert torch.equal(head.pool.state_dict()[name], value)  # metadata do not change its start


def test_a_micro_batch_keeps_metadata_with_their_rows():
    given = features("lesion")
    head = build_head(spec("ep", "all+meta"), given, num_classes=3).double()
    main, beside = (item.double() for item in read_inputs(given, "all+meta"))
    actual = []
    for size in (None, 2):
        head.zero_grad()
        head(main, beside, micro_batch=size).square().sum().backward()
        actual.append([parameter.grad.clone() for parameter in head.parameters()])
    for whole, cut in zip(*actual, strict=True):
        torch.testing.assert_close(cut, whole)
