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


FAILING = """
import sys
from torch import nn

def exits(): sys.exit("usage: train.py CONFIG")
def quits(): exit(0)
def raises(): raise KeyError("weights")
def opens(): return open("no-such-weights.pt")

class Broken(nn.Module):
    def forward(self, images): raise RuntimeError("shapes")

def builds(): return Broken()
"""


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (
            "exits",
            r"'python:failing:exits' called exit\('usage: train.py CONFIG'\): it must",
        ),
        ("quits", r"'python:failing:quits' called exit\(0\)"),
        ("raises", r"'python:failing:raises' failed: KeyError: 'weights' \(.*failing.py:7\)"),
        ("opens", "'python:failing:opens' failed: FileNotFoundError: .*no-such-weights.pt"),
        ("builds", "'python:failing:builds' on an image of 224 x 224 failed: RuntimeError: shapes"),
    ],
)
def test_a_factory_that_exits_or_raises_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factory: str, message: str
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "failing", raising=False)
    (tmp_path / "failing.py").write_text(FAILING)
    with pytest.raises(InputError, match=message):
        load_backbone(f"python:failing:{factory}")


@pytest.mark.parametrize("source", ["raise ValueError('no GPU')", "import sys; sys.exit(3)"])
def test_a_module_that_fails_at_import_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "failing_at_import.py").write_text(source)
    with pytest.raises(InputError, match=r"import of 'python:failing_at.*:f' .*(no GPU|\(3\))"):
        load_backbone("python:failing_at_import:f")


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
        ("python:no_such_module:build", "import of .* No module named 'no_such_module'"),
        ("python:helpers.tiny_encoders:no_such", "cannot import .* has no 'no_such'"),
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
