"""open_clip's vision towers: its own ViT, CoCa and ResNet, and timm trunks inside it."""

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from helpers.tiny_encoders import TOWERS, write_open_clip
from toolkit_common.backbones.contract import Backbone
from toolkit_common.backbones.exported import export_encoder
from toolkit_common.backbones.from_open_clip import OpenClipEncoder, find_quick_twin, open_clip
from toolkit_common.backbones.from_timm import TimmEncoder
from toolkit_common.backbones.load import load_backbone
from toolkit_common.errors import InputError
from toolkit_common.images.transforms import build_eval_transform

HALF = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "resize_mode": "squash"}


def with_clip(folder: Path, tower: str) -> tuple[Backbone, Any]:
    """The backbone, and open_clip's own model of the same weights."""
    text = write_open_clip(folder / tower, tower)
    return load_backbone(text), open_clip.create_model(f"local-dir:{folder / tower}").eval()


def images_for(backbone: Backbone) -> Tensor:
    draws = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, *backbone.info.preprocess.image_size, generator=draws)


# What is computed


@pytest.mark.parametrize("tower", ["vit", "pooler", "resnet"])
def test_the_pooled_output_is_the_image_embedding(tower: str, tmp_path: Path) -> None:
    backbone, clip = with_clip(tmp_path, tower)
    images = images_for(backbone)
    with torch.no_grad():
        expected = clip.encode_image(images)
    (tokens,) = backbone.forward_layers(images, pooled=True)
    torch.testing.assert_close(tokens.pooled, expected)


def test_patches_and_class_token_are_those_after_the_final_norm(tmp_path: Path) -> None:
    backbone, clip = with_clip(tmp_path, "vit")
    images = images_for(backbone)
    clip.visual.output_tokens = True
    with torch.no_grad():
        pooled, patches = clip.visual(images)
    tokens = backbone(images)
    torch.testing.assert_close(tokens.patches, patches)
    torch.testing.assert_close(tokens.prefix[:, 0] @ clip.visual.proj.data, pooled)


@pytest.mark.slow
@pytest.mark.parametrize("layers", ["?layers=1,2", "?layer=1", ""])
def test_the_final_norm_turns_raw_tokens_into_the_others(layers: str, tmp_path: Path) -> None:
    backbone = load_backbone(write_open_clip(tmp_path / "vit", "vit") + layers)
    norm = backbone.encoder.model.ln_post
    torch.nn.init.normal_(norm.weight)
    for tokens in backbone.forward_layers(images_for(backbone), pooled=not layers):
        assert tokens.raw is not None
        expected = torch.cat([tokens.prefix, tokens.patches], dim=1)
        torch.testing.assert_close(norm(tokens.raw), expected)
    assert not norm._forward_pre_hooks


@pytest.mark.parametrize("tower", ["pooler", "resnet"])
def test_a_tower_without_a_norm_behind_its_tokens_has_no_raw_ones(
    tower: str, tmp_path: Path
) -> None:
    backbone = load_backbone(write_open_clip(tmp_path / tower, tower))
    assert not backbone.info.facts.has_final_norm
    assert backbone(images_for(backbone)).raw is None


def test_the_tokens_of_coca_are_those_its_pooler_reads(tmp_path: Path) -> None:
    backbone, clip = with_clip(tmp_path, "pooler")
    images, seen = images_for(backbone), []
    clip.visual.attn_pool.register_forward_hook(lambda module, args, out: seen.append(args[0]))
    with torch.no_grad():
        clip.visual(images)
    tokens = backbone(images)
    torch.testing.assert_close(torch.cat([tokens.prefix, tokens.patches], 1), seen[0])
    assert backbone.info.card.linear == "mean"


def test_the_class_token_of_a_timm_trunk_is_no_patch(tmp_path: Path) -> None:
    backbone, clip = with_clip(tmp_path, "trunk")
    assert isinstance(backbone.encoder, TimmEncoder)
    images = images_for(backbone)
    with torch.no_grad():
        expected = clip.visual.trunk.forward_features(images)
    tokens = backbone(images)
    torch.testing.assert_close(tokens.prefix, expected[:, :1])
    torch.testing.assert_close(tokens.patches, expected[:, 1:])


def test_facts_are_those_of_the_tower(tmp_path: Path) -> None:
    facts = load_backbone(write_open_clip(tmp_path / "vit", "vit")).info.facts
    assert (facts.embed_dim, facts.depth, facts.pooled_dim) == (32, 3, 24)
    assert facts.pools_class_token
    assert not facts.has_attention_pool
    assert not facts.is_convolutional


def test_building_leaves_the_mode_as_it_was() -> None:
    clip = open_clip.CLIP(24, TOWERS["vit"], {"vocab_size": 8, "width": 8, "layers": 1, "heads": 1})
    preprocess = load_backbone("timm:test_vit?image_size=32", random_init=True).info.preprocess
    OpenClipEncoder(clip.visual.train(), architecture="x", preprocess=preprocess)
    assert clip.visual.training


# Input


@pytest.mark.parametrize(
    "wanted",
    [{}, HALF, {"interpolation": "bilinear"}, {"size": [32, 32], "interpolation": "bicubic"}],
    ids=str,
)
def test_images_are_prepared_as_open_clip_prepares_them(wanted: Any, tmp_path: Path) -> None:
    text = write_open_clip(tmp_path / "vit", "vit", **wanted)
    preprocess = load_backbone(text).info.preprocess
    *_, theirs = open_clip.create_model_and_transforms(text.removeprefix("open_clip:"))
    ours, rng = build_eval_transform(preprocess), np.random.default_rng(0)
    for size in [(301, 97), (97, 301), (32, 32), (5, 640), (1, 1)]:
        image = Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8))
        normalised = preprocess.normalize(ours(image).unsqueeze(0))[0]
        torch.testing.assert_close(normalised, theirs(image), rtol=0, atol=1e-6)


def test_a_model_that_wants_borders_is_refused(tmp_path: Path) -> None:
    text = write_open_clip(tmp_path / "vit", "vit", resize_mode="longest")
    with pytest.raises(InputError, match="padded to a border"):
        load_backbone(text)


@pytest.mark.slow
def test_a_tag_decides_normalisation_and_resizing_even_without_its_weights() -> None:
    tagged = load_backbone("open_clip:ViT-S-32-alt", random_init=True).info
    assert tagged.preprocess.mean == open_clip.OPENAI_DATASET_MEAN
    siglip = load_backbone("open_clip:MobileCLIP-S1@datacompdr", random_init=True).info
    assert siglip.preprocess.mean == (0.0, 0.0, 0.0)
    assert siglip.preprocess.interpolation == "bilinear"


@pytest.mark.slow
@pytest.mark.parametrize(("tag", "activation"), [("@openai", "QuickGELU"), ("", "GELU")])
def test_a_tag_decides_the_activation(tag: str, activation: str) -> None:
    """open_clip only warns where weights were trained with QuickGELU and the model has GELU."""
    info = load_backbone(f"open_clip:ViT-B-32{tag}", random_init=True)
    kinds = {type(module).__name__ for module in info.modules() if "GELU" in type(module).__name__}
    assert kinds == {activation}
    assert info.info.facts.architecture == f"open_clip:ViT-B-32{tag}"


# Weights


@pytest.mark.parametrize("tower", ["vit", "trunk"])
def test_a_whole_clip_model_fills_its_vision_tower(tower: str, tmp_path: Path) -> None:
    text = write_open_clip(tmp_path / tower, tower)
    file = tmp_path / tower / "open_clip_model.safetensors"
    backbone = load_backbone(f"{text}?weights={file}")
    assert backbone.fingerprint() == load_backbone(text).fingerprint()
    assert backbone.info.receipt.loaded == 1.0


def test_the_text_tower_never_stands_in_for_the_vision_tower(tmp_path: Path) -> None:
    text, name = write_open_clip(tmp_path / "vit", "vit"), "transformer.resblocks.0.ln_1.weight"
    state = load_file(tmp_path / "vit" / "open_clip_model.safetensors")
    state[name] = state.pop(f"visual.{name}")
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=f"1 missing \\(first: {name}\\)"):
        load_backbone(f"{text}?weights={tmp_path}/w.safetensors")


def test_a_folder_without_weights_is_not_taken_for_pretrained(tmp_path: Path) -> None:
    text = write_open_clip(tmp_path / "vit", "vit")
    (tmp_path / "vit" / "open_clip_model.safetensors").unlink()
    with pytest.raises(InputError, match=f"cannot build {text}: Required pretrained weights"):
        load_backbone(text)
    assert load_backbone(text, random_init=True).info.receipt.is_random


def test_a_folder_with_a_part_of_the_weights_is_refused(tmp_path: Path) -> None:
    text = write_open_clip(tmp_path / "vit", "vit")
    file = tmp_path / "vit" / "open_clip_model.safetensors"
    state = load_file(file)
    del state["visual.ln_post.weight"]
    save_file(state, file)
    with pytest.raises(InputError, match=f"cannot build {text}: Error"):
        load_backbone(text)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config file missing: .*open_clip_config\.json"):
        load_backbone(f"open_clip:local-dir:{tmp_path}", random_init=True)


@pytest.mark.slow
def test_weights_that_are_not_here_are_reported_in_one_line() -> None:
    name = "open_clip:ViT-B-32@openai"
    with pytest.raises(InputError, match=f"no weights for {name} in the local cache") as caught:
        load_backbone(name)
    assert f"{name}?weights=FILE, or --random-init" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("open_clip:ViT-B-32@opnai", "'ViT-B-32' has no weights 'opnai'; did you mean 'openai'"),
        ("open_clip:ViT-B32@openai", "unknown open_clip model 'ViT-B32'; did you mean 'ViT-B-32'"),
        ("open_clip:ViT-B-32", "names no weights: use open_clip:ViT-B-32@TAG"),
        ("open_clip:ViT-B-32@openai?image_size=64", "open_clip encoders have a fixed input"),
    ],
)
def test_a_name_that_does_not_exist_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_backbone(text)


def test_the_log_level_is_put_back(caplog: pytest.LogCaptureFixture) -> None:
    before = logging.getLogger().level
    with pytest.raises(InputError):
        load_backbone("open_clip:ViT-B-32@openai")
    assert logging.getLogger().level == before
    assert not caplog.records


def test_openais_weights_are_of_a_model_of_another_name() -> None:
    assert find_quick_twin("ViT-B-32") == "ViT-B-32-quickgelu"
    assert find_quick_twin("ViT-B-16-SigLIP") is None


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a cache of the Hub that holds a model `lab/derm`, as the Hub's library lays it out."""
    folder = tmp_path / "hub/models--lab--derm"
    write_open_clip(folder / "snapshots/abc", "vit", mean=[0.1, 0.2, 0.3])
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return folder / "snapshots/abc"


def test_a_model_of_the_hubs_cache_is_read_with_its_config(hub: Path) -> None:
    backbone = load_backbone("open_clip:hf-hub:lab/derm")
    local = load_backbone(f"open_clip:local-dir:{hub}")
    assert backbone.info.preprocess == local.info.preprocess
    assert backbone.info.preprocess.mean == (0.1, 0.2, 0.3)
    for name, value in backbone.encoder.model.state_dict().items():
        assert torch.equal(value, local.encoder.model.state_dict()[name]), name
    assert "the activation is GELU, as the Hub's config says" in backbone.info.receipt.notes


def test_an_export_of_it_needs_no_hub(hub: Path, tmp_path: Path) -> None:
    text = "open_clip:hf-hub:lab/derm"
    backbone = load_backbone(text)
    export_encoder(
        tmp_path / "export", backbone.encoder, architecture=text, card=backbone.info.card,
        provenance={},
    )  # fmt: skip
    shutil.rmtree(hub)
    again = load_backbone(str(tmp_path / "export"))
    for name, value in again.encoder.model.state_dict().items():
        assert torch.equal(value, backbone.encoder.model.state_dict()[name]), name


def test_without_the_hub_the_command_that_fetches_is_named() -> None:
    with pytest.raises(InputError, match="hf download nobody/nothing where it can"):
        load_backbone("open_clip:hf-hub:nobody/nothing")
