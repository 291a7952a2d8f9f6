"""How an image encoder is made ready: checkpointing saves memory, compilation changes no value."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from helpers.slimp_problem import build_batch, build_model
from helpers.tiny_encoders import export, write_open_clip
from toolkit_common.backbones.exported import read_description
from toolkit_common.backbones.ids import parse_backbone_id
from toolkit_common.backbones.load import build_encoder
from toolkit_common.errors import InputError
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.training.start import checkpoint_gradients_, load_start


def kept_and_gradient(model):
    """Numbers that are kept for the backward pass, and the gradient of the first weights."""
    kept = 0

    def pack(tensor):
        nonlocal kept
        kept += tensor.numel()
        return tensor

    batch, side = build_batch(sizes=(2, 1)), model.image_encoder.preprocess.image_size[0]
    torch.manual_seed(0)
    images = torch.randn(3, 3, side, side, dtype=torch.float64)
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        features = model.encode(images, batch.lesions)
    model.nested_loss(features, batch.members).total.backward()
    return kept, next(model.image_encoder.parameters()).grad


@pytest.mark.slow
@pytest.mark.parametrize("text", ["timm:test_vit?image_size=32", "timm:test_convnext", "open_clip"])
def test_checkpointing_keeps_less_and_changes_no_gradient(text, tmp_path):
    text = write_open_clip(tmp_path / "vit", "vit") if text == "open_clip" else text
    whole, expected = kept_and_gradient(build_model(text).train())
    model = build_model(text).train()
    checkpoint_gradients_(model.image_encoder)
    less, actual = kept_and_gradient(model)
    assert less < 0.7 * whole
    torch.testing.assert_close(actual, expected)


def test_an_encoder_without_checkpointing_is_refused():
    encoder, _ = build_encoder(parse_backbone_id("timm:test_vit?image_size=32"), random_init=True)
    encoder.model = nn.Identity()
    with pytest.raises(InputError, match=r"'timm:test_vit.image_size=32' has no gradient check"):
        checkpoint_gradients_(encoder)


def test_an_exported_encoder_is_read_on_by_its_own_card(tmp_path):
    folder = export(tmp_path / "run.mae-clip", "timm:test_vit?image_size=32")
    start = load_start(SlimpSettings(backbone=str(folder)), None)
    assert start.card == read_description(folder).card
    assert start.card.objective == "unknown, taken as supervised"


COMPILED = """
import torch
from torch import nn
from toolkit_slimp.training.start import load_image_encoder
from toolkit_slimp.settings import SlimpSettings

original = nn.Module.compile
nn.Module.compile = lambda self, **options: original(self, backend="eager", **options)
settings = {"backbone": "timm:test_vit?image_size=32", "random_init": True}
plain, compiled = (
    load_image_encoder(SlimpSettings(**settings, compile=on))[1].train() for on in (False, True)
)
assert compiled._compiled_call_impl is not None
assert plain.state_dict().keys() == compiled.state_dict().keys()
for count in (2, 3, 5):
    images = torch.randn(count, 3, 32, 32)
    torch.testing.assert_close(compiled(images).prefix, plain(images).prefix)
assert not torch._dynamo.utils.counters["graph_break"]
"""


@pytest.mark.slow
def test_a_compiled_encoder_is_one_graph_and_computes_the_same_at_any_batch_size():
    """In a process of its own: run-time checks of shapes, which all tests have, break the graph.

    It is traced as torch.compile does, and run without its slow code generator.
    """
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
