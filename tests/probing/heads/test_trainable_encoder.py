"""Encoders that are tuned with their head: what moves, what stays, what is saved and read back."""

import random
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from helpers.kills import run_forked
from helpers.ranks import run_ranks
from helpers.small_data import build_data, image_bytes
from helpers.tiny_encoders import write_open_clip
from toolkit_common.backbones.contract import Backbone
from toolkit_common.backbones.load import load_backbone
from toolkit_common.errors import InputError
from toolkit_common.features.encode import Extraction, OnlineSource, RowEncoder, RowImages
from toolkit_common.runs.folder import RunFolder
from toolkit_common.training.distributed import build_accelerator
from toolkit_probing.heads.bank import HeadBank
from toolkit_probing.heads.head import Head, HeadSpec
from toolkit_probing.heads.inputs import read_source
from toolkit_probing.heads.trainable_encoder import (
    Tuning,
    build_tuned_head,
    load_tuned_encoder_,
    save_tuned_encoder,
    tuned_parameters,
)
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.training.checkpoint import Record
from toolkit_probing.training.examples import Examples
from toolkit_probing.training.loop import train_bank

VIT = "timm:test_vit?image_size=32"
LORA, FULL = Tuning("lora", 2), Tuning("full")
SPEC = HeadSpec("ep", 6, "patches", 0.5, 0, {"num_queries": 4})
NUM_ROWS = 16
SETTINGS = ProbeSettings(
    epochs=2, warmup_epochs=0.0, batch_size=8, optimizer="sgd", encoder_lr=0.05, clip_grad=1.0,
)  # fmt: skip


def backbone(text: str = VIT) -> Backbone:
    return load_backbone(text, random_init=True)


def head(dim: int = 64) -> Head:
    return Head(None, dim=dim, num_classes=2)


def tuned(tuning: Tuning, of: Backbone | None = None, **changes):
    how = {"source": "cls", "seed": 0, "rows_at_once": 64, **changes}
    return build_tuned_head(of or backbone(), head(), tuning, **how)


def images(count: int = 4) -> Tensor:
    draws = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, 32, 32), generator=draws, dtype=torch.uint8)


def train(
    tuning: Tuning, folder: Path, accelerator: Accelerator | None = None, **changes
) -> HeadBank:
    """Two epochs of a head and its encoder on 16 images."""
    accelerator = accelerator or build_accelerator(device="cpu")
    data = build_data("ab" * (NUM_ROWS // 2), images=[image_bytes(row) for row in range(NUM_ROWS)])
    start, rows = backbone(), np.arange(NUM_ROWS)
    how = Extraction(folder, batch_size=8)
    sample = next(RowEncoder(start, data, how, accelerator).batches(rows[:2]))

    def wrap(spec, made):
        return build_tuned_head(start, made, tuning, source=spec.source, seed=0, rows_at_once=3)

    bank = HeadBank([SPEC], sample, num_classes=2, wrap=wrap)
    folder.mkdir(parents=True, exist_ok=True)
    source = OnlineSource(RowImages(start, data, how, accelerator), rows)
    examples = Examples(source, rows % 2, rows[:12], rows[12:])
    settings = SETTINGS.model_copy(update={"tune": tuning.kind, **changes})
    record = Record(RunFolder(folder))
    train_bank(bank, examples, settings, compute=accelerator, record=record)
    return bank


@pytest.mark.slow
def test_lora_begins_as_the_frozen_encoder():
    start = backbone()
    batch = start.info.preprocess.normalize(images())
    actual, expected = tuned(LORA, start).read(images()), start(batch).prefix[:, 0]
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_lora_trains_its_own_matrices_and_leaves_the_rest_to_the_bit(tmp_path):
    encoder = train(LORA, tmp_path / "run").encoder(SPEC.key)
    before = backbone().encoder.state_dict()
    after = {
        name.replace("base_layer.", ""): value
        for name, value in encoder.state_dict().items()
        if "lora_" not in name
    }
    assert set(after) == set(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    adapters = {name: item for name, item in encoder.named_parameters() if "lora_B" in name}
    assert len(adapters) == 2 * 6
    assert all(item.abs().sum() > 0 for item in adapters.values())
    wide, rank = 64, 2
    assert tuned_parameters(encoder) == 6 * rank * ((wide + 3 * wide) + (wide + wide))


@pytest.mark.slow
def test_full_tuning_trains_all_that_is_read_and_no_backbone(tmp_path):
    start = backbone()
    fingerprint = start.fingerprint()
    whole = tuned(FULL, start)
    assert tuned_parameters(whole.encoder) == sum(p.numel() for p in start.encoder.parameters())
    encoder = train(FULL, tmp_path / "run").encoder(SPEC.key)
    before = backbone().encoder.state_dict()
    moved = [name for name, value in encoder.named_parameters() if not value.equal(before[name])]
    assert "model.patch_embed.proj.weight" in moved
    assert "model.blocks.5.attn.qkv.weight" in moved
    assert (backbone().fingerprint(), start.encoder.training) == (fingerprint, False)
    assert not any(item.requires_grad for item in start.encoder.parameters())


def test_what_is_not_read_is_not_counted_as_tuned():
    convolutional = tuned(FULL, backbone("timm:test_resnet?image_size=64"), source="mean")
    frozen = [n for n, p in convolutional.encoder.named_parameters() if not p.requires_grad]
    assert frozen == []
    norms = [m for m in convolutional.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert not any(item.training for item in norms)


@pytest.mark.slow
@pytest.mark.parametrize("tuning", [LORA, FULL])
def test_rows_at_once_change_neither_logits_nor_gradient(tuning):
    outcomes = []
    for rows_at_once in (64, 3):
        whole = tuned(tuning, rows_at_once=rows_at_once)
        whole.head.load_state_dict(head_state())
        logits = whole(images(8))
        logits.square().sum().backward()
        gradients = [p.grad for p in whole.parameters() if p.requires_grad]
        outcomes.append([logits, *gradients])
    for one, other in zip(*outcomes, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-4)


def head_state():
    torch.manual_seed(0)
    return head().state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("tuning", [LORA, FULL])
def test_a_tuned_encoder_is_read_back_to_the_bit(tuning, tmp_path):
    bank = train(tuning, tmp_path / "run")
    encoder = bank.encoder(SPEC.key)
    save_tuned_encoder(tmp_path / "tuned.safetensors", encoder, tuning)
    again = backbone().encoder
    load_tuned_encoder_(again, tmp_path / "tuned.safetensors")
    batch = again.preprocess.normalize(images())
    with torch.no_grad():
        assert torch.equal(again(batch).patches, encoder(batch).patches)
    assert not any(item.requires_grad for item in again.parameters())


def test_files_of_no_tuned_encoder_are_refused(tmp_path):
    path = tmp_path / "tuned.safetensors"
    with pytest.raises(InputError, match=r"cannot read the tuned encoder .*tuned\.safetensors"):
        load_tuned_encoder_(backbone().encoder, path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(InputError, match=r"cannot read the tuned encoder .*tuning"):
        load_tuned_encoder_(backbone().encoder, path)
    for text, why in (("{", "is damaged, no JSON"), ('{"kind": "all"}', "kind: input should be")):
        save_file({"a": torch.zeros(1)}, path, metadata={"tuning": text})
        with pytest.raises(InputError, match=rf"tuned\.safetensors.*{why}"):
            load_tuned_encoder_(backbone().encoder, path)
    save_tuned_encoder(path, tuned(FULL).encoder, FULL)
    with pytest.raises(InputError, match=r"is of another encoder: .* does not fit"):
        load_tuned_encoder_(backbone("timm:test_vit3?image_size=32").encoder, path)


def test_encoders_that_lora_cannot_tune_are_refused(tmp_path, monkeypatch):
    for text in ("timm:test_resnet?image_size=64", write_open_clip(tmp_path / "clip", "vit")):
        with pytest.raises(InputError, match=rf"of timm ViTs, and {text[:12]}.* has none: use"):
            tuned(LORA, backbone(text), source="mean")
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InputError, match=r"pip install 'toolkit-probing\[tune\]'"):
        tuned(LORA)


class PastItsLayer(nn.Module):
    """Attention that multiplies by its layer's weight itself, as BEiT's and EVA's do."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.Module()
        self.attn.qkv = nn.Linear(8, 8)
        self.embed = nn.Conv2d(3, 8, 16, stride=16)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.embed(x).flatten(2).transpose(1, 2)
        return nn.functional.linear(patches, self.attn.qkv.weight, self.attn.qkv.bias)


def build_past() -> nn.Module:
    return PastItsLayer()


def test_attention_that_goes_past_its_layers_is_refused_not_left_untuned():
    bypassing = load_backbone(f"python:{__name__}:build_past")
    with pytest.raises(InputError, match=r"does not reach model\.attn\.qkv of python:"):
        tuned(LORA, bypassing, source="mean")


@pytest.mark.slow
def test_training_killed_at_any_moment_ends_with_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr("toolkit_probing.training.checkpoint.SAVE_EVERY_S", 0.0)

    def run(name: str) -> None:
        bank = train(LORA, tmp_path / name)
        torch.save(bank.state_dict(), tmp_path / f"{name}.pt")

    begin = time.monotonic()
    assert run_forked(lambda: run("whole"))
    whole_s = time.monotonic() - begin
    draws, kills = random.Random(0), 0
    while kills < 4:
        if run_forked(lambda: run("cut"), kill_after_s=draws.uniform(0.2, 0.8) * whole_s):
            shutil.rmtree(tmp_path / "cut")
        else:
            kills += 1
    assert run_forked(lambda: run("cut"))
    expected, actual = (
        torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("whole", "cut")
    )
    assert all(torch.equal(expected[name], actual[name]) for name in expected)


@pytest.mark.slow
def test_tuning_that_diverges_says_so(tmp_path):
    with pytest.raises(InputError, match=r"norm is (nan|inf), .* lower --encoder-lr"):
        train(FULL, tmp_path / "run", encoder_lr=1e30, epochs=8)


@pytest.mark.dist
@pytest.mark.parametrize("tuning", [LORA, FULL])
def test_two_processes_tune_as_one_does(tuning, tmp_path):
    def run(folder: str):
        return lambda accelerator: train(tuning, tmp_path / folder, accelerator).state_dict()

    (one,) = run_ranks(run("one"), num_ranks=1)
    two, other = run_ranks(run("two"))
    for name, value in one.items():
        assert torch.equal(two[name], other[name]) or "running" in name
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_all_tokens_are_read_as_probes_read_them():
    start = backbone()
    kept = next(
        RowEncoder(start, build_data("ab"), Extraction(Path()), build_accelerator(device="cpu"))
        .batches(np.arange(2))
    )[6]  # fmt: skip
    pixel = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    for source in ("all", "patches", "cls", "mean", "cls_raw"):
        actual = tuned(FULL, start, source=source).read(pixel)
        torch.testing.assert_close(actual, read_source(kept, source), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_run_saves_head_and_adapter_apart(tmp_path):
    bank = train(LORA, tmp_path / "run")
    save_tuned_encoder(tmp_path / "e.safetensors", bank.encoder(SPEC.key), LORA)
    assert all("lora_" in name for name in load_file(tmp_path / "e.safetensors"))
