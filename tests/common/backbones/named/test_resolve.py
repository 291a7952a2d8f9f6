"""A short name becomes an id that needs no file of names, and keeps what the user wrote."""

from pathlib import Path

import pytest

from toolkit_common.backbones.ids import parse_backbone_id
from toolkit_common.backbones.named.resolve import (
    expand_alias,
    known_aliases,
    near_aliases,
    needed_file,
    resolve_alias,
    short_name,
)
from toolkit_common.errors import InputError


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text", ["timm:vit_tiny_patch16_224", "runs/derm", "./a", "nobody?layer=1"]
)
def test_what_is_no_short_name_stays(text: str) -> None:
    assert resolve_alias(text) == text


def test_a_built_in_name_is_known_without_any_file() -> None:
    assert resolve_alias("mae-base") == "timm:vit_base_patch16_224.mae?name=mae-base"
    assert resolve_alias("monet") == (
        "open_clip:ViT-L-14-quickgelu?weights=hf-hub:chanwkim/monet&mean=imagenet&name=monet"
    )


def test_an_id_resolved_once_is_resolved_for_good() -> None:
    once = resolve_alias("monet?layer=-4")
    assert resolve_alias(once) == once
    assert short_name(once) == "monet(layer=-4)"
    assert parse_backbone_id("monet?layer=-4") == parse_backbone_id(once)


def test_what_is_written_behind_a_name_holds_over_what_it_stands_for() -> None:
    text = resolve_alias("monet?weights=own.pth&mean=0.1,0.2,0.3&std=1,1,1")
    assert text.partition("&name")[0] == (
        "open_clip:ViT-L-14-quickgelu?weights=own.pth&mean=0.1,0.2,0.3&std=1,1,1"
    )


def test_the_own_file_holds_over_what_is_built_in_and_the_given_over_both(tmp_path: Path) -> None:
    write(tmp_path / "config/toolkit/encoders.yaml", "a: timm:own\nmonet: timm:own\n")
    given = write(tmp_path / "given.yaml", "a: timm:given\n")
    assert resolve_alias("a") == "timm:own?name=a"
    assert resolve_alias("monet", given) == "timm:own?name=monet"
    assert resolve_alias("a", given) == "timm:given?name=a"
    assert known_aliases(given)["a"].origin == str(given)


def test_a_name_may_stand_for_another_one_and_not_for_itself(tmp_path: Path) -> None:
    file = write(tmp_path / "f.yaml", "a: {id: b, image_size: 64}\nb: {id: mae-base, key: k, "
                 "weights: w.pth}\nx: y\ny: z\nz: x\n")  # fmt: skip
    assert resolve_alias("a", file) == (
        f"timm:vit_base_patch16_224.mae?weights={tmp_path}/w.pth&key=k&image_size=64&name=a"
    )
    options = parse_backbone_id(resolve_alias("a", file))
    assert (options.image_size, options.key, options.short_name) == (64, "k", "a")
    with pytest.raises(InputError, match=r"in a circle: x -> y -> z -> x"):
        resolve_alias("x", file)


def test_a_name_that_is_a_path_as_well_is_refused(tmp_path: Path) -> None:
    (tmp_path / "monet").mkdir()
    with pytest.raises(InputError, match=r"'monet' is the short name .*built in.*write \./monet"):
        parse_backbone_id("monet")
    assert parse_backbone_id("./monet").source == "exported"


def test_a_misspelt_name_is_told_the_near_ones() -> None:
    assert near_aliases("dinov2-smal").startswith("; did you mean 'dinov2-small'")
    with pytest.raises(InputError, match=r"unknown backbone 'monett'.*did you mean 'monet'"):
        parse_backbone_id("monett")


def test_what_is_needed_is_known_of_an_id_alone() -> None:
    text = expand_alias("panderm-large?image_size=112", known_aliases())
    assert "download panderm_ll_data6_checkpoint-499.pth" in needed_file(text)
    assert needed_file("timm:vit_base_patch16_224.mae") == ""
