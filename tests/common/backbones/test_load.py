"""From an id to an encoder: parsing, sources, receipts, and what is refused with one line."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from helpers.tiny_encoders import Returns, export
from toolkit_common.backbones.contract import Backbone, ImageEncoder
from toolkit_common.backbones.load import (
    ModuleEncoder,
    build_encoder,
    load_backbone,
    parse_backbone_id,
)
from toolkit_common.errors import InputError
from toolkit_common.images.transforms import Preprocess

VIT = "timm:test_vit?image_size=64"


def state_of(backbone: Backbone) -> dict[str, torch.Tensor]:
    return dict(backbone.encoder.model.state_dict())


# Ids


def test_an_id_has_a_source_a_name_and_options() -> None:
    parsed = parse_backbone_id("timm:vit_small?weights=~/a.pth&layers=1,-1&image_size=96")
    assert (parsed.source, parsed.name) == ("timm", "vit_small")
    assert parsed.weights == Path("~/a.pth").expanduser()
    assert (parsed.layers, parsed.image_size) == ((1, -1), 96)


def test_an_id_without_options_reads_the_last_layer_of_its_own_weights() -> None:
    parsed = parse_backbone_id("open_clip:ViT-B-32@openai")
    assert (parsed.source, parsed.name) == ("open_clip", "ViT-B-32@openai")
    assert (parsed.weights, parsed.layers, parsed.image_size) == (None, (-1,), None)


def test_a_folder_is_an_exported_encoder(tmp_path: Path) -> None:
    assert parse_backbone_id(str(tmp_path)).source == "exported"


def test_a_weights_path_is_taken_as_it_stands() -> None:
    parsed = parse_backbone_id("timm:x?weights=/data/c++/my%20file=1.pth")
    assert parsed.weights == Path("/data/c++/my%20file=1.pth")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timm:x?weight=a", r"unknown option 'weight' .* did you mean 'weights'\?"),
        ("timm:x?weights=", "option 'weights' in .* has no value"),
        ("timm:x?weights", "option 'weights' in .* has no value"),
        ("timm:x?layer=1&layer=2", "option 'layer' occurs twice"),
        ("timm:x?layer=1&layers=2", "layer and layers are one option"),
        ("timm:x?layers=last", "whole numbers, got 'last'"),
        ("timm:x?layers=1.5", "whole numbers, got '1.5'"),
        ("timm:x?layers=,", "whole numbers, got ','"),
        ("timm:x?image_size=0", r"side in pixels, got \(0,\)"),
        ("timm:x?image_size=-3", r"side in pixels, got \(-3,\)"),
        ("timm:x?image_size=32,64", r"side in pixels, got \(32, 64\)"),
        ("tim:vit", r"unknown backbone 'tim:vit': .* no source of \['exported', .* 'timm'\]"),
        ("nosuchfolder", "unknown backbone 'nosuchfolder': no such folder, .* 'timm:nosuchfolder'"),
    ],
)
def test_a_bad_id_is_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_backbone_id(text)


# Weights and receipts


def test_random_weights_are_reported_random() -> None:
    receipt = load_backbone(VIT, random_init=True).info.receipt
    assert receipt.is_random
    assert (receipt.source, receipt.loaded) == ("random", 0.0)


def test_random_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = load_backbone(VIT, random_init=True, seed=5)
    torch.manual_seed(2)
    second = load_backbone(VIT, random_init=True, seed=5)
    third = load_backbone(VIT, random_init=True, seed=6)
    assert first.fingerprint() == second.fingerprint() != third.fingerprint()


def test_loading_draws_nothing_from_the_global_stream() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load_backbone(VIT, random_init=True)
    assert torch.equal(torch.rand(3), expected)


def test_a_weights_file_fills_the_encoder(tmp_path: Path) -> None:
    original = load_backbone(VIT, random_init=True, seed=1)
    save_file(state_of(original), tmp_path / "w.safetensors")
    loaded = load_backbone(f"{VIT}&weights={tmp_path}/w.safetensors")
    assert loaded.fingerprint() == original.fingerprint()
    assert loaded.info.receipt.source == str(tmp_path / "w.safetensors")
    assert loaded.info.receipt.loaded == 1.0


def test_what_a_partial_file_leaves_open_depends_on_the_seed(tmp_path: Path) -> None:
    state = state_of(load_backbone(VIT, random_init=True))
    save_file({"pos_embed": state["pos_embed"]}, tmp_path / "w.safetensors")
    text = f"{VIT}&weights={tmp_path}/w.safetensors"
    one, same, other = (load_backbone(text, allow_partial=True, seed=seed) for seed in (0, 0, 1))
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()
    assert 0.0 < one.info.receipt.loaded < 0.1


def test_random_weights_and_a_file_exclude_each_other() -> None:
    with pytest.raises(InputError, match=r"--random-init and \?weights= exclude each other"):
        load_backbone("timm:test_vit?weights=a.pth", random_init=True)


@pytest.mark.parametrize("source", ["open_clip:ViT-B-32", "python:helpers.tiny_encoders:build_map"])
def test_an_input_size_that_is_fixed_cannot_be_asked_for(source: str) -> None:
    with pytest.raises(InputError, match=f"encoders have a fixed input: .* '{source}"):
        load_backbone(f"{source}?image_size=64")


def test_the_architecture_builds_the_same_encoder_untrained() -> None:
    encoder, _ = build_encoder(parse_backbone_id(VIT), random_init=True)
    again, _ = build_encoder(parse_backbone_id(encoder.facts.architecture), random_init=True)
    assert again.facts == encoder.facts
    assert again.preprocess == encoder.preprocess


def test_an_exported_encoder_keeps_card_and_provenance(tmp_path: Path) -> None:
    info = load_backbone(str(export(tmp_path / "run"))).info
    assert info.provenance == {"seed": 0}
    assert info.card.linear == "cls"
    assert info.id == str(tmp_path / "run")


# A user's own module


def test_a_feature_map_of_a_users_module_is_a_grid_of_patches() -> None:
    backbone = load_backbone("python:helpers.tiny_encoders:build_map")
    images = torch.randn(2, 3, 224, 224)
    feature_map = backbone.encoder.model(images)
    tokens = backbone(images)
    assert torch.equal(tokens.patches[1, 3 * 28 + 5], feature_map[1, :, 3, 5])
    assert backbone.info.receipt.source == "python:helpers.tiny_encoders:build_map"


def test_a_users_module_says_how_it_wants_its_images() -> None:
    module = nn.Conv2d(3, 4, 16, stride=16)
    module.preprocess = Preprocess(image_size=(32, 48))
    encoder = ModuleEncoder(module, name="mine")
    assert encoder.facts.grid == (2, 3)
    assert encoder.preprocess.image_size == (32, 48)


def test_square_tokens_of_a_users_module_are_a_grid() -> None:
    encoder = ModuleEncoder(Returns(torch.arange(18.0).view(1, 9, 2)), name="mine")
    assert (encoder.facts.grid, encoder.facts.embed_dim) == ((3, 3), 2)
    assert torch.equal(encoder(torch.zeros(1, 3, 224, 224)).patches, encoder.model.out)


def test_a_ready_encoder_of_a_user_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, _ = build_encoder(parse_backbone_id(VIT), random_init=True)
    monkeypatch.setattr("helpers.tiny_encoders.build_map", lambda: encoder)
    made, _ = build_encoder(parse_backbone_id("python:helpers.tiny_encoders:build_map"))
    assert isinstance(made, ImageEncoder)
    assert made is encoder


def test_a_module_in_the_working_folder_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", sys.path.copy())
    source = "from torch import nn\ndef build():\n    return nn.Conv2d(3, 4, 16, stride=16)\n"
    (tmp_path / "a_users_module.py").write_text(source)
    assert load_backbone("python:a_users_module:build").info.facts.grid == (14, 14)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (torch.zeros(1, 5), r"must return patch tokens .* got shape \(1, 5\)"),
        ((torch.zeros(1, 4, 5),), "must return patch tokens .* got tuple"),
        (torch.zeros(1, 12, 5), "returns 12 tokens, no square grid"),
    ],
)
def test_a_module_that_returns_no_patches_is_refused(out: object, message: str) -> None:
    with pytest.raises(InputError, match=f"'mine' {message}"):
        ModuleEncoder(Returns(out), name="mine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("python:no_such_module:build", "cannot import .* No module named 'no_such_module'"),
        ("python:helpers.tiny_encoders:no_such", "cannot import .* has no attribute 'no_such'"),
        ("python:collections:OrderedDict", "must return an nn.Module, got a OrderedDict"),
        ("python:math:pi", "must return an nn.Module, got a float"),
        ("python:", "expected python:MODULE:FACTORY, got 'python:'"),
        ("python:math", "expected python:MODULE:FACTORY, got 'python:math'"),
        ("python:.here:build", "expected python:MODULE:FACTORY, got 'python:.here:build'"),
    ],
)
def test_a_factory_that_gives_no_module_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_backbone(text)


def test_a_users_module_cannot_be_had_untrained() -> None:
    with pytest.raises(
        InputError, match=r"'python:helpers.tiny_encoders:build_map' brings its own weights"
    ):
        load_backbone("python:helpers.tiny_encoders:build_map", random_init=True)
