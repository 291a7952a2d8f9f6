"""Lets `import torchvision` work where its compiled operators cannot load.

On a CPU-only machine pip may pair a CPU torch with the CUDA-linked torchvision wheel. Its library
does not load there, `import torchvision` then fails with `operator torchvision::nms does not
exist`, and so do timm and open_clip. We use none of its operators, so `prepare` declares the two
that torchvision asks for at import. Where the library loads, nothing is declared. Every module
that imports timm, open_clip or torchvision calls `prepare()` first (tested).
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import torch

MISSING_OPERATORS = ("nms", "qnms")

_declared: list[torch.library.Library] = []  # a Library withdraws its operators when collected


def prepare() -> bool:
    """Make torchvision importable.

    Returns:
        True where torchvision's own library serves, False where the operators are only declared.

    Raises:
        ModuleNotFoundError: If torchvision is not installed.
    """
    if _declared:
        return False
    if "torchvision" in sys.modules:
        return bool(sys.modules["torchvision"].extension._has_ops())
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("torchvision is not installed", name="torchvision")
    if _load_library(Path(spec.origin).parent):
        return True
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in MISSING_OPERATORS:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)
    return False


def _load_library(folder: Path) -> bool:
    for path in folder.glob("_C*.so"):
        try:
            torch.ops.load_library(path)
        except OSError:
            continue
        return True
    return False
