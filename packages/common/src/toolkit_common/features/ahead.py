"""Reads the next batch while the one before is computed with."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield items in their order, of which a thread makes the next one meanwhile.

    What making one raises is raised in its turn.
    """
    source = iter(items)
    end = object()
    # One thread: a generator may not be entered twice.
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, source, end)
        while (item := waiting.result()) is not end:
            waiting = pool.submit(next, source, end)
            yield item  # type: ignore[misc]


def gather(tensor: Tensor, rows: Tensor) -> Tensor:
    """Return rows `(b,)` of a tensor on the CPU, where a GPU reads them without another copy."""
    shape = (len(rows), *tensor.shape[1:])
    # Only a copy from pinned memory leaves host and device to go on. `tensor[rows]` gathers many
    # times slower (docs/traps.md 29).
    out = torch.empty(shape, dtype=tensor.dtype, pin_memory=torch.cuda.is_available())
    return torch.index_select(tensor, 0, rows, out=out)
