"""Batches of images for an encoder, in row order, decoded by workers."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from toolkit_common.data.dataset import ImageData
from toolkit_common.images.open import open_image
from toolkit_common.images.transforms import Transform

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor


MAX_WORKERS = 16


def choose_num_workers(requested: int | None, accelerator: "Accelerator") -> int:
    """Return how many processes decode images for each process that computes.

    Args:
        requested: The user's number, or None: none beside a CPU encoder, which is slower than
            decoding and would lose its cores to them; else as many as there are cores, at most 16.
        accelerator: Where the encoder runs.
    """
    if requested is not None:
        return requested
    per_process = (os.cpu_count() or 1) // accelerator.num_processes
    # Cores are shared by the processes of a machine.
    return 0 if accelerator.device.type == "cpu" else min(MAX_WORKERS, per_process)


class ImageRows(Dataset[dict[str, Any]]):
    """Some rows of a data set as `{"image": uint8 (3, h, w), "row": row index}`."""

    def __init__(self, data: ImageData, rows: np.ndarray, transform: Transform) -> None:
        self.images = data.images
        self.rows = rows
        self.transform = transform

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> dict[str, Any]:
        row = int(self.rows[position])
        return {"image": self.transform(open_image(self.images[row]["image"])), "row": row}


def build_loader(
    data: ImageData,
    rows: np.ndarray,
    *,
    transform: Transform,
    batch_size: int,
    num_workers: int = 0,
) -> "DataLoader[dict[str, Tensor]]":
    """Return batches `{"image": uint8 (b, 3, h, w), "row": (b,)}` in the order of `rows`."""
    return DataLoader(
        ImageRows(data, rows, transform),
        batch_size=batch_size,
        num_workers=num_workers,
        # Pinned, a batch travels to the GPU while the step before it is computed.
        pin_memory=torch.cuda.is_available(),
    )


def chunks(rows: np.ndarray, size: int) -> Sequence[np.ndarray]:
    """Cut rows into consecutive pieces of at most `size`."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]
