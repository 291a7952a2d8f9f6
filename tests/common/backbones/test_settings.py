"""A short name in `backbone` becomes an id in the settings themselves."""

from pathlib import Path

import pytest

from toolkit_common.backbones.settings import EncoderSettings
from toolkit_common.config import Layer, option, read_yaml, resolve
from toolkit_common.errors import InputError


class Demo(EncoderSettings):
    backbone: str | None = option(None, "Encoder.")


def test_settings_hold_the_id_and_are_read_again_without_the_file(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("mine: {id: timm:test_vit, weights: w.pth}")
    layer = Layer("--x", {"backbone": "mine", "encoders": str(file)})
    resolved = resolve(Demo, [layer])
    expected = f"timm:test_vit?weights={tmp_path}/w.pth&name=mine"
    assert resolved.settings.backbone == expected
    file.unlink()
    (tmp_path / "config.yaml").write_text(resolved.to_yaml())
    again = resolve(Demo, [read_yaml(tmp_path / "config.yaml")])
    assert again.settings.backbone == expected
    assert again.settings.encoders is None
    assert "encoders" not in resolved.result_settings()


def test_the_file_is_checked_whole_whoever_is_named(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text("mine: {idd: timm:x}")
    with pytest.raises(InputError, match=r"unknown key 'idd'"):
        resolve(Demo, [Layer("--x", {"encoders": str(tmp_path / "f.yaml")})])


@pytest.mark.parametrize("option", ["image_size=64BB", "sidee=3", "layers=x"])
def test_an_id_is_read_before_anything_is_loaded(option: str) -> None:
    with pytest.raises(InputError, match=f"backbone: .*{option.partition('=')[0]}"):
        resolve(Demo, [Layer("--x", {"backbone": f"timm:no_such_model?{option}"})])


def test_a_folder_that_is_still_to_be_made_may_be_named() -> None:
    assert (
        resolve(Demo, [Layer("--x", {"backbone": "runs/later"})]).settings.backbone == "runs/later"
    )


def test_without_a_backbone_there_is_none() -> None:
    assert resolve(Demo).settings.backbone is None
