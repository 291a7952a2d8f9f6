"""Poolings from patch tokens to a vector, one paper a file, by the literature's short name."""

from collections.abc import Mapping

from toolkit_probing.probes.base import AttentivePool, Pool
from toolkit_probing.probes.ep import EfficientProbing

POOLS: Mapping[str, type[Pool]] = {
    "ep": EfficientProbing,
}

__all__ = ["POOLS", "AttentivePool", "EfficientProbing", "Pool"]
