"""Ids of backbones: their parts, and what is refused with one line."""

from pathlib import Path

import pytest

from toolkit_common.backbones.ids import SOURCES, parse_backbone_id
from toolkit_common.backbones.load import SOURCES as BUILDERS
from toolkit_common.errors import InputError


def test_an_id_has_a_source_a_name_and_options() -> None:
    parsed = parse_backbone_id("timm:vit_small?weights=~/a.pth&layers=1,-1&image_size=96")
    assert (parsed.source, parsed.name) == ("timm", "vit_small")
    assert parsed.weights == Path("~/a.pth").expanduser()
    assert (parsed.layers, parsed.image_size) == ((1, -1), 96)


def test_an_id_without_options_reads_the_last_layer_of_its_own_weights() -> None:
    parsed = parse_backbone_id("open_clip:ViT-B-32@openai")
    assert (parsed.source, parsed.name) == ("open_clip", "ViT-B-32@openai")
    assert (parsed.weights, parsed.layers, parsed.image_size) == (None, (-1,), None)


def test_a_folder_is_an_exported_encoder(tmp_path: Path) -> None:
    assert parse_backbone_id(str(tmp_path)).source == "exported"


def test_an_input_is_named_or_given_in_numbers() -> None:
    named = parse_backbone_id("timm:x?weights=a&mean=imagenet").statistics
    assert named == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    given = parse_backbone_id("timm:x?mean=0.1,0.2,0.3&std=1,2,3").statistics
    assert given == ((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    assert parse_backbone_id("timm:x").statistics is None


def test_a_place_in_a_weights_file_can_be_named() -> None:
    parsed = parse_backbone_id("timm:x?weights=a&key=state_dict_ema&prefix=teacher.backbone.")
    assert (parsed.key, parsed.prefix) == ("state_dict_ema", "teacher.backbone.")


def test_a_weights_path_is_taken_as_it_stands() -> None:
    parsed = parse_backbone_id("timm:x?weights=/data/c++/my%20file=1.pth")
    assert parsed.weights == Path("/data/c++/my%20file=1.pth")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timm:x?weight=a", r"unknown option 'weight' .* did you mean 'weights'\?"),
        ("timm:x?weights=", "option 'weights' in .* has no value"),
        ("timm:x?weights", "option 'weights' in .* has no value"),
        ("timm:x?layer=1&layer=2", "option 'layer' occurs twice"),
        ("timm:x?layer=1&layers=2", "layer and layers are one option"),
        ("timm:x?layers=last", "whole numbers, got 'last'"),
        ("timm:x?layers=1.5", "whole numbers, got '1.5'"),
        ("timm:x?layers=,", "whole numbers, got ','"),
        ("timm:x?image_size=0", r"side, 1 to 8192 pixels, got \(0,\)"),
        ("timm:x?image_size=-3", r"side, 1 to 8192 pixels, got \(-3,\)"),
        ("timm:x?image_size=32,64", r"side, 1 to 8192 pixels, got \(32, 64\)"),
        ("timm:x?image_size=1000000", r"side, 1 to 8192 pixels, got \(1000000,\)"),
        ("timm:x?key=model", "key is of a weights file, and 'timm:x.key=model' names none"),
        ("timm:x?prefix=a.", "prefix is of a weights file"),
        ("timm:x?mean=mine", "mean is one of imagenet, inception, clip .*mean=R,G,B&std=R,G,B"),
        ("timm:x?mean=0.5,0.5,0.5", "mean is one of .* got 'timm:x.mean=0.5,0.5,0.5'"),
        ("timm:x?std=0.5,0.5,0.5", "mean is one of imagenet"),
        ("timm:x?mean=0.5,0.5&std=0.5,0.5", "mean is one of imagenet"),
        ("timm:x?mean=a,b,c&std=1,1,1", "mean is one of imagenet"),
        ("timm:x?crop_pct=big", "crop_pct is a share of the resized side, got 'big' in 'timm:x"),
        ("timm:x?interpolation=cubic", "unknown interpolation 'cubic'; did you mean 'bicubic'"),
        ("tim:vit", r"unknown backbone 'tim:vit': .* no source of \['exported', .* 'timm'\]"),
        ("nosuchfolder", "unknown backbone 'nosuchfolder': no such folder, .* 'timm:nosuchfolder'"),
    ],
)
def test_a_bad_id_is_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_backbone_id(text)


def test_every_source_has_a_builder() -> None:
    assert set(SOURCES) == set(BUILDERS)
