"""Which tensors of an encoder embed, which are blocks, whatever library it is from."""

import pytest
import torch
from torch import nn

from helpers.tiny_encoders import FeatureMap, write_open_clip
from toolkit_common.backbones.from_timm import timm
from toolkit_common.backbones.ids import parse_backbone_id
from toolkit_common.backbones.load import build_encoder
from toolkit_slimp.model.image_parts import ImageParts, divide_encoder


def of_timm(name: str) -> ImageParts:
    with torch.device("meta"):  # names alone
        return divide_encoder(timm.create_model(name, num_classes=0))


def names(divided: ImageParts, part: str, depth: int = 1) -> set[str]:
    return {".".join(k.split(".")[:depth]) for k, item in divided.parts.items() if item == part}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "embedding", "blocks", "rest"),
    [
        ("vit_small_patch14_reg4_dinov2", {"cls_token", "reg_token", "pos_embed", "patch_embed"},
         {"blocks"}, {"norm"}),
        ("vit_base_patch16_clip_224", {"cls_token", "pos_embed", "patch_embed"},
         {"blocks"}, {"norm_pre", "norm"}),
        ("vit_base_patch16_siglip_224", {"pos_embed", "patch_embed"},
         {"blocks"}, {"norm", "attn_pool"}),
        ("deit_tiny_distilled_patch16_224", {"cls_token", "dist_token", "pos_embed", "patch_embed"},
         {"blocks"}, {"norm"}),
        ("swin_tiny_patch4_window7_224", {"patch_embed"}, {"layers"}, {"norm"}),
        ("xcit_nano_12_p16_224", {"cls_token", "pos_embed", "patch_embed"},
         {"blocks", "cls_attn_blocks"}, {"norm"}),
        ("maxvit_tiny_rw_224", {"stem"}, {"stages"}, {"norm"}),
    ],
)  # fmt: skip
def test_a_transformer_embeds_before_its_blocks(name, embedding, blocks, rest):
    divided = of_timm(name)
    assert divided.has_blocks
    assert names(divided, "embedding") == embedding
    assert names(divided, "blocks") == blocks
    assert names(divided, "rest") == rest


@pytest.mark.slow
def test_a_norm_of_the_patch_embedding_is_part_of_it():
    divided = of_timm("swin_tiny_patch4_window7_224")
    assert divided.parts["patch_embed.norm.weight"] == "embedding"
    assert {"patch_embed.norm.weight", "norm.bias", "layers.0.blocks.0.norm1.weight"} <= (
        divided.norms
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("tf_efficientnet_lite0", {"conv_stem.weight"}),
        ("resnest14d", {f"conv1.{n}" for n in (0, 1, 3, 4, 6)}),  # attention of channels
        ("convnext_atto", {"stem.0", "stem.1"}),
        ("densenet121", {"features.conv0"}),  # all of it lies in one child
        ("mixer_s16_224", {"stem.proj"}),
        ("resnet50_clip", {"stem.conv1", "stem.conv2", "stem.conv3"}),  # a pooler that attends
    ],
)
def test_an_encoder_without_attention_blocks_has_a_stem(name, stem):
    divided = of_timm(name)
    assert not divided.has_blocks
    assert names(divided, "stem", depth=2) == stem
    assert set(divided.parts.values()) == {"stem", "layers"}


@pytest.mark.slow
def test_towers_of_open_clip_are_divided_likewise(tmp_path):
    def tower(name: str) -> ImageParts:
        text = write_open_clip(tmp_path / name, name)
        return divide_encoder(build_encoder(parse_backbone_id(text), random_init=True)[0].model)

    vit = tower("vit")
    assert names(vit, "embedding") == {"class_embedding", "positional_embedding", "conv1"}
    assert names(vit, "blocks") == {"transformer"}
    assert names(vit, "rest") == {"ln_pre", "ln_post", "proj"}
    assert not tower("resnet").has_blocks


def test_an_encoder_of_the_users_own_needs_no_names():
    assert divide_encoder(FeatureMap()).parts == {
        "convolution.weight": "stem", "convolution.bias": "stem",
    }  # fmt: skip
    layer = nn.TransformerEncoderLayer(8, 2, 16)
    own = nn.ModuleDict(
        {"cut": nn.Linear(4, 8), "think": nn.ModuleList([layer]), "out": nn.Linear(8, 2)}
    )
    divided = divide_encoder(own)
    assert names(divided, "embedding") == {"cut"}
    assert names(divided, "blocks") == {"think"}
    assert names(divided, "rest") == {"out"}


def test_one_block_outside_of_any_list_is_a_block():
    own = nn.ModuleDict({"cut": nn.Linear(4, 8), "look": nn.MultiheadAttention(8, 2)})
    divided = divide_encoder(own)
    assert names(divided, "blocks") == {"look"}
    assert names(divided, "embedding") == {"cut"}
