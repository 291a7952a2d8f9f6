"""Tiny encoders of every source: built here, or written as their library writes them."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from toolkit_common.backbones.exported import export_encoder
from toolkit_common.backbones.ids import parse_backbone_id
from toolkit_common.backbones.load import build_encoder, load_backbone

TEXT = {"context_length": 8, "vocab_size": 32, "width": 16, "heads": 2, "layers": 1}
TOWERS: dict[str, dict[str, Any]] = {
    "vit": {"image_size": 32, "layers": 3, "width": 32, "head_width": 16, "patch_size": 8},
    "pooler": {
        "image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16,
        "attentional_pool": True, "attn_pooler_heads": 2, "attn_pooler_queries": 4,
    },
    "resnet": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32},
    "trunk": {"image_size": 64, "timm_model_name": "test_vit", "timm_pool": "token"},
}  # fmt: skip


def write_open_clip(folder: Path, tower: str, **preprocess: Any) -> str:
    """Write an open_clip model of random weights; returns its id."""
    from toolkit_common.torchvision_ops import prepare

    prepare()
    import open_clip

    model_cfg = {"embed_dim": 24, "vision_cfg": TOWERS[tower], "text_cfg": TEXT}
    folder.mkdir(parents=True)
    config = {"model_cfg": model_cfg, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return f"open_clip:local-dir:{folder}"


def write_timm(
    folder: Path, name: str, *, seed: int = 0, without: str = "none", **config: Any
) -> str:
    """Write a timm model of random weights, with a classifier of 5 classes; returns its id."""
    from toolkit_common.backbones.from_timm import timm

    torch.manual_seed(seed)
    model = timm.create_model(name, num_classes=5)
    state = model.state_dict().items()
    kept = {key: value for key, value in state if not key.startswith(without)}
    folder.mkdir(parents=True)
    save_file(kept, folder / "model.safetensors")
    copied = {key: model.pretrained_cfg[key] for key in ("input_size", "fixed_input_size")}
    pretrained = {"num_classes": 5, "classifier": "head", **copied, **config}
    described = {"architecture": name, "num_classes": 5, "pretrained_cfg": pretrained}
    (folder / "config.json").write_text(json.dumps(described))
    return f"timm:local-dir:{folder}"


def export(folder: Path, text: str = "timm:test_vit?image_size=64", *, seed: int = 0) -> Path:
    """Export a random encoder as pre-training would; returns the folder."""
    encoder, _ = build_encoder(parse_backbone_id(text), random_init=True, seed=seed)
    card = load_backbone(text, random_init=True).info.card
    export_encoder(folder, encoder, architecture=text, card=card, provenance={"seed": seed})
    return folder


class FeatureMap(nn.Module):
    """A user's own encoder: images to a map of 8 channels, an eighth of the side."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 8, stride=8)

    def forward(self, images: Tensor) -> Tensor:
        return self.convolution(images)


class Returns(nn.Module):
    """An encoder that returns the same thing whatever it sees."""

    def __init__(self, out: object) -> None:
        super().__init__()
        self.out = out

    def forward(self, images: Tensor) -> object:
        return self.out


def build_map() -> nn.Module:
    torch.manual_seed(3)
    return FeatureMap()
