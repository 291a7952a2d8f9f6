"""Poolings of the registry and tokens for them, shared by the tests of the registry."""

import torch
from torch import Tensor

from toolkit_probing.probes import POOLS, Pool

DIM, GRID = 96, (2, 3)  # a multiple of every method's number of heads; not square
NAMES = sorted(POOLS)


def build(name: str, *, grid: tuple[int, int] = GRID, dim: int = DIM) -> Pool:
    """Build a pooling away from its start, where zeros would hide gradients."""
    torch.manual_seed(0)
    pool_class = POOLS[name]
    pool = pool_class(dim, grid=grid) if pool_class.needs_grid else pool_class(dim)
    with torch.no_grad():
        for parameter in pool.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return pool


def tokens(b: int = 3, n: int = 6, d: int = DIM, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(b, n, d, dtype=dtype, generator=torch.Generator().manual_seed(1))
