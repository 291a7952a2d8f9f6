"""Names of other libraries: the converted encoder computes what theirs computes."""

import re
from typing import Any

import pytest
import torch
from torch import nn

from toolkit_common.backbones.from_timm import timm
from toolkit_common.backbones.weights.fill import Reading, load_weights_
from toolkit_common.backbones.weights.names import rename, speaks_dialect
from toolkit_common.backbones.weights.state_dicts import State

TINY = {"img_size": 32, "depth": 2, "embed_dim": 32, "num_heads": 2, "mlp_ratio": 2}
CONFIG = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32}
HUB = (  # transformers 5 -> the names that files on the Hub have
    (r"\.layers\.", ".encoder.layer."),
    (r"attention\.q_proj", "attention.attention.query"),
    (r"attention\.k_proj", "attention.attention.key"),
    (r"attention\.v_proj", "attention.attention.value"),
    (r"attention\.o_proj", "attention.output.dense"),
)
HUB_VIT = ((r"mlp\.fc1", "intermediate.dense"), (r"mlp\.fc2", "output.dense"))


def as_on_the_hub(state: State, rules: tuple[tuple[str, str], ...]) -> State:
    def new(name: str) -> str:
        for old, to in rules:
            name = re.sub(old, to, name)
        return name

    return {new(name): value for name, value in state.items()}


def timm_features(name: str, state: State, images: torch.Tensor, **changes: Any) -> torch.Tensor:
    model: nn.Module = timm.create_model(name, num_classes=0, **{**TINY, **changes}).eval()
    receipt = load_weights_(model, state, Reading("w.pth"))
    assert receipt.loaded == 1.0
    assert not any("UNKNOWN" in text for text in receipt.left_over)
    with torch.no_grad():
        features: torch.Tensor = model.forward_features(images)  # type: ignore[operator]
    return features


def perturbed(model: nn.Module) -> nn.Module:
    """Away from the ones and zeros of a fresh norm, by which a swap would not be seen."""
    torch.manual_seed(3)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize("on_hub", [True, False])
def test_transformers_vit_computes_the_same(on_hub: bool) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(**CONFIG, intermediate_size=64, layer_norm_eps=1e-6)
    theirs = perturbed(transformers.ViTForImageClassification(config))
    images = torch.randn(2, 3, 32, 32)
    state = dict(theirs.state_dict())
    names = as_on_the_hub(state, (*HUB, *HUB_VIT)) if on_hub else state
    with torch.no_grad():
        expected = theirs.vit(images).last_hidden_state
    result = timm_features("vit_tiny_patch16_224", names, images)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("on_hub", [True, False])
def test_transformers_dinov2_computes_the_same(on_hub: bool) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.Dinov2Config(**{**CONFIG, "image_size": 28}, patch_size=14, mlp_ratio=2)
    theirs = perturbed(transformers.Dinov2Model(config))
    images = torch.randn(2, 3, 28, 28)
    state = dict(theirs.state_dict())
    names = as_on_the_hub(state, HUB) if on_hub else state
    with torch.no_grad():
        expected = theirs(images).last_hidden_state
    result = timm_features("vit_small_patch14_dinov2", names, images, img_size=28)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_torchvisions_vit_computes_the_same() -> None:
    from torchvision.models.vision_transformer import VisionTransformer

    theirs = perturbed(VisionTransformer(32, 16, 2, 2, 32, 64, num_classes=3))
    images = torch.randn(2, 3, 32, 32)
    theirs.heads = nn.Identity()
    with torch.no_grad():
        expected = theirs(images)
    result = timm_features("vit_tiny_patch16_224", dict(theirs.state_dict()), images)
    torch.testing.assert_close(result[:, 0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_resnet_in_a_sequential_computes_the_same() -> None:
    """lightly's `nn.Sequential(*list(resnet.children())[:-1])`."""
    from torchvision.models import resnet18

    theirs = resnet18().eval()
    body = nn.Sequential(*list(theirs.children())[:-2])
    images = torch.randn(1, 3, 64, 64)
    state = {f"backbone.{name}": value for name, value in body.state_dict().items()}
    model = timm.create_model("resnet18", num_classes=0).eval()
    receipt = load_weights_(model, state, Reading("w.pth"))
    assert "names converted from those of torchvision (ResNet as nn.Sequential)" in receipt.notes
    with torch.no_grad():
        torch.testing.assert_close(model.forward_features(images), body(images))


def test_blocks_in_chunks_are_counted_through() -> None:
    state = {
        f"blocks.{block // 2}.{block}.norm1.weight": torch.full((1,), block) for block in range(4)
    }
    renamed = rename({**state, "norm.weight": torch.ones(1)}, nn.Module())
    assert {name: int(value[0]) for name, value in renamed.state.items()} == {
        **{f"blocks.{block}.norm1.weight": block for block in range(4)}, "norm.weight": 1
    }  # fmt: skip
    assert renamed.origins["blocks.3.norm1.weight"] == ("blocks.1.3.norm1.weight",)


def test_parts_are_joined_in_their_order_whatever_the_files() -> None:
    front = "encoder.layer.0.attention.attention."
    parts = {"value": 3.0, "query": 1.0, "key": 2.0}
    state = {f"{front}{name}.weight": torch.full((2, 2), value) for name, value in parts.items()}
    joined = rename(state, nn.Module()).state["blocks.0.attn.qkv.weight"]
    assert joined[:, 0].tolist() == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("name", "known"),
    [("blocks.0.0.norm1.weight", True), ("blocks.0.norm1.weight", False),
     ("encoder.layer.0.attention.attention.query.weight", True), ("layer.0.weight", False)],
)  # fmt: skip
def test_a_dialect_is_known_by_its_sign(name: str, known: bool) -> None:
    assert speaks_dialect(name) is known


def test_names_that_no_dialect_knows_are_kept() -> None:
    state = {"a.b": torch.ones(1)}
    assert rename(state, nn.Module()).state is state
