"""A file of extrapolated metadata as `toolkit extrapolate` writes it, of made-up values."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.extrapolated import CONTENT, Extrapolated, write_extrapolated
from toolkit_common.data.sheet import Column
from toolkit_common.images.content import content_hash

COLUMNS = (
    Column("size_mm", "lesion", "numeric", "mm"),
    Column("site", "lesion", "categorical"),
)
FACTS: dict[str, Any] = {
    "reference": {"name": "elsewhere"},
    "encoder": {"weights_sha256": "ab" * 32},
    "seen": "unseen",
}


def told_of(data: ImageData) -> Extrapolated:
    """Return values of every image of a data set: sizes count up, sites come in threes."""
    count = len(data)
    rows = pd.DataFrame(
        {
            "image_id": data.table["image_id"].astype(str),
            "content": [content_hash(item["image"])[:CONTENT] for item in data.images],
            "neighbour": ["0" * 16] * count,
            "similarity": np.full(count, 0.5),
            "size_mm": np.arange(count, dtype=float),
            "site": np.array(["arm", "leg"])[np.arange(count) // 3 % 2],
            "abstained": np.zeros(count, bool),
            "seen": np.zeros(count, bool),
        }
    )
    return Extrapolated(rows, COLUMNS, FACTS)


def write_told(path: Path, item: Extrapolated) -> Path:
    """Write it; returns the path."""
    write_extrapolated(path, item)
    return path
