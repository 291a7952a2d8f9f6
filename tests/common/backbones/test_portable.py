"""Configurations that travel: what builds the model goes along, what names a place does not."""

import json
from pathlib import Path

import pytest

from toolkit_common.backbones.portable import copy_configuration, without_places
from toolkit_common.errors import InputError


def test_a_path_is_no_more_than_its_last_name() -> None:
    value = {
        "a": ["/home/somebody/x.pth", "C:\\Users\\x\\y"],
        "b": "~/z/",
        "c": "a/b",
        "d": 1,
    }
    assert without_places(value) == {"a": ["x.pth", "y"], "b": "z", "c": "a/b", "d": 1}


def test_only_what_builds_the_model_is_copied(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    config = {"architecture": "vit", "author": "somebody", "model_args": {"file": "/home/x/y.pt"},
              "pretrained_cfg": {"mean": [0, 0, 0], "url": "file:///home/somebody"}}  # fmt: skip
    (tmp_path / "own/config.json").write_text(json.dumps(config))
    place = copy_configuration(tmp_path / "out", f"local-dir:{tmp_path / 'own'}")
    assert place is not None
    assert json.loads((tmp_path / "out" / place / "config.json").read_text()) == {
        "architecture": "vit",
        "model_args": {"file": "y.pt"},
        "pretrained_cfg": {"mean": [0, 0, 0]},
    }  # fmt: skip
    again = copy_configuration(tmp_path / "more", f"local-dir:{tmp_path / 'out' / place}")
    assert again == place  # encoders are compared by it


def test_a_name_of_a_library_needs_none(tmp_path: Path) -> None:
    assert copy_configuration(tmp_path, "vit_small_patch16_224") is None


def test_a_configuration_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(InputError, match=r"config\.json is no configuration of a model"):
        copy_configuration(tmp_path / "out", f"local-dir:{tmp_path}")
