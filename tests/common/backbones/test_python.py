"""A user's own encoders: what is read of them, and what is refused."""

import copy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

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
import errno, sys
import torch
from torch import nn

def exits(): sys.exit("usage: train.py CONFIG")
def quits(): exit(0)
def raises(): raise KeyError("weights")
def opens(): return open("no-such-weights.pt")

def leaves(): raise GeneratorExit("at once")
def interrupts(): raise KeyboardInterrupt
def lacks_memory(): raise MemoryError
def fills_disk(): raise OSError(errno.ENOSPC, "no space")
def fills_gpu(): raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

class Broken(nn.Module):
    def forward(self, images): raise RuntimeError("shapes")

def builds(): return Broken()
"""


def write_failing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a module of factories that fail, to be imported anew."""
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "failing", raising=False)
    (folder / "failing.py").write_text(FAILING)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (
            "exits",
            r"'python:failing:exits' called exit\('usage: train.py CONFIG'\): it must",
        ),
        ("quits", r"'python:failing:quits' called exit\(0\)"),
        ("raises", r"'python:failing:raises' failed: KeyError: 'weights' \(.*failing.py:8\)"),
        ("opens", "'python:failing:opens' failed: FileNotFoundError: .*no-such-weights.pt"),
        ("leaves", "'python:failing:leaves' failed: GeneratorExit: at once"),
        ("builds", "'python:failing:builds' on an image of 224 x 224 failed: RuntimeError: shapes"),
    ],
)
def test_a_factory_that_exits_or_raises_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factory: str, message: str
) -> None:
    write_failing(tmp_path, monkeypatch)
    with pytest.raises(InputError, match=message):
        load_backbone(f"python:failing:{factory}")


@pytest.mark.parametrize(
    ("factory", "error"),
    [
        ("interrupts", KeyboardInterrupt),
        ("lacks_memory", MemoryError),
        ("fills_disk", OSError),
        ("fills_gpu", torch.OutOfMemoryError),
    ],
)
def test_what_is_not_the_factorys_fault_stays_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factory: str, error: type[BaseException]
) -> None:
    write_failing(tmp_path, monkeypatch)
    with pytest.raises(error):
        load_backbone(f"python:failing:{factory}")


class Changing(nn.Module):
    """Gives a proper map on the trial, which is an image of zeros, and then does as told."""

    def __init__(self, then: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.convolution, self.then = nn.Conv2d(3, 8, 16, stride=16), then

    def forward(self, images: Tensor) -> object:
        out = self.convolution(images)
        return self.then(out) if images.any() else out


def fails(out: Tensor) -> object:
    raise KeyError("late")


@pytest.mark.parametrize(
    ("then", "message"),
    [
        (fails, r"failed: KeyError: 'late' \(.*test_python.py:\d+\)"),
        (lambda out: sys.exit(0), r"called exit\(0\): it must"),
        (lambda out: out.detach().numpy(), "must return patch tokens .* got ndarray"),
        (lambda out: out[:1], r"must return patch .* got torch.float32 of \(1, 8, 4, 4\)"),
        (lambda out: out.long(), "must return patch .* got torch.int64"),
        (lambda out: out[:, :4], "returns 4 wide on 4 x 4, and first returned 8 wide on 4 x 4"),
        (lambda out: out[..., :2], "returns 8 wide on 4 x 2, and first returned 8 wide on 4 x 4"),
    ],
)
def test_a_module_that_fails_on_a_later_image_is_named(
    then: Callable[[Tensor], object], message: str
) -> None:
    module = Changing(then)
    module.preprocess = Preprocess(image_size=(64, 64))
    encoder = ModuleEncoder(module, name="mine")
    with pytest.raises(InputError, match=f"'mine' (on 2 images of 64 x 64 )?{message}"):
        encoder(torch.ones(2, 3, 64, 64))


@pytest.mark.parametrize("given", [5, None])
def test_a_preprocess_that_is_none_is_refused(given: object) -> None:
    module = nn.Conv2d(3, 4, 16, stride=16)
    module.preprocess = given
    kind = type(given).__name__
    with pytest.raises(InputError, match=f"'mine' has a `preprocess` .*Preprocess: {kind}"):
        ModuleEncoder(module, name="mine")


class Ready(ImageEncoder):
    """An encoder of a user's own, as far as it is told what it is."""

    def __init__(self, **parts: object) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)

    def forward_layers(self, images, layers, *, pooled=False):
        return self.out()


READY, _ = build_encoder(parse_backbone_id(VIT), random_init=True)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "has `facts` that are no EncoderFacts: NoneType"),
        ({"facts": READY.facts}, "has a `preprocess` that is no .*Preprocess: NoneType"),
        (
            {"facts": READY.facts, "preprocess": READY.preprocess, "out": exit},
            r"on an image of 64 x 64 called exit\(None\)",
        ),
        (
            {"facts": READY.facts, "preprocess": READY.preprocess, "out": list},
            "must return a list of Tokens, one a layer",
        ),
    ],
)
def test_a_ready_encoder_that_breaks_the_contract_is_named(
    monkeypatch: pytest.MonkeyPatch, parts: dict[str, object], message: str
) -> None:
    monkeypatch.setattr("helpers.tiny_encoders.build_map", lambda: Ready(**parts))
    with pytest.raises(InputError, match=f"'python:helpers.tiny_encoders:build_map' {message}"):
        load_backbone("python:helpers.tiny_encoders:build_map")


def test_a_ready_encoder_that_fails_on_a_later_image_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter([READY.forward_layers(torch.zeros(1, 3, 64, 64), (READY.facts.depth,))])
    ready = Ready(facts=READY.facts, preprocess=READY.preprocess, out=lambda: next(answers))
    monkeypatch.setattr("helpers.tiny_encoders.build_map", lambda: ready)
    backbone = load_backbone("python:helpers.tiny_encoders:build_map")
    message = r"build_map' on 2 images of 64 x 64 failed: StopIteration: .*test_python.py:\d+\)"
    for encoder in (backbone, copy.deepcopy(backbone.encoder)):
        with pytest.raises(InputError, match=message):
            encoder(torch.ones(2, 3, 64, 64))


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
        (torch.zeros(1, 5), r"must return patch tokens .* got torch.float32 of \(1, 5\)"),
        ((torch.zeros(1, 4, 5),), "must return patch tokens .* got tuple"),
        (torch.zeros(1, 12, 5), "returns 12 tokens, no square grid"),
    ],
)
def test_a_module_that_returns_no_patches_is_refused(out: object, message: str) -> None:
    with pytest.raises(InputError, match=f"'mine' (on an image of 224 x 224 )?{message}"):
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
