"""Where a loop computes: on accelerate's processes and devices, or here, on one device.

`accelerate.Accelerator` holds one device and precision for the whole process. `toolkit probe` wants
that; `ProbeClassifier` must not, as a notebook may fit one on the CPU and the next on a GPU.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, runtime_checkable

import torch


@runtime_checkable
class Compute(Protocol):
    """What training and scoring need of an `accelerate.Accelerator`."""

    device: torch.device
    num_processes: int
    process_index: int
    is_main_process: bool
    mixed_precision: str

    def prepare(self, *items: Any) -> Any:
        """Wrap models for the device, precision and processes."""
        ...

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context of a forward pass."""
        ...


class OneDevice:
    """One process on one device (`auto`: CUDA where there is one), in the weights' arithmetic."""

    num_processes = 1
    process_index = 0
    is_main_process = True
    mixed_precision = "no"

    def __init__(self, device: torch.device | str) -> None:
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)

    def prepare(self, *items: Any) -> Any:
        """Return what was given, as accelerate does: alone, or all of it."""
        return items if len(items) > 1 else items[0]

    def autocast(self) -> AbstractContextManager[Any]:
        """Return a context that changes nothing."""
        return nullcontext()
