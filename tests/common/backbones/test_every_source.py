"""Every encoder of every source meets one contract; the expectations here are written by hand."""

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from helpers.tiny_encoders import TOWERS, export, write_open_clip
from toolkit_common.backbones.contract import Backbone
from toolkit_common.backbones.from_timm import TimmEncoder
from toolkit_common.backbones.load import load_backbone

pytestmark = pytest.mark.slow  # each alone is quick, and there are 400


class Expected(NamedTuple):
    grid: tuple[int, int]
    prefix: int = 0
    has_class_token: bool = False


PLAIN, CNN = Expected((4, 4), 1, has_class_token=True), Expected((2, 2))
TIMM = {
    "test_vit?image_size=64": PLAIN,
    "test_vit2?image_size=64": Expected((4, 4), 1),  # a register, no class token
    "test_vit3?image_size=64": Expected((4, 4), 1),  # pools by attention
    "test_vit4?image_size=64": Expected((4, 4), 1),
    "test_vit_relpos?image_size=64": Expected((4, 4)),
    "test_convnext?image_size=64": CNN,
    "test_convnext2?image_size=64": CNN,
    "test_resnet?image_size=64": CNN,
    "test_efficientnet?image_size=64": CNN,
    "test_efficientnet_evos?image_size=64": CNN,
    "test_mambaout?image_size=64": CNN,  # features come as (b, h, w, d)
    "test_coatnet?image_size=64": CNN,
    "test_maxvit": Expected((5, 5)),
    "test_nfnet?image_size=64": CNN,
    "test_byobnet?image_size=64": CNN,
    "vit_tiny_patch16_224?image_size=64": PLAIN,
    "vit_small_patch14_reg4_dinov2?image_size=56": Expected((4, 4), 5, has_class_token=True),
    "vit_small_patch16_dinov3?image_size=64": Expected((4, 4), 5, has_class_token=True),
    "vit_little_patch16_reg4_gap_256?image_size=64": Expected((4, 4), 4),
    "vit_base_patch16_siglip_224?image_size=32": CNN,
    "deit_tiny_distilled_patch16_224?image_size=64": Expected((4, 4), 2, has_class_token=True),
    "deit3_small_patch16_224?image_size=64": PLAIN,
    "beit_base_patch16_224?image_size=32": Expected((2, 2), 1, has_class_token=True),
    "eva02_tiny_patch14_224?image_size=56": PLAIN,
    "cait_xxs24_224?image_size=64": PLAIN,
    "convit_tiny?image_size=64": PLAIN,
    "xcit_nano_12_p16_224?image_size=64": PLAIN,
    "tnt_s_patch16_224?image_size=64": PLAIN,
    "hiera_tiny_224?image_size=64": CNN,
    "swin_tiny_patch4_window7_224?image_size=64": CNN,
    "swinv2_cr_tiny_224?image_size=64": CNN,
    "convnextv2_atto?image_size=64": CNN,
    "resnet18?image_size=64": CNN,
    "tf_efficientnet_lite0?image_size=64": CNN,
    "mobilenetv3_small_050?image_size=64": CNN,
    "mobilevit_xxs?image_size=64": CNN,
    "pvt_v2_b0?image_size=64": CNN,
    "mixer_s32_224": Expected((7, 7)),
    "levit_128s": Expected((4, 4)),
    "twins_svt_small?image_size=64": CNN,
    "tiny_vit_5m_224?image_size=64": CNN,
    "poolformer_s12?image_size=64": CNN,
    "davit_tiny?image_size=64": CNN,
    "densenet121?image_size=64": CNN,
    "ghostnet_050?image_size=64": CNN,
    "regnetx_002?image_size=64": CNN,
}
OTHERS = {
    "open_clip:local-dir:{folder}/vit": PLAIN,
    "open_clip:local-dir:{folder}/pooler": Expected((2, 2), 1, has_class_token=True),
    "open_clip:local-dir:{folder}/resnet": CNN,
    "open_clip:local-dir:{folder}/trunk": PLAIN,
    "python:helpers.tiny_encoders:build_map": Expected((28, 28)),
    "{folder}/run": PLAIN,
}
# At random weights these spread a local change over the whole grid.
SPREADING = ("ghostnet", "tiny_vit", "levit", "lite0", "coatnet", "mobilevit", "mobilenetv3")
CONFIGURATIONS = {f"timm:{name}": expected for name, expected in TIMM.items()} | OTHERS


class Case(NamedTuple):
    backbone: Backbone
    expected: Expected

    def images(self, count: int = 2) -> Tensor:
        size = self.backbone.info.preprocess.image_size
        return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = tmp_path_factory.mktemp("encoders")
    for tower in TOWERS:
        write_open_clip(result / tower, tower)
    export(result / "run" / "encoder")
    return result


@pytest.fixture(scope="module", params=CONFIGURATIONS)
def case(request: pytest.FixtureRequest, folder: Path) -> Case:
    text = request.param.format(folder=folder)
    backbone = load_backbone(text, random_init=text.startswith("timm:"), seed=2)
    return Case(backbone, CONFIGURATIONS[request.param])


def test_tokens_are_those_of_the_architecture(case: Case) -> None:
    expected, facts, tokens = case.expected, case.backbone.info.facts, case.backbone(case.images())
    num_patches = expected.grid[0] * expected.grid[1]
    assert tokens.patches.shape == (2, num_patches, facts.embed_dim)
    assert tokens.prefix.shape == (2, expected.prefix, facts.embed_dim)
    assert (tokens.grid, facts.grid) == (expected.grid, expected.grid)
    assert facts.num_prefix_tokens == expected.prefix
    assert facts.has_class_token == expected.has_class_token
    assert tokens.pooled is None
    assert torch.isfinite(tokens.patches).all()


def test_two_calls_agree_to_the_bit(case: Case) -> None:
    images = case.images()
    first, second = case.backbone(images), case.backbone(images.clone())
    assert torch.equal(first.patches, second.patches)
    assert torch.equal(first.prefix, second.prefix)


def test_an_image_does_not_see_its_batch(case: Case) -> None:
    images = case.images(3)
    together, alone = case.backbone(images), case.backbone(images[1:2])
    torch.testing.assert_close(together.patches[1:2], alone.patches, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(together.prefix[1:2], alone.prefix, rtol=1e-3, atol=1e-4)


def test_tokens_lie_where_their_pixels_are(case: Case) -> None:
    if any(name in case.backbone.info.id for name in SPREADING):
        pytest.skip("at random weights this encoder spreads a local change everywhere")
    images = case.images(1)
    (height, width), (gh, gw) = images.shape[2:], case.expected.grid
    changed = images.clone()
    changed[:, :, : height // 2, width // 2 :] *= -1.0  # top right
    moved = (case.backbone(images).patches - case.backbone(changed).patches).norm(dim=-1)
    moved = moved.view(gh, gw)
    top_right, bottom_left = moved[: gh // 2, -(gw // 2) :], moved[-(gh // 2) :, : gw // 2]
    assert top_right.mean() > 1.3 * bottom_left.mean()


def test_nothing_in_it_learns(case: Case) -> None:
    before = {name: value.clone() for name, value in case.backbone.state_dict().items()}
    tokens = case.backbone.train()(case.images().requires_grad_())
    assert not any(module.training for module in case.backbone.modules())
    assert not any(parameter.requires_grad for parameter in case.backbone.parameters())
    assert not tokens.patches.requires_grad
    after = case.backbone.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_the_pooled_output_comes_when_requested(case: Case) -> None:
    if case.backbone.info.facts.pooled_dim is None:
        pytest.skip("this encoder has no pooled output of its own")
    *_, last = case.backbone.forward_layers(case.images(), pooled=True)
    assert last.pooled is not None
    assert last.pooled.shape == (2, case.backbone.info.facts.pooled_dim)
    assert torch.equal(last.patches, case.backbone(case.images()).patches)


def test_the_last_layer_is_what_timm_computes(case: Case) -> None:
    encoder = case.backbone.encoder
    if not isinstance(encoder, TimmEncoder):
        pytest.skip("not timm's")
    tokens = case.backbone(case.images())
    features: Tensor = encoder.model.forward_features(case.images())  # type: ignore[operator]
    if features.ndim == 4:
        is_channels_last = features.shape[-1] == case.backbone.info.facts.embed_dim
        features = features.flatten(1, 2) if is_channels_last else features.flatten(2).mT
    torch.testing.assert_close(torch.cat([tokens.prefix, tokens.patches], 1), features)


def test_layers_read_together_are_those_read_alone(case: Case) -> None:
    encoder, depth, images = case.backbone.encoder, case.backbone.info.facts.depth, case.images()
    with torch.inference_mode():
        layers = encoder.forward_layers(images, range(1, depth + 1))
        alone = {layer: encoder.forward_layers(images, [layer])[0] for layer in (1, depth)}
    assert all(item.patches.shape[1] == item.grid[0] * item.grid[1] for item in layers)
    assert torch.equal(layers[0].patches, alone[1].patches)
    assert torch.equal(layers[-1].patches, alone[depth].patches)
