"""Pools for tests: one of each name, small, with parameters far from their first values."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from toolkit_probing.probes import POOLS, EfficientProbing, Pool

DIM, GRID = 32, (2, 3)
SMALL: Mapping[str, Mapping[str, Any]] = {
    "ep": {"num_queries": 4},
    "esimpool": {"num_heads": 4},
    "aim": {"num_heads": 4},
    "jepa": {"num_heads": 4},
}
WITH_BATCH_STATISTICS = ("aim", "cbam", "dolg")  # in training an image's output depends on others
DEAD = {  # gradients that are zero: a softmax over tokens or a batch norm takes away what they add
    "abmilp": {"score.last.bias"},
    "cae": {"key_norm.bias"},
    "cait": {"to_key.bias"},
    "dolg": {"map.bias"},
}
WITH_GRID = [name for name, pool in POOLS.items() if pool.needs_grid]
WITHOUT_GRID = [name for name in POOLS if name not in WITH_GRID]


def build_pool(name: str, *, dim: int = DIM, grid: tuple[int, int] = GRID, **options: Any) -> Pool:
    """Return a pool in float64 whose parameters were all moved by noise."""
    where = {"grid": grid} if POOLS[name].needs_grid else {}
    torch.manual_seed(1)
    pool = POOLS[name](dim, **where, **(SMALL.get(name, {}) | options)).double()
    with torch.no_grad():
        for parameter in pool.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        for key, buffer in pool.named_buffers():
            if buffer.is_floating_point():
                buffer.add_(torch.rand_like(buffer) if "var" in key else torch.randn_like(buffer))
    return pool


def draw_tokens(b: int, n: int = GRID[0] * GRID[1], dim: int = DIM, seed: int = 0) -> Tensor:
    """Return tokens in float64 whose means are not zero."""
    draws = torch.Generator().manual_seed(seed)
    tokens = torch.randn(b, n, dim, dtype=torch.float64, generator=draws)
    return tokens * 2 + torch.randn(dim, dtype=torch.float64, generator=draws)


def build_ep(dim: int, queries: int, divisor: int = 1) -> EfficientProbing:
    """Return EP in float64, far from the almost uniform attention of the start."""
    torch.manual_seed(0)
    probe = EfficientProbing(dim, num_queries=queries, width_divisor=divisor).double()
    with torch.no_grad():
        probe.queries.mul_(50)
    return probe
