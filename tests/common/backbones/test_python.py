"""A user's own encoders: what is read of them, and what is refused."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from helpers.tiny_encoders import Returns
from toolkit_common.backbones.contract import ImageEncoder
from toolkit_common.backbones.ids import parse_backbone_id
from toolkit_common.backbones.load import build_encoder, load_backbone
from toolkit_common.backbones.python import ModuleEncoder
from toolkit_common.errors import InputError
from toolkit_common.images.transforms import Preprocess

VIT = "timm:test_vit?image_size=64"


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
