"""What is kept of an encoder's tokens."""

from dataclasses import replace

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from helpers.waiting import pinning
from toolkit_common.backbones.contract import EncoderFacts, Tokens
from toolkit_common.features.contract import Features, concatenate, features_of


def facts(*, has_class_token: bool) -> EncoderFacts:
    return EncoderFacts(
        architecture="x",
        embed_dim=4,
        grid=(2, 3),
        num_prefix_tokens=2,
        has_class_token=has_class_token,
        has_attention_pool=False,
        pools_class_token=False,
        pooled_dim=5,
        depth=1,
    )


def tokens(dtype: torch.dtype = torch.float32) -> Tokens:
    patches, prefix, pooled = torch.rand(2, 6, 4), torch.rand(2, 2, 4), torch.rand(2, 5)
    return Tokens(patches.to(dtype), prefix.to(dtype), (2, 3), pooled.to(dtype))


def test_vectors_are_the_mean_the_class_token_and_the_pooled_output() -> None:
    given = tokens()
    kept = features_of(given, facts(has_class_token=True), with_patches=True)
    assert set(kept.vectors) == {"mean", "cls", "pooled"}
    torch.testing.assert_close(kept.vectors["mean"], given.patches.sum(1) / 6)
    assert torch.equal(kept.vectors["cls"], given.prefix[:, 0])
    assert torch.equal(kept.vectors["pooled"], given.pooled)
    assert kept.patches is given.patches
    assert kept.grid == (2, 3)


def test_raw_vectors_come_from_before_the_final_norm() -> None:
    raw = torch.rand(2, 2 + 6, 4)
    kept = features_of(replace(tokens(), raw=raw), facts(has_class_token=True), with_patches=False)
    assert torch.equal(kept.vectors["cls_raw"], raw[:, 0])
    torch.testing.assert_close(kept.vectors["mean_raw"], raw[:, 2:].sum(1) / 6)


def test_registers_are_no_class_token() -> None:
    kept = features_of(tokens(), facts(has_class_token=False), with_patches=False)
    assert set(kept.vectors) == {"mean", "pooled"}
    assert kept.patches is None


def test_vectors_are_fp32_whatever_the_tokens_are() -> None:
    given = tokens(torch.bfloat16)
    kept = features_of(given, facts(has_class_token=True), with_patches=True)
    assert {vector.dtype for vector in kept.vectors.values()} == {torch.float32}
    torch.testing.assert_close(kept.vectors["mean"], given.patches.float().mean(1))


def test_features_move_as_one() -> None:
    kept = features_of(tokens(), facts(has_class_token=True), with_patches=True).to("meta")
    assert kept.patches is not None
    assert {kept.patches.device.type, *(item.device.type for item in kept.vectors.values())} == {
        "meta"
    }
    assert Features({}, None, (1, 1)).to("meta").patches is None


def test_batches_join_as_one_with_all_that_they_have() -> None:
    batches = [
        {layer: Features({"mean": torch.rand(rows, 4)}, patches, (1, 2)) for layer, patches in
         ((1, None), (2, torch.rand(rows, 2, 4)))}
        for rows in (3, 1)
    ]  # fmt: skip
    joined = concatenate(batches)
    assert joined[1].patches is None
    assert joined[1].num_images == 4
    assert joined[2].patches is not None
    assert torch.equal(joined[2].patches[3:], batches[1][2].patches)
    last = joined[2].take(torch.tensor([3]))
    assert torch.equal(last.vectors["mean"], batches[1][2].vectors["mean"])


def test_features_that_are_not_pinned_are_before_they_go_to_a_gpu() -> None:
    """Those of metadata, say, that a store does not hold."""
    given = Features({"mean": torch.ones(2, 3)}, torch.ones(2, 4, 3), (2, 2), scale=None)
    with pinning() as pinned, FakeTensorMode(allow_non_fake_inputs=True):
        moved = given.to("cuda:0")
    assert moved.patches is not None
    assert {item.device.type for item in (moved.patches, *moved.vectors.values())} == {"cuda"}
    assert len(pinned) == 2
