"""Counts what makes a host wait for its device, on a machine that has none.

What asks a tensor for its values waits: `float(t)`, `t.tolist()`, `t.cpu()`, an `if` on it, and
operators whose result's shape depends on values. On the CPU they cost nothing, but they are
called all the same.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from typing_extensions import override

METHODS = ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "__index__")
OPERATORS = (
    "_local_scalar_dense", "nonzero", "masked_select", "bincount", "_unique2", "unique_dim",
    "unique_consecutive", "equal", "is_nonzero", "repeat_interleave",
)  # fmt: skip


class _Methods(TorchFunctionMode):
    def __init__(self, calls: Counter[str]) -> None:
        super().__init__()
        self.calls = calls

    @override
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        if getattr(func, "__name__", "") in METHODS:
            self.calls[func.__name__] += 1
        return func(*args, **(kwargs or {}))


class _Operators(TorchDispatchMode):
    def __init__(self, calls: Counter[str], launches: Counter[str]) -> None:
        super().__init__()
        self.calls = calls
        self.launches = launches

    @override
    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        name = func.__name__.partition(".")[0]
        has_mask = name in ("index", "index_put_", "index_put", "_index_put_impl_") and any(
            item is not None and item.dtype == torch.bool for item in args[1]
        )
        if name in OPERATORS or has_mask:
            self.calls[name] += 1
        # Views and allocations launch nothing.
        if not (func.is_view or name.endswith("view") or name.startswith(("empty", "new_empty"))):
            self.launches[name] += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def counting() -> Iterator[tuple[Counter[str], Counter[str]]]:
    """Yield what waited, and which operators were launched, by name."""
    calls, launches = Counter[str](), Counter[str]()
    with _Methods(calls), _Operators(calls, launches):
        yield calls, launches


@contextmanager
def pinning() -> Iterator[list[Tensor]]:
    """Yield the tensors that are pinned, which are left as they are: pinning needs a GPU."""
    pinned: list[Tensor] = []

    def pin(tensor: Tensor) -> Tensor:
        pinned.append(tensor)
        return tensor

    with patch.object(Tensor, "pin_memory", pin):
        yield pinned
