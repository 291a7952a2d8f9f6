"""Files of training codes, laid out as each code does, load into the encoder that they hold."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from toolkit_common.backbones.from_timm import timm
from toolkit_common.backbones.weights.fill import load_weights_file_
from toolkit_common.backbones.weights.layouts import KINDS, LAYOUTS, find_layout
from toolkit_common.backbones.weights.state_dicts import State

Layout = Callable[[State, State], Any]


def vit(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model: nn.Module = timm.create_model("test_vit", img_size=64, num_classes=0)
    return model


def behind(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def beside(*names: str) -> State:
    return {name: torch.ones(2) for name in names}


def chunked(state: State) -> State:
    """Blocks in two chunks, each counted on, as DINOv2's training has them."""
    parts = {name: name.split(".") for name in state}
    return {
        ".".join(["blocks", str(int(part[1]) // 3), *part[1:]]) if part[0] == "blocks" else name: (
            state[name]
        )
        for name, part in parts.items()
    }


# Of each: what it lays down (of the encoder that its authors evaluate, and of another one), and
# what is left over. Names are those of the code's own files.
FILES: dict[str, tuple[Layout, str]] = {
    "MAE": (
        lambda own, _: {
            "model": {**own, **beside("mask_token", "decoder_pos_embed", "decoder_embed.weight",
                                      "decoder_blocks.0.norm1.weight", "decoder_pred.bias")},
            "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}},
            "epoch": 399, "scaler": {"scale": 1.0}, "args": argparse.Namespace(lr=0.1),
        },
        "decoder, mask token",
    ),
    "DINO, iBOT": (
        lambda own, other: {
            "student": behind("module.backbone.", other) | beside("module.head.mlp.0.weight"),
            "teacher": behind("backbone.", own)
            | beside("backbone.masked_embed", "head.mlp.0.weight", "head.last_layer.weight_g"),
            "dino_loss": beside("center"), "args": argparse.Namespace(arch="vit_small"),
        },
        "head, mask token",
    ),
    "DINOv2": (
        lambda own, other: {
            "model": behind("student.backbone.", chunked(other))
            | behind("teacher.backbone.", chunked(own))
            | beside("student.dino_head.mlp.0.weight", "teacher.dino_head.mlp.0.weight",
                     "teacher.ibot_head.mlp.0.weight", "dino_loss.center", "ibot_patch_loss.center",
                     "teacher.backbone.mask_token"),
            "iteration": 12,
        },
        "head, loss, mask token, momentum twin, second copy",
    ),
    "MoCo v3": (
        lambda own, other: {
            "state_dict": behind("module.base_encoder.", own)
            | behind("module.momentum_encoder.", other)
            | beside("module.base_encoder.head.0.weight", "module.momentum_encoder.head.0.weight",
                     "module.predictor.0.weight"),
            "optimizer": {}, "arch": "vit_small",
        },
        "head, second copy",
    ),
    "MoCo v2": (
        lambda own, other: {
            "state_dict": behind("module.encoder_q.", own) | behind("module.encoder_k.", other)
            | beside("module.encoder_q.fc.0.weight", "module.queue", "module.queue_ptr"),
        },
        "head, loss, second copy",
    ),
    "I-JEPA": (
        lambda own, other: {
            "encoder": behind("module.", other), "target_encoder": behind("module.", own),
            "predictor": beside("module.predictor_embed.weight"), "opt": {"state": {}},
            "scaler": None, "epoch": 3,
        },
        "",
    ),
    "BYOL (lucidrains)": (
        lambda own, other: behind("online_encoder.net.", own)
        | behind("target_encoder.net.", other)
        | beside("online_encoder.projector.net.0.weight", "online_predictor.net.0.weight"),
        "head, second copy",
    ),
    "BYOL (yaox12)": (
        lambda own, other: {
            "model": behind("online_network.encoder.", own)
            | behind("target_network.encoder.", other)
            | beside("online_network.projetion.0.weight", "predictor.net.0.weight"),
        },
        "head, second copy",
    ),
    "BYOL (sthalles)": (
        lambda own, other: {
            "target_network_state_dict": behind("encoder.", other) | beside("projetion.net.0.bias"),
            "online_network_state_dict": behind("encoder.", own) | beside("projetion.net.0.bias"),
            "optimizer_state_dict": {"state": {0: {"momentum_buffer": torch.ones(2)}}},
        },
        "head",
    ),
    "lightly": (
        lambda own, other: {
            "state_dict": behind("backbone.", own) | behind("backbone_momentum.", other)
            | beside("projection_head.layers.0.weight", "projection_head_momentum.layers.0.weight",
                     "criterion.memory_bank.bank"),
            "hyper_parameters": {"lr": 0.1}, "pytorch-lightning_version": "2.0.0",
        },
        "head, loss, second copy",
    ),
    "solo-learn": (
        lambda own, other: {
            "state_dict": behind("backbone.", own) | behind("momentum_backbone.", other)
            | beside("classifier.weight", "projector.0.weight", "momentum_projector.0.weight",
                     "prototypes.weight", "queue", "momentum_classifier.weight"),
        },
        "head, loss, second copy",
    ),
    "SwAV": (
        lambda own, _: behind("module.", own)
        | beside("module.projection_head.0.weight", "module.prototypes.weight"),
        "head",
    ),
    "MMCL, TIP": (
        lambda own, _: {
            "state_dict": behind("encoder_imaging.", own)
            | beside("encoder_tabular.encoder.0.weight", "projector_imaging.0.weight",
                     "projector_tabular.0.weight", "encoder_multimodal.layers.0.weight",
                     "itm_head.weight", "tabular_predictor.weight"),
        },
        "encoder of something else, head",
    ),
    "PanDerm, CAE": (
        lambda own, other: {
            "model": behind("encoder.", own) | behind("teacher.", other)
            | beside("mask_token", "rd.pos_embed.weight", "regressor_and_decoder.weight",
                     "encoder.head.weight"),
            "args": argparse.Namespace(),
        },
        "decoder, head, mask token, second copy",
    ),
    "open_clip": (
        lambda own, _: {
            "state_dict": behind("module.visual.trunk.", own)
            | beside("module.visual.head.proj.weight", "module.logit_scale",
                     "module.positional_embedding", "module.text_projection",
                     "module.token_embedding.weight", "module.ln_final.weight",
                     "module.transformer.resblocks.0.ln_1.weight"),
            "epoch": 3, "name": "run",
        },
        "head, loss, text tower",
    ),
    "timm": (
        lambda own, other: {
            "state_dict": {**own, **beside("head.weight", "head.bias")}, "state_dict_ema": other,
            "arch": "vit", "args": argparse.Namespace(), "metric": 0.3,
        },
        "head",
    ),
    "Lightning": (
        lambda own, _: {
            "state_dict": behind("model.net.", own) | beside("model.classifier.weight"),
            "callbacks": {}, "loops": {}, "optimizer_states": [{"state": {}}],
        },
        "head",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("code", FILES)
def test_a_file_of_each_code_loads_as_it_is(code: str, tmp_path: Path) -> None:
    lay, left_over = FILES[code]
    own, other = vit(1).state_dict(), vit(2).state_dict()
    torch.save(lay(dict(own), dict(other)), tmp_path / "w.pth")
    model = vit(0)
    receipt = load_weights_file_(model, tmp_path / "w.pth")
    assert receipt.loaded == 1.0
    for name, value in model.state_dict().items():
        assert torch.equal(value, own[name]), name
    assert sorted(text.partition(" (")[0] for text in receipt.left_over) == (
        left_over.split(", ") if left_over else []
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("DINOv2", {"prefix": "student.backbone"}),
        ("MoCo v3", {"prefix": "module.momentum_encoder."}),
        ("I-JEPA", {"key": "encoder"}),
        ("DINO, iBOT", {"key": "student"}),
        ("lightly", {"prefix": "backbone_momentum."}),
    ],
)
def test_the_other_copy_can_be_had(code: str, options: dict[str, str], tmp_path: Path) -> None:
    own, other = vit(1).state_dict(), vit(2).state_dict()
    torch.save(FILES[code][0](dict(own), dict(other)), tmp_path / "w.pth")
    model = vit(0)
    load_weights_file_(model, tmp_path / "w.pth", **options)
    for name, value in model.state_dict().items():
        assert torch.equal(value, other[name]), name


def test_every_layout_of_the_table_has_a_file_here() -> None:
    codes = {code.partition(" (")[0] for code in FILES}
    assert {layout.code for layout in LAYOUTS} - codes == {"transformers"}  # of other names


def test_a_place_in_a_file_is_of_a_layout() -> None:
    layout = find_layout("state_dict", "module.base_encoder.")
    assert layout is not None
    assert layout.code == "MoCo v3"
    assert find_layout("state_dict", "nothing.like.it.") is None


def test_every_kind_has_a_title() -> None:
    assert all(kind.title and kind.pattern for kind in KINDS)
