"""timm and open_clip can be imported whether or not torchvision's operators load."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from toolkit_common import torchvision_ops
from toolkit_common.torchvision_ops import MISSING_OPERATORS, guard_import, prepare


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


# Whoever imports torchvision after us

BROKEN = """
import torch
torch.library.register_fake("torchvision::nms")(lambda dets, scores, iou_threshold: dets)
extension = None
"""


AFTER_US = """
import importlib.util, sys
import toolkit_common
assert importlib.util.find_spec("torchvision")  # many libraries look whether it is there
assert "torch" not in sys.modules
import torchvision
from toolkit_common.torchvision_ops import prepare
assert prepare() is False
print(torchvision.__file__)
"""


def import_broken(tmp_path: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code where torchvision is one whose library does not load, and asks for its operators."""
    folder = tmp_path / "torchvision"
    folder.mkdir()
    (folder / "__init__.py").write_text(BROKEN)
    (folder / "_C.so").write_bytes(b"not a library")
    variables = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    }
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=variables)


@pytest.mark.slow
def test_torchvision_can_be_imported_by_anybody_once_our_package_was(tmp_path: Path) -> None:
    done = import_broken(tmp_path, AFTER_US)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'torchvision/__init__.py'}\n"


@pytest.mark.slow
def test_without_us_such_a_torchvision_cannot_be_imported(tmp_path: Path) -> None:
    done = import_broken(tmp_path, "import torchvision")
    assert "operator torchvision::nms does not exist" in done.stderr


def test_a_guard_is_set_once_and_finds_nothing_else() -> None:
    guard_import()
    guards = [item for item in sys.meta_path if isinstance(item, torchvision_ops._Guard)]
    assert len(guards) <= 1
    assert torchvision_ops._Guard().find_spec("torch") is None
