"""Short names that are built in: encoders that the field compares with, and dermatology's own.

What is known of each of dermatology's, and from where, stands in docs/encoders.md. Nothing is
fetched by a name: timm and open_clip fetch their own weights as ever, the rest is looked for in the
Hub's cache or is a file that the user has.
"""

from collections.abc import Mapping
from typing import Final

from toolkit_common.backbones.named.alias import Alias

# The input of linear probing in PanDerm's code; its first std is 0.228 there, 0.229 elsewhere.
DERM_INPUT: Final = {"mean": "imagenet", "crop_pct": "0.875", "interpolation": "bilinear"}
PANDERM = "CC BY-NC-ND 4.0"
PANDERM_PAGE = "https://github.com/SiyuanYan1/PanDerm"


def _panderm(size: str, file: str, dim: str) -> Alias:
    return Alias(
        f"timm:deit3_{size}_patch16_224",
        {"weights": file, **DERM_INPUT, "objective": "cae"},
        f"PanDerm {dim}/16: masked latents of 2 million skin images",
        PANDERM,
        f"download {file} from {PANDERM_PAGE} (licence {PANDERM})",
    )


BUILT_IN: Mapping[str, Alias] = {
    # Of dermatology
    "panderm-base": _panderm("base", "panderm_bb_data6_checkpoint-499.pth", "ViT-B"),
    "panderm-large": _panderm("large", "panderm_ll_data6_checkpoint-499.pth", "ViT-L"),
    "dermlip": Alias(
        "open_clip:hf-hub:redlessone/DermLIP_ViT-B-16",
        note="DermLIP CLIP ViT-B/16: Derm1M, 403,563 skin images with captions",
        licence="unknown; Derm1M is CC BY-NC 4.0",
    ),
    "dermlip-panderm": Alias(
        "timm:deit3_base_patch16_224",
        {"weights": "hf-hub:redlessone/DermLIP_PanDerm-base-w-PubMed-256", "mean": "clip",
         "crop_pct": "1.0", "objective": "clip", "tokens": "patches", "vectors": "mean"},
        "DermLIP from PanDerm ViT-B/16: Derm1M",
        PANDERM,
    ),
    "monet": Alias(
        "open_clip:ViT-L-14-quickgelu",
        {"weights": "hf-hub:chanwkim/monet", "mean": "imagenet"},
        "MONET CLIP ViT-L/14: 105,550 dermatological images with texts",
        "CC BY-NC-SA 4.0 (of its repository)",
    ),
    "whylesionclip": Alias(
        "open_clip:hf-hub:yyupenn/whylesionclip",
        note="WhyLesionCLIP, CLIP ViT-L/14 on skin lesions",
        licence="MIT",
    ),
    "swavderm": Alias(
        "timm:resnet50",
        {"weights": "derm_pretrained.pth", "mean": "0.485,0.456,0.406", "std": "0.228,0.224,0.225",
         "crop_pct": "0.875", "interpolation": "bilinear", "objective": "swav"},
        "SwAVDerm ResNet-50: SwAV on skin images of an online community",
        "unknown",
        "download models/derm_pretrained.pth of https://github.com/shenyue-98/SwAVDerm (git lfs)",
    ),
    # Trained by themselves
    "dino-small": Alias("timm:vit_small_patch16_224.dino"),
    "dino-base": Alias("timm:vit_base_patch16_224.dino"),
    "dinov2-small": Alias("timm:vit_small_patch14_dinov2.lvd142m"),
    "dinov2-base": Alias("timm:vit_base_patch14_dinov2.lvd142m"),
    "dinov2-large": Alias("timm:vit_large_patch14_dinov2.lvd142m"),
    "dinov2-base-reg": Alias("timm:vit_base_patch14_reg4_dinov2.lvd142m"),
    "dinov2-large-reg": Alias("timm:vit_large_patch14_reg4_dinov2.lvd142m"),
    "dinov3-small": Alias("timm:vit_small_patch16_dinov3.lvd1689m"),
    "dinov3-base": Alias("timm:vit_base_patch16_dinov3.lvd1689m"),
    "dinov3-large": Alias("timm:vit_large_patch16_dinov3.lvd1689m"),
    "mae-base": Alias("timm:vit_base_patch16_224.mae"),
    "mae-large": Alias("timm:vit_large_patch16_224.mae"),
    "ijepa-huge": Alias("timm:vit_huge_patch14_gap_224.in1k_ijepa"),
    "aimv2-large": Alias("timm:aimv2_large_patch14_224.apple_pt"),
    "eva02-base": Alias("timm:eva02_base_patch14_224.mim_in22k"),
    "hiera-base": Alias("timm:hiera_base_224.mae"),
    # Images and texts
    "clip-base": Alias("open_clip:ViT-B-16@openai"),
    "clip-large": Alias("open_clip:ViT-L-14@openai"),
    "siglip-base": Alias("timm:vit_base_patch16_siglip_224.webli"),
    "siglip2-base": Alias("timm:vit_base_patch16_siglip_224.v2_webli"),
    "pe-core-base": Alias("timm:vit_pe_core_base_patch16_224.fb"),
    # Labels
    "vit-small": Alias("timm:vit_small_patch16_224.augreg_in21k"),
    "vit-base": Alias("timm:vit_base_patch16_224.augreg_in21k"),
    "vit-large": Alias("timm:vit_large_patch16_224.augreg_in21k"),
    "deit3-base": Alias("timm:deit3_base_patch16_224.fb_in1k"),
    "resnet50": Alias("timm:resnet50.a1_in1k"),
    "convnext-base": Alias("timm:convnext_base.fb_in22k"),
    "swin-base": Alias("timm:swin_base_patch4_window7_224.ms_in22k"),
}  # fmt: skip
