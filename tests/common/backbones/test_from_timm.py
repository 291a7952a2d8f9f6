"""timm's models: strict loading, messages where weights cannot be had, the input they want."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from helpers.tiny_encoders import write_timm
from toolkit_common.backbones.from_timm import TimmEncoder, build_timm_model, preprocess_of, timm
from toolkit_common.backbones.load import load_backbone
from toolkit_common.errors import InputError
from toolkit_common.images.transforms import build_eval_transform

# Weights


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_efficientnet", "test_convnext"])
def test_pretrained_weights_arrive_and_the_classifier_goes(name: str, tmp_path: Path) -> None:
    heads = {"test_vit": "head", "test_resnet": "fc", "test_efficientnet": "classifier"}
    head = heads.get(name, "head.fc")
    backbone = load_backbone(write_timm(tmp_path / "m", name, classifier=head))
    stored = load_file(tmp_path / "m" / "model.safetensors")
    state = backbone.encoder.model.state_dict()
    untrained = timm.create_model(name, num_classes=0).state_dict()
    assert set(state) == set(untrained) == {key for key in stored if not key.startswith(head)}
    assert all(torch.equal(value, stored[key]) for key, value in state.items())
    assert backbone.info.receipt.loaded == 1.0


def test_weights_that_lack_a_part_are_refused(tmp_path: Path) -> None:
    text = write_timm(tmp_path / "m", "test_vit", without="blocks.3.")
    with pytest.raises(InputError, match=r"do not fit it: .* Missing key.* \"blocks.3."):
        load_backbone(text)


def test_a_folder_whose_config_timm_asserts_about_is_one_line(tmp_path: Path) -> None:
    config = {"architecture": "test_vit", "pretrained_cfg": {"input_size": [3, 32]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"cannot be built \(AssertionError.*config\.json"):
        load_backbone(f"timm:local-dir:{tmp_path}?image_size=32", random_init=True)


def test_position_tables_follow_the_requested_size(tmp_path: Path) -> None:
    text = write_timm(tmp_path / "m", "test_vit")
    facts = load_backbone(f"{text}?image_size=64").info.facts
    assert facts.grid == (4, 4)
    assert facts.architecture == f"{text}?image_size=64"


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"cannot read timm:local-dir:{tmp_path}: .*config.json"):
        load_backbone(f"timm:local-dir:{tmp_path}")
    with pytest.raises(InputError, match=f"no folder at {tmp_path}/absent"):
        load_backbone(f"timm:local-dir:{tmp_path}/absent")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["vit_small_patch16_224", "vit_base_patch16_224.mae", "resnet18?image_size=64"]
)
def test_weights_that_are_not_here_are_reported_in_one_line(name: str) -> None:
    plain = name.partition("?")[0]
    with pytest.raises(
        InputError, match=f"no weights for timm:{plain} in the local cache"
    ) as caught:
        load_backbone(f"timm:{name}")
    assert f"timm:{plain}?weights=FILE.safetensors, or --random-init" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_misspelt_name_gets_the_nearest_names() -> None:
    message = "unknown timm model 'vit_smal_patch16_224'; did you mean 'vit_small_patch16_224'"
    with pytest.raises(InputError, match=message):
        load_backbone("timm:vit_smal_patch16_224")


@pytest.mark.parametrize("random_init", [True, False])
def test_a_wrong_tag_gets_the_tags_there_are(random_init: bool) -> None:
    with pytest.raises(InputError, match=r"no such weights: .*\(nosuch\).* choose from") as caught:
        load_backbone("timm:vit_small_patch16_224.nosuch", random_init=random_init)
    assert "vit_small_patch16_224.dino" in str(caught.value)


def test_an_architecture_without_any_weights_says_so() -> None:
    with pytest.raises(InputError, match=r"no such weights: No pretrained weights exist .*none"):
        load_backbone("timm:test_vit4")


# Shapes that do not fit


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "reason"),
    [
        ("test_vit", 100, "divisible by patch size"),
        ("test_vit", 7, "divisible by patch size"),
        ("test_maxvit", 100, "divisible by window"),
        ("hiera_tiny_224", 100, "invalid for input of size"),
    ],
)
def test_a_size_that_a_model_cannot_take_is_reported(name: str, size: int, reason: str) -> None:
    with pytest.raises(InputError, match=f"timm:{name} cannot take image_size={size}: .*{reason}"):
        load_backbone(f"timm:{name}?image_size={size}", random_init=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("crossvit_tiny_240", "its features are list"),
        ("coat_lite_tiny", r"its features are \(1, 50, 320\), its last grid 7 x 7"),
        ("pit_ti_224", r"its features are \(1, 1, 256\), its last grid 7 x 7"),
    ],
)
def test_a_model_without_one_grid_is_refused(name: str, printed: str) -> None:
    with pytest.raises(
        InputError, match=f"'timm:{name}' has no single grid of patch tokens.*{printed}"
    ):
        load_backbone(f"timm:{name}", random_init=True)


def test_a_module_that_gives_no_tokens_is_refused() -> None:
    model = nn.Conv2d(3, 1, 1)
    model.pretrained_cfg = {"input_size": (3, 8, 8)}
    with pytest.raises(InputError, match="'mine' has no patch tokens to read"):
        TimmEncoder(model, architecture="mine")


def test_an_encoder_without_a_head_is_refused() -> None:
    model = build_timm_model("test_vit", pretrained=False)

    def no_head(*args: object, **kwargs: object) -> None:
        raise NotImplementedError("no classification")

    model.forward_head = no_head
    with pytest.raises(InputError, match=r"'mine' has no pooled output \(no classification\)"):
        TimmEncoder(model, architecture="mine")


def test_building_leaves_the_mode_as_it_was() -> None:
    model = build_timm_model("test_vit", pretrained=False).train()
    assert TimmEncoder(model, architecture="timm:test_vit").model.training


# Input


def timm_transform(model: nn.Module) -> Callable[[Image.Image], Tensor]:
    config = timm.data.resolve_model_data_config(model)
    return timm.data.create_transform(**config, is_training=False)


def test_a_folders_crop_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    text = write_timm(tmp_path / "m", "test_vit", crop_pct=1e-5)
    with pytest.raises(
        InputError, match=rf"^{text}: .* 1 to 8192 pixels .* got crop_pct 1e-05 of image_size"
    ):
        load_backbone(text)


def images() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = [(301, 97), (97, 301), (64, 64), (33, 500), (1, 1), (640, 481)]
    return [Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"crop_pct": 1.0},
        {"crop_pct": 0.9, "interpolation": "bilinear"},
        {"crop_mode": "squash", "crop_pct": 1.0},
        {"crop_mode": "squash", "crop_pct": 0.91},
        {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.5, 0.1)},
        {"input_size": (3, 48, 96), "crop_pct": 0.8},
        {"input_size": (3, 96, 48), "crop_mode": "squash"},
    ],
    ids=str,
)
def test_images_are_prepared_as_timm_prepares_them(changes: dict[str, object]) -> None:
    model = timm.create_model("test_vit", pretrained_cfg_overlay=changes)
    theirs = timm_transform(model)
    preprocess = preprocess_of(model)
    ours = build_eval_transform(preprocess)
    for image in images():
        normalised = preprocess.normalize(ours(image).unsqueeze(0))[0]
        torch.testing.assert_close(normalised, theirs(image), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    ["dm_nfnet_f0", "vit_base_patch16_siglip_224.webli", "convnext_atto", "beit_base_patch16_224",
     "vit_small_patch14_dinov2.lvd142m", "mobilenetv3_small_100", "tf_efficientnet_lite0"],
)  # fmt: skip
def test_real_configurations_are_honoured(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    theirs = timm_transform(model)
    preprocess = preprocess_of(model)
    image = images()[0]
    normalised = preprocess.normalize(build_eval_transform(preprocess)(image).unsqueeze(0))[0]
    torch.testing.assert_close(normalised, theirs(image), rtol=0, atol=1e-6)


def test_a_requested_size_is_the_size_of_the_input() -> None:
    model = build_timm_model("test_vit", pretrained=False, image_size=96)
    assert preprocess_of(model, 96).image_size == (96, 96)


def test_a_model_that_wants_borders_is_refused() -> None:
    model = timm.create_model("test_vit", pretrained_cfg_overlay={"crop_mode": "border"})
    with pytest.raises(InputError, match="padded to a border"):
        preprocess_of(model)


# Before the final norm


@pytest.mark.slow
@pytest.mark.parametrize("name", ["test_vit?layers=2,6", "deit3_small_patch16_224?image_size=32"])
def test_the_final_norm_turns_raw_tokens_into_the_others(name: str) -> None:
    backbone = load_backbone(f"timm:{name}", random_init=True)
    model = backbone.encoder.model
    torch.nn.init.normal_(model.norm.weight)
    assert backbone.info.facts.has_final_norm
    size = backbone.info.preprocess.image_size
    for tokens in backbone.forward_layers(torch.randn(2, 3, *size)):
        assert tokens.raw is not None
        expected = torch.cat([tokens.prefix, tokens.patches], dim=1)
        torch.testing.assert_close(model.norm(tokens.raw), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["test_resnet", "test_vit4", "hiera_tiny_224"])
def test_an_encoder_without_a_final_norm_on_its_tokens_has_no_raw_ones(name: str) -> None:
    backbone = load_backbone(f"timm:{name}", random_init=True)
    assert not backbone.info.facts.has_final_norm
    size = backbone.info.preprocess.image_size
    assert backbone(torch.zeros(1, 3, *size)).raw is None


def test_reading_raw_tokens_leaves_no_hook_behind() -> None:
    backbone = load_backbone("timm:test_vit?image_size=32", random_init=True)
    backbone(torch.zeros(1, 3, 32, 32))
    assert not backbone.encoder.model.norm._forward_pre_hooks
