"""timm and open_clip can be imported whether or not torchvision's operators load."""

import sys
from pathlib import Path

import pytest
import torch

from toolkit_common import torchvision_ops
from toolkit_common.torchvision_ops import MISSING_OPERATORS, prepare


def test_preparing_twice_does_and_returns_the_same() -> None:
    assert prepare() == prepare()
    assert len(torchvision_ops._declared) <= 1


def test_torchvision_can_be_imported_afterwards() -> None:
    prepare()
    import torchvision

    assert torchvision.__version__
    for name in MISSING_OPERATORS:
        assert hasattr(torch.ops.torchvision, name)


def test_operators_are_declared_only_where_the_library_does_not_load() -> None:
    serves = prepare()
    assert serves == (not torchvision_ops._declared)
    assert serves == sys.modules["torchvision"].extension._has_ops()


def test_a_folder_without_a_library_has_none_to_load(tmp_path: Path) -> None:
    (tmp_path / "_C.so").write_bytes(b"not a library")
    assert not torchvision_ops._load_library(tmp_path)


def test_a_missing_torchvision_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_ops, "_declared", [])
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    with pytest.raises(ModuleNotFoundError, match="torchvision is not installed"):
        prepare()
