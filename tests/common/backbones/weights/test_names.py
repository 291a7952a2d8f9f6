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
from toolkit_common.errors import InputError

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


def cae_state(dim: int = 32, depth: int = 2, tokens: int = 16) -> State:
    """Random tensors under the names of CAE and PanDerm, of the checkpoint that is published."""
    torch.manual_seed(7)
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, dim), "pos_embed": (1, tokens + 1, dim),
        "patch_embed.proj.weight": (dim, 3, 8, 8), "patch_embed.proj.bias": (dim,),
        "norm.weight": (dim,), "norm.bias": (dim,),
    }  # fmt: skip
    for block in range(depth):
        inner = {
            "gamma_1": (dim,), "gamma_2": (dim,), "norm1.weight": (dim,), "norm1.bias": (dim,),
            "attn.q_bias": (dim,), "attn.v_bias": (dim,), "attn.qkv.weight": (3 * dim, dim),
            "attn.proj.weight": (dim, dim), "attn.proj.bias": (dim,), "norm2.weight": (dim,),
            "norm2.bias": (dim,), "mlp.fc1.weight": (2 * dim, dim), "mlp.fc1.bias": (2 * dim,),
            "mlp.fc2.weight": (dim, 2 * dim), "mlp.fc2.bias": (dim,),
        }  # fmt: skip
        shapes |= {f"blocks.{block}.{name}": shape for name, shape in inner.items()}
    return {name: 0.3 * torch.randn(shape) for name, shape in shapes.items()}


def cae_features(state: State, images: torch.Tensor, *, heads: int, depth: int) -> torch.Tensor:
    """The equations of CAE's encoder, from its tensors as they are named."""

    def norm(tokens: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return nn.functional.layer_norm(tokens, weight.shape, weight, bias, eps=1e-6)

    def linear(tokens: torch.Tensor, name: str) -> torch.Tensor:
        return tokens @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def attend(tokens: torch.Tensor, name: str) -> torch.Tensor:
        query, key, value = (tokens @ state[f"{name}.qkv.weight"].T).chunk(3, dim=-1)
        query, value = query + state[f"{name}.q_bias"], value + state[f"{name}.v_bias"]
        split = [part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (query, key, value)]
        scores = split[0] @ split[1].transpose(-1, -2) / split[0].shape[-1] ** 0.5
        return linear((scores.softmax(-1) @ split[2]).transpose(1, 2).flatten(2), f"{name}.proj")

    kernel, bias = state["patch_embed.proj.weight"], state["patch_embed.proj.bias"]
    patches = nn.functional.conv2d(images, kernel, bias, stride=8).flatten(2).transpose(1, 2)
    tokens = torch.cat([state["cls_token"].expand(len(images), -1, -1), patches], dim=1)
    tokens = tokens + state["pos_embed"]
    for block in (f"blocks.{number}" for number in range(depth)):
        attended = attend(norm(tokens, f"{block}.norm1"), f"{block}.attn")
        tokens = tokens + state[f"{block}.gamma_1"] * attended
        hidden = nn.functional.gelu(linear(norm(tokens, f"{block}.norm2"), f"{block}.mlp.fc1"))
        tokens = tokens + state[f"{block}.gamma_2"] * linear(hidden, f"{block}.mlp.fc2")
    return norm(tokens, "norm")


@pytest.mark.parametrize("front", ["", "encoder.", "visual."])
def test_cae_and_panderm_compute_the_same_in_timms_deit_iii(front: str) -> None:
    own = cae_state()
    images = torch.randn(2, 3, 32, 32)
    beside = {f"{front}head.weight": torch.ones(5, 32), "logit_scale": torch.ones(())}
    state = {f"{front}{name}": value for name, value in own.items()} | beside
    ours = timm_features("deit3_small_patch16_224", state, images, patch_size=8)
    expected = cae_features(own, images, heads=2, depth=2)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def test_layer_scale_of_panderm_has_no_place_in_a_plain_vit() -> None:
    model = timm.create_model("vit_small_patch16_224", num_classes=0, **TINY, patch_size=8)
    with pytest.raises(InputError, match=r"no place for 4 more tensors.*ls1\.gamma"):
        load_weights_(model, cae_state(), Reading("panderm.pth"))


def test_timms_own_beit_keeps_its_biases_names() -> None:
    model = timm.create_model("beit_base_patch16_224", num_classes=0, **TINY, patch_size=8)
    assert "blocks.0.attn.q_bias" in rename(dict(model.state_dict()), model).state


def clip_of_transformers() -> nn.Module:
    from toolkit_common.torchvision_ops import prepare

    prepare()
    transformers = pytest.importorskip("transformers")
    vision = {**CONFIG, "intermediate_size": 128, "patch_size": 8, "hidden_act": "quick_gelu"}
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 32, "vocab_size": 9, "bos_token_id": 1,
            "eos_token_id": 2}  # fmt: skip
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
    return perturbed(transformers.CLIPModel(config))


@pytest.mark.slow
def test_transformers_clip_such_as_monet_computes_the_same_in_open_clip() -> None:
    from open_clip.transformer import QuickGELU, VisionTransformer

    theirs, images = clip_of_transformers(), torch.randn(2, 3, 32, 32)
    model = VisionTransformer(image_size=32, patch_size=8, width=32, layers=2, heads=2,
                              mlp_ratio=4, output_dim=24, act_layer=QuickGELU)  # fmt: skip
    receipt = load_weights_(model.eval(), dict(theirs.state_dict()), Reading("monet"))
    assert receipt.loaded == 1.0
    with torch.no_grad():
        vectors = theirs.visual_projection(theirs.vision_model(images).pooler_output)  # type: ignore[operator, union-attr]
        torch.testing.assert_close(model(images), vectors, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_transformers_clip_computes_the_same_in_timm() -> None:
    theirs, images = clip_of_transformers(), torch.randn(2, 3, 32, 32)
    ours = timm_features(
        "vit_base_patch16_clip_quickgelu_224", dict(theirs.state_dict()), images, patch_size=8,
        mlp_ratio=4,
    )  # fmt: skip
    with torch.no_grad():
        expected = theirs.vision_model(images).pooler_output  # type: ignore[operator]
    torch.testing.assert_close(ours[:, 0], expected, atol=1e-5, rtol=1e-5)
