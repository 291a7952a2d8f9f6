"""What is listed of an encoder is what the loaded one has, without its weights or memory."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from helpers.tiny_encoders import write_open_clip
from toolkit_common.backbones.ids import STATISTICS
from toolkit_common.backbones.listing import (
    Listed,
    as_pattern,
    describe_rows,
    find_weights,
    list_encoders,
    name_input,
    published_names,
    read_shape,
    shapes_alone,
    to_json,
)
from toolkit_common.backbones.load import load_backbone
from toolkit_common.images.transforms import Preprocess


def test_without_a_pattern_short_names_alone_are_listed(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("mine: {id: timm:test_vit, note: ours, licence: internal}")
    items = list_encoders(None, file)
    assert items[-1] == Listed("mine", "timm:test_vit?name=mine", "ours", "internal")
    assert all(item.is_short for item in items)


def test_a_pattern_finds_names_and_what_they_stand_for() -> None:
    names = [item.name for item in list_encoders("patch16_224.mae")]
    assert names == ["mae-base", "mae-large", "timm:vit_base_patch16_224.mae",
                     "timm:vit_large_patch16_224.mae"]  # fmt: skip
    assert as_pattern("DINO") == "*dino*"
    assert as_pattern("vit_*16") == "vit_*16"


def test_a_folder_of_a_short_name_does_not_hide_it(tmp_path: Path) -> None:
    (tmp_path / "monet").mkdir()
    assert "monet" in [item.name for item in list_encoders(None)]


def test_published_names_are_of_both_libraries() -> None:
    assert {name.partition(":")[0] for name in published_names()} == {"timm", "open_clip"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    ["timm:test_vit", "timm:test_convnext", "timm:hiera_tiny_224?image_size=224",
     "timm:swin_tiny_patch4_window7_224", "open_clip:ViT-S-32-alt"],
)  # fmt: skip
def test_the_shape_is_that_of_the_encoder(text: str) -> None:
    shape, info = read_shape(text), load_backbone(text, random_init=True)
    assert shape is not None
    assert shape.facts == info.info.facts
    assert shape.preprocess == info.info.preprocess
    assert shape.card == info.info.card
    assert shape.parameters == sum(item.numel() for item in info.encoder.parameters())


def test_the_input_and_card_are_those_of_the_name() -> None:
    shape = read_shape("panderm-base")
    assert shape is not None
    assert (shape.patch, shape.facts.grid, shape.facts.num_prefix_tokens) == (16, (14, 14), 1)
    assert (name_input(shape.preprocess), shape.preprocess.crop_pct) == ("imagenet", 0.875)
    assert (shape.card.linear, shape.card.ep) == ("cls", "patches")
    assert "CAE, PanDerm" in shape.card.objective


def test_nothing_is_drawn_and_no_memory_taken() -> None:
    before = torch.random.get_rng_state()
    with shapes_alone():
        layer = torch.nn.Linear(10**6, 10**6)
    assert layer.weight.is_meta
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    "text",
    ["timm:no_such", "open_clip:hf-hub:nobody/nothing", "timm:vit_tiny_r_s16_p8_224?image_size=7"],
)
def test_of_what_cannot_be_built_the_shape_is_not_known(text: str) -> None:
    assert read_shape(text) is None


def test_a_file_of_weights_is_here_where_it_lies(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "w.safetensors")
    file = tmp_path / "w.safetensors"
    assert find_weights(f"timm:test_vit?weights={file}") == file
    assert find_weights("timm:test_vit?weights=none.pth") is None
    assert find_weights("nobody") is None
    write_open_clip(tmp_path / "export", "vit")
    assert find_weights(str(tmp_path / "export")) == tmp_path / "export"


def test_lines_are_legible_at_80_columns(tmp_path: Path) -> None:
    items = [
        Listed("dermlip-panderm", "timm:deit3_base_patch16_224?weights=x", "DermLIP " * 12, "CC"),
        Listed("timm:vit_base_patch16_224.mae", "timm:vit_base_patch16_224.mae"),
    ]
    rows = [(items[0], read_shape("timm:test_vit"), tmp_path), (items[1], None, None)]
    lines = describe_rows(rows)
    assert max(map(len, lines)) <= 80
    assert lines[1] == "dermlip-panderm = timm:deit3_base_patch16_224"
    assert lines[4].split() == ["0.3M", "64", "10x10+1", "160", "6", "inception", "cls,", "all",
                                "here"]  # fmt: skip
    assert lines[-1].endswith("not here")


def test_many_are_listed_by_name_alone(tmp_path: Path) -> None:
    rows = [
        (Listed("mine", "timm:x?name=mine"), None, tmp_path),
        (Listed("timm:y", "timm:y"), None, None),
    ]
    assert describe_rows(rows) == ["mine  timm:x  (here)", "timm:y"]


def test_json_has_nulls_where_nothing_was_built(tmp_path: Path) -> None:
    values = to_json(Listed("a", "timm:test_vit?name=a"), read_shape("timm:test_vit"), tmp_path)
    assert (values["dim"], values["patch"], values["weights"]) == (64, 16, str(tmp_path))
    bare = to_json(Listed("a", "a"), None, None)
    assert bare.keys() == values.keys()
    assert bare["parameters"] is None


def test_mean_and_std_are_named_by_who_uses_them() -> None:
    for name, (mean, std) in STATISTICS.items():
        assert name_input(Preprocess(mean=mean, std=std)) == name
    assert name_input(Preprocess(std=(0.228, 0.224, 0.225))) == "own"
