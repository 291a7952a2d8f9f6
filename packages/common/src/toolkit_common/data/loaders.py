"""Images in row order, decoded by workers: batches for an encoder, or one by one."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from toolkit_common.console import progress
from toolkit_common.data.dataset import ImageData
from toolkit_common.images.open import Place, open_image
from toolkit_common.images.transforms import Transform

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor

T = TypeVar("T")

MAX_WORKERS = 16
WAITING = 512  # results of threads in memory at once


def choose_num_workers(requested: int | None, accelerator: "Accelerator") -> int:
    """Return how many processes decode images for each process that computes.

    Args:
        requested: The user's number, or None: none beside a CPU encoder, which is slower than
            decoding and would lose its cores to them; else as many as there are cores, at most 16.
        accelerator: Where the encoder runs.

    Raises:
        OSError: If such processes cannot share memory.
    """
    # Cores are shared by the processes of a machine.
    per_process = (os.cpu_count() or 1) // accelerator.num_processes
    usual = 0 if accelerator.device.type == "cpu" else min(MAX_WORKERS, per_process)
    number = usual if requested is None else requested
    if number > 0:
        _refuse_no_semaphore()
    return number


def _refuse_no_semaphore() -> None:
    """Before a loader meets it, whose half-made workers end with a traceback of torch's."""
    try:
        multiprocessing.Lock()
    except OSError as error:
        raise OSError(error.errno, f"SemLock: {error.strerror}") from error


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


def map_images(
    data: ImageData, rows: np.ndarray, act: Callable[[Place], T], *, title: str
) -> Iterator[tuple[int, T]]:
    """Yield each row with what `act` makes of its image, beside a bar; threads do the work.

    A stream has one reader, which walks forward: one thread.
    """
    workers = 1 if data.is_streamed else os.cpu_count()
    # Threads, as Pillow decodes outside the interpreter's lock.
    with progress(title, len(rows)) as advance, ThreadPoolExecutor(workers) as pool:
        for chunk in chunks(rows, WAITING):
            # They fetch the images: a pool takes in all its arguments at once, and results wait.
            results = pool.map(lambda row: act(data.images[row]["image"]), chunk.tolist())
            for row, result in zip(chunk.tolist(), results, strict=True):
                yield row, result
                advance()


def chunks(rows: np.ndarray, size: int) -> Sequence[np.ndarray]:
    """Cut rows into consecutive pieces of at most `size`."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]
