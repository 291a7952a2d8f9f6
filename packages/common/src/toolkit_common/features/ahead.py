"""Makes the next batches while the one before them is computed with."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

Request = TypeVar("Request")
T = TypeVar("T")


def ahead(
    make: Callable[[Request], T], requests: Iterable[Request], *, readers: int = 1
) -> Iterator[T]:
    """Yield what is made of each request, in their order.

    What making one raises is raised in its turn.

    Args:
        make: Makes one; threads call it.
        requests: What to make.
        readers: Threads, and how many are made ahead: a disk answers several faster than one.
    """
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(readers)
    try:
        for request in requests:
            waiting.append(pool.submit(make, request))
            if len(waiting) > readers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)  # who stops reading waits for none that was not begun


def gather(tensor: Tensor, rows: Tensor) -> Tensor:
    """Return rows `(b,)` of a tensor on the CPU, where a GPU reads them without another copy."""
    shape = (len(rows), *tensor.shape[1:])
    # Only a copy from pinned memory leaves host and device to go on. `tensor[rows]` gathers many
    # times slower (docs/traps.md 29).
    out = torch.empty(shape, dtype=tensor.dtype, pin_memory=torch.cuda.is_available())
    return torch.index_select(tensor, 0, rows, out=out)
