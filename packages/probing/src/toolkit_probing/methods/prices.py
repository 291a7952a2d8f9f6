"""What stored crops and tuned encoders will cost, told before either begins."""

import time

import numpy as np
import torch
from accelerate import Accelerator

from toolkit_common.console import console
from toolkit_common.features.codec import bytes_per_image
from toolkit_common.features.encode import RowEncoder
from toolkit_common.features.planner import price_views
from toolkit_common.features.store import find_store
from toolkit_probing.heads.bank import HeadBank, features_to

FEW = 16  # images that are timed


def tell_price_of_views(encoder: RowEncoder, train: np.ndarray) -> None:
    """Print what the crops of `--views` that no store holds will take, all of them together.

    Args:
        encoder: What will run, with what it is to extract.
        train: Rows of the training images.
    """
    how = encoder.how
    missing = sum(
        how.store == "memory" or find_store(encoder.store_spec(train, view), how.store_dir) is None
        for view in range(how.views)
    )
    if not missing or how.store == "online":
        return
    sample, per_image = encoder.time_one_batch(train)
    shapes = {
        layer: (kept.grid[0] * kept.grid[1], kept.vectors["mean"].shape[1])
        for layer, kept in sample.items()
    }
    row_bytes = bytes_per_image(shapes, dtype=how.dtype, with_patches=how.with_patches)
    seconds = per_image * len(train) / encoder.accelerator.num_processes
    console.print(
        price_views(missing, how.views, num_bytes=row_bytes * len(train), seconds=seconds)
    )


def time_training(
    bank: HeadBank, images: RowEncoder, rows: np.ndarray, accelerator: Accelerator
) -> float:
    """Return the seconds that an image takes in training: decoding, forward and backward.

    Args:
        bank: Heads with the encoder that is trained; their weights stay as they are.
        images: Reads images (`toolkit_common.features.encode.RowImages`).
        rows: Of the data set; a few are read.
        accelerator: Where.
    """
    few = rows[: min(len(rows), FEW)]
    bank.to(accelerator.device).train()
    seconds = 0.0
    for _ in range(2):  # the first builds caches, picks kernels
        start = time.perf_counter()
        read = features_to(next(images.batches(few)), accelerator.device)
        with accelerator.autocast():
            logits = bank(read)
        torch.stack([item.float().sum() for item in logits.values()]).sum().backward()
        if accelerator.device.type == "cuda":
            torch.cuda.synchronize(accelerator.device)
        seconds = time.perf_counter() - start
    return seconds / len(few)
