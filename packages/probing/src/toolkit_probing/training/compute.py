"""Where a loop computes: on accelerate's processes and devices, or here, on one device.

`accelerate.Accelerator` holds one device and precision for the whole process. `toolkit probe` wants
that; `ProbeClassifier` must not, as a notebook may fit one on the CPU and the next on a GPU.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class Compute(Protocol):
    """What training and scoring need of an `accelerate.Accelerator`."""

    device: torch.device
    num_processes: int
    process_index: int
    is_main_process: bool
    scaler: Any

    def prepare(self, *items: Any) -> Any:
        """Wrap models and optimizers for the device, precision and processes."""
        ...

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context of a forward pass."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Run the backward pass."""
        ...

    def clip_grad_norm_(self, parameters: Any, max_norm: float) -> Any:
        """Cut the gradient to a norm and return what its norm was."""
        ...


class OneDevice:
    """One process on one device, in the arithmetic of the weights."""

    num_processes = 1
    process_index = 0
    is_main_process = True
    scaler = None

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)

    def prepare(self, *items: Any) -> Any:
        """Return what was given, as accelerate does: alone, or all of it."""
        return items if len(items) > 1 else items[0]

    def autocast(self) -> AbstractContextManager[Any]:
        """Return a context that changes nothing."""
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Run the backward pass."""
        loss.backward()

    def clip_grad_norm_(self, parameters: Any, max_norm: float) -> Tensor:
        """Cut the gradient to a norm and return what its norm was."""
        return nn.utils.clip_grad_norm_(parameters, max_norm)
