"""What all backbones share: layer numbers, the frozen wrapper, its fingerprint and description."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from helpers.properties import few_examples
from helpers.small_data import noise
from toolkit_common.backbones.contract import Backbone, Receipt, resolve_layers
from toolkit_common.backbones.load import load_backbone
from toolkit_common.errors import InputError

VIT, CNN = "timm:test_vit?image_size=64", "timm:test_resnet?image_size=64"


def load(text: str = VIT, seed: int = 0) -> Backbone:
    return load_backbone(text, random_init=True, seed=seed)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ((-1,), (12,)),
        ((1, 6, -1), (1, 6, 12)),
        ((-1, 12), (12,)),
        ((12, 1), (1, 12)),
        ((-12,), (1,)),
    ],
)
def test_layers_count_from_either_end(layers: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert resolve_layers(layers, 12) == expected


@given(st.integers(1, 40), st.lists(st.integers(-50, 50), min_size=1))
@few_examples
def test_layers_become_ascending_and_exist_or_are_refused(depth: int, layers: list[int]) -> None:
    if any(layer == 0 or abs(layer) > depth for layer in layers):
        with pytest.raises(InputError, match=f"layers 1 to {depth}"):
            resolve_layers(layers, depth)
    else:
        resolved = resolve_layers(layers, depth)
        assert list(resolved) == sorted(set(resolved))
        assert all(1 <= layer <= depth for layer in resolved)


@pytest.mark.parametrize("layer", [0, 7, -7])
def test_a_layer_that_does_not_exist_is_named(layer: int) -> None:
    with pytest.raises(InputError, match=f"layer {layer} does not exist: .* layers 1 to 6"):
        load(f"{VIT}&layer={layer}")


def test_layers_are_read_in_ascending_order() -> None:
    shallow, deep = load(f"{VIT}&layers=-1,2").forward_layers(torch.randn(1, 3, 64, 64))
    (alone,) = load(f"{VIT}&layer=2").forward_layers(torch.zeros(1, 3, 64, 64))
    assert shallow.patches.shape == deep.patches.shape == alone.patches.shape
    assert not torch.equal(shallow.patches, deep.patches)


def test_an_outer_loop_cannot_switch_it_to_training() -> None:
    outer = nn.ModuleDict({"backbone": load(CNN), "head": nn.BatchNorm1d(3)})
    outer.train()
    assert outer["head"].training
    assert not any(module.training for module in outer["backbone"].modules())
    outer.eval()
    assert not outer["backbone"].training


def test_gradients_of_a_head_do_not_reach_it() -> None:
    backbone, head = load(), nn.Linear(64, 2)
    patches = backbone(torch.randn(2, 3, 64, 64)).patches.clone()
    head(patches.mean(1)).sum().backward()
    assert head.weight.grad is not None
    assert all(parameter.grad is None for parameter in backbone.parameters())


def test_equal_weights_have_equal_fingerprints() -> None:
    assert load(seed=1).fingerprint() == load(seed=1).fingerprint()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (VIT, "cls_token"),
        (VIT, "pos_embed"),
        (VIT, "blocks.3.mlp.fc2.bias"),
        (CNN, "conv1.0.weight"),
        (CNN, "bn1.running_var"),
    ],
)
def test_a_fingerprint_knows_weights_and_buffers(text: str, name: str) -> None:
    changed = load(text)
    changed.encoder.model.state_dict()[name][..., -1] += 1e-3
    assert changed.fingerprint() != load(text).fingerprint()


def test_a_fingerprint_knows_the_architecture() -> None:
    assert load(VIT).fingerprint() != load("timm:test_vit?image_size=96").fingerprint()


def test_a_fingerprint_does_not_depend_on_the_layer() -> None:
    assert load(f"{VIT}&layer=1").fingerprint() == load(VIT).fingerprint()


def test_a_fingerprint_reads_weights_of_any_dtype() -> None:
    half, full = load(), load()
    half.encoder.half()
    half.encoder.model.register_buffer("flag", torch.tensor(data=True))
    assert half.fingerprint() != full.fingerprint()


def test_a_description_names_shape_weights_input_and_card() -> None:
    shape, weights, size, card = load().info.describe()
    assert "64 wide, grid 4 x 4, 1 prefix token" in shape
    assert "weights: random, none loaded" in weights
    assert "64 x 64 px" in size
    assert "linear and knn read cls, EP reads all" in card


def test_a_receipt_says_what_of_a_file_was_used_and_what_was_chosen() -> None:
    receipt = Receipt(
        "w.pth", 1.0, used=0.75, resized=("pos_embed 8x8 to 4x4",),
        left_over=("head (fc)", "decoder (decoder_blocks)"), notes=("taken is 'teacher'",),
    )  # fmt: skip
    assert receipt.describe() == [
        "weights: w.pth, 100.0% loaded, 75.0% of the file used",
        "  resampled pos_embed 8x8 to 4x4",
        "  left over: head (fc); decoder (decoder_blocks)",
        "  taken is 'teacher'",
    ]


def test_a_receipt_says_when_nothing_was_loaded() -> None:
    assert Receipt("random", 0.0).is_random
    assert not Receipt("file", 0.01).is_random


# Images as people have them


def test_tokens_of_images_are_those_of_their_batch() -> None:
    backbone, images = load(), [noise((80, 70), seed=seed) for seed in range(2)]
    batch = torch.stack([backbone.transform(image) for image in images])
    expected, actual = backbone(batch), backbone.tokens(images)
    assert torch.equal(actual.patches, expected.patches)
    assert torch.equal(actual.prefix, expected.prefix)
    assert actual.grid == (4, 4)
    assert (actual.pooled, expected.pooled) == (None, None)
    assert torch.equal(backbone.tokens(batch).patches, expected.patches)


def test_tokens_of_many_batches_can_be_trained_on() -> None:
    backbone = load()
    images = torch.randn(70, 3, 64, 64)
    tokens = backbone.tokens(images, pooled=True)
    assert tokens.pooled is not None
    assert (tokens.patches.shape, len(tokens.pooled)) == ((70, 16, 64), 70)
    head = nn.Linear(64, 2)
    head(tokens.patches.mean(1)).sum().backward()
    torch.testing.assert_close(backbone.tokens(images[69:]).patches[0], tokens.patches[69])
    assert tokens.raw is not None


def test_a_tensor_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(b, 3, 64, 64\).* got \(1, 3, 32, 32\)"):
        load().tokens(torch.zeros(1, 3, 32, 32))
