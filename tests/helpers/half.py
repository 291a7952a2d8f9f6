"""fp16 on a CPU, and infinite gradients where a test wants them."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from typing_extensions import override


class Half(Accelerator):
    """An accelerator that computes in fp16 on a CPU, where accelerate itself refuses to."""

    mixed_precision = "fp16"

    def __init__(self) -> None:
        super().__init__(cpu=True)

    @override
    def autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast("cpu", dtype=torch.float16)


def overflow_(module: nn.Module, count: Iterator[int], at: set[int]) -> None:
    """Let the gradient of a module's last weight be infinite in some of its backward passes."""
    weight = [item for item in module.parameters() if item.ndim > 1][-1]
    weight.register_hook(_spoiled(count, at))


def _spoiled(count: Iterator[int], at: set[int]) -> Callable[[Tensor], Tensor]:
    return lambda gradient: gradient * torch.inf if next(count) in at else gradient
