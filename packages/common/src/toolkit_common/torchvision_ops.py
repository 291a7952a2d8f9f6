"""Lets `import torchvision` work where its compiled operators cannot load.

On a CPU-only machine pip may pair a CPU torch with the CUDA-linked torchvision wheel. Its library
does not load there, `import torchvision` then fails with `operator torchvision::nms does not
exist`, and so do timm and open_clip. We use none of its operators, so `prepare` declares the two
that torchvision asks for at import. Where the library loads, nothing is declared. Importing
`toolkit_common` lets every later import of torchvision do so first, ours or the user's, and imports
no torch until then (`guard_import`).
"""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

MISSING_OPERATORS = ("nms", "qnms")
GUARDED = "torchvision"

_declared: list[Any] = []  # a Library withdraws its operators when collected


def guard_import() -> None:
    """Let the import of torchvision, whenever it comes and whoever asks for it, prepare itself."""
    if GUARDED not in sys.modules and not any(isinstance(item, _Guard) for item in sys.meta_path):
        sys.meta_path.insert(0, _Guard())


def prepare() -> bool:
    """Make torchvision importable.

    Returns:
        True where torchvision's own library serves, False where the operators are only declared.

    Raises:
        ModuleNotFoundError: If torchvision is not installed.
    """
    if _declared:
        return False
    if GUARDED in sys.modules:
        return bool(sys.modules[GUARDED].extension._has_ops())
    spec = find_spec(GUARDED)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("torchvision is not installed", name=GUARDED)
    return _load_or_declare(Path(spec.origin).parent)


class _Guard:
    """Finds torchvision where the other finders do, and prepares it when it is executed.

    Not when it is found: many libraries look whether it is there, which should cost nothing.
    """

    def find_spec(
        self, name: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != GUARDED:
            return None
        others = (finder for finder in sys.meta_path if not isinstance(finder, _Guard))
        specs = (finder.find_spec(name, path, target) for finder in others)
        spec = next((item for item in specs if item is not None), None)
        if spec is not None and spec.loader is not None and spec.origin is not None:
            folder, execute = Path(spec.origin).parent, spec.loader.exec_module

            def execute_prepared(module: ModuleType) -> None:
                if not _declared:
                    _load_or_declare(folder)
                execute(module)

            spec.loader.exec_module = execute_prepared  # type: ignore[method-assign]
        return spec


def _load_or_declare(folder: Path) -> bool:
    """Load torchvision's own library from its folder, or declare what is missing without it."""
    import torch

    if _load_library(folder):
        return True
    library = torch.library.Library(GUARDED, "FRAGMENT")
    for name in MISSING_OPERATORS:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)
    return False


def _load_library(folder: Path) -> bool:
    import torch

    for path in folder.glob("_C*.so"):
        try:
            torch.ops.load_library(path)
        except OSError:
            continue
        return True
    return False
