"""From an id to an encoder: sources, receipts, and what is refused with one line."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from helpers.tiny_encoders import export
from toolkit_common.backbones.contract import Backbone
from toolkit_common.backbones.exported import read_description
from toolkit_common.backbones.ids import parse_backbone_id
from toolkit_common.backbones.listing import read_shape
from toolkit_common.backbones.load import build_encoder, load_backbone
from toolkit_common.errors import InputError
from toolkit_common.runs.files import sha256_of

VIT = "timm:test_vit?image_size=64"


def state_of(backbone: Backbone) -> dict[str, torch.Tensor]:
    return dict(backbone.encoder.model.state_dict())


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


@pytest.mark.slow
def test_what_a_partial_file_leaves_open_depends_on_the_seed(tmp_path: Path) -> None:
    state = state_of(load_backbone(VIT, random_init=True))
    save_file({"pos_embed": state["pos_embed"]}, tmp_path / "w.safetensors")
    text = f"{VIT}&weights={tmp_path}/w.safetensors"
    one, same, other = (load_backbone(text, allow_partial=True, seed=seed) for seed in (0, 0, 1))
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()
    assert 0.0 < one.info.receipt.loaded < 0.1


def test_whose_input_and_activation_apply_to_a_file_is_said(tmp_path: Path) -> None:
    save_file(state_of(load_backbone(VIT, random_init=True)), tmp_path / "w.safetensors")
    text = f"{VIT}&weights={tmp_path}/w.safetensors"
    info = load_backbone(text).info
    (note,) = info.receipt.notes
    assert f"mean and std are those of {VIT} (&mean=imagenet" in note
    assert "the activation is GELU" in note
    assert info.preprocess.mean == (0.5, 0.5, 0.5)
    assert "unknown: a file does not say it" in info.card.objective
    own = load_backbone(f"{text}&mean=imagenet").info
    assert "mean and std are yours" in own.receipt.notes[0]
    assert own.preprocess.mean == (0.485, 0.456, 0.406)
    assert own.preprocess.std == (0.229, 0.224, 0.225)


def test_a_short_name_loads_what_it_stands_for(tmp_path: Path) -> None:
    own = tmp_path / "config/toolkit/encoders.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(
        f"mine: {{id: '{VIT}', weights: w.safetensors, mean: clip, "
        "crop_pct: 0.5, interpolation: bilinear, objective: mae}"
    )
    original = load_backbone(VIT, random_init=True, seed=3)
    save_file(state_of(original), own.with_name("w.safetensors"))
    backbone = load_backbone("mine")
    assert backbone.fingerprint() == original.fingerprint()
    info = backbone.info
    assert info.name == "mine"
    assert (info.preprocess.crop_pct, info.preprocess.interpolation) == (0.5, "bilinear")
    assert info.preprocess.mean == (0.48145466, 0.4578275, 0.40821073)
    assert info.card.ep == "patches"
    assert info.describe()[0].startswith(f"backbone: mine = {VIT}&weights=")
    control = load_backbone("mine", random_init=True).info
    assert control.receipt.is_random
    own.unlink()
    assert load_backbone(info.id).fingerprint() == original.fingerprint()


def test_what_a_name_lacks_on_this_machine_is_said() -> None:
    with pytest.raises(InputError, match=r"no weights at panderm_bb.*: download panderm_bb"):
        load_backbone("panderm-base")
    with pytest.raises(InputError, match="hf download chanwkim/monet"):
        load_backbone("monet")
    with pytest.raises(InputError, match=r"--random-init and \?weights= exclude each other"):
        load_backbone("monet?weights=own.pth", random_init=True)


@pytest.mark.parametrize("given", ["0", "-1", "nan"])
def test_a_crop_that_cannot_be_is_refused(given) -> None:
    with pytest.raises(InputError, match=f"crop_pct is a share of the resized side, got {given}"):
        load_backbone(f"timm:test_vit?crop_pct={given}", random_init=True)


def test_random_weights_and_a_file_exclude_each_other() -> None:
    with pytest.raises(InputError, match=r"--random-init and \?weights= exclude each other"):
        load_backbone("timm:test_vit?weights=a.pth", random_init=True)


@pytest.mark.parametrize("source", ["open_clip:ViT-B-32", "python:helpers.tiny_encoders:build_map"])
def test_an_input_size_that_is_fixed_cannot_be_requested(source: str) -> None:
    with pytest.raises(InputError, match=f"encoders have a fixed input: .* '{source}"):
        load_backbone(f"{source}?image_size=64")


def test_the_architecture_builds_the_same_encoder_untrained() -> None:
    encoder, _ = build_encoder(parse_backbone_id(VIT), random_init=True)
    again, _ = build_encoder(parse_backbone_id(encoder.facts.architecture), random_init=True)
    assert again.facts == encoder.facts
    assert again.preprocess == encoder.preprocess


def test_a_final_norm_can_be_left_out(tmp_path: Path) -> None:
    whole = load_backbone(VIT, random_init=True, seed=1)
    save_file(state_of(whole), tmp_path / "w.safetensors")
    cut = load_backbone(f"{VIT}&weights={tmp_path}/w.safetensors&final_norm=none")
    images = torch.rand(2, 3, 64, 64)
    raw, tokens = whole(images).raw, cut(images)
    assert raw is not None
    assert torch.equal(torch.cat([tokens.prefix, tokens.patches], 1), raw)
    assert not torch.equal(whole(images).patches, tokens.patches)
    assert not cut.info.facts.has_final_norm
    assert cut.fingerprint() != whole.fingerprint()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timm:resnet18?final_norm=none", "has no final norm that could be left out"),
        (f"{VIT}&final_norm=off", "final_norm=none leaves the final norm out, .* got 'off'"),
    ],
)
def test_a_norm_that_is_not_there_is_not_left_out(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_backbone(text, random_init=True)


@pytest.mark.parametrize("name", ["clip", "run.mae-1", "dinov2"])
def test_an_exported_encoder_is_read_by_its_own_card_whatever_its_folder_is_called(
    tmp_path: Path, name: str
) -> None:
    folder = export(tmp_path / name)
    own = read_description(folder).card
    assert own.objective == "unknown, taken as supervised"
    assert load_backbone(str(folder)).info.card == own
    shape = read_shape(str(folder))
    assert shape is not None
    assert shape.card == own
    changed = load_backbone(f"{folder}?tokens=patches").info.card
    assert (changed.ep, changed.objective) == ("patches", own.objective)


def test_an_exported_encoder_takes_no_other_objective(tmp_path: Path) -> None:
    folder = export(tmp_path / "run")
    with pytest.raises(InputError, match=r"run.objective=mae' says itself .*drop objective=; tok"):
        load_backbone(f"{folder}?objective=mae")


def test_an_exported_encoder_keeps_card_and_provenance(tmp_path: Path) -> None:
    folder = export(tmp_path / "run")
    info = load_backbone(str(folder)).info
    sums = {"config.json": sha256_of(folder / "config.json")}
    assert info.provenance == {"seed": 0, "files": sums}
    assert info.card.linear == "cls"
    assert info.id == str(tmp_path / "run")
