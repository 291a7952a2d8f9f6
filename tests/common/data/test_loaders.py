"""Batches come in the order of the rows, whatever the batch size."""

import errno
import multiprocessing
import os

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from helpers.small_data import build_data, image_bytes
from toolkit_common.data import loaders
from toolkit_common.data.loaders import (
    ImageRows,
    build_loader,
    choose_num_workers,
    chunks,
    map_images,
)
from toolkit_common.images.open import BadImageError
from toolkit_common.images.transforms import Preprocess, build_eval_transform
from toolkit_common.outside import failure_of

TRANSFORM = build_eval_transform(Preprocess((6, 6)))


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 7])
def test_batches_hold_the_images_of_their_rows(batch_size: int, num_workers: int) -> None:
    data = build_data(["a"] * 5, images=[image_bytes(row) for row in range(5)])
    rows = np.array([4, 0, 3, 3, 1])
    loader = build_loader(
        data, rows, transform=TRANSFORM, batch_size=batch_size, num_workers=num_workers
    )
    batches = list(loader)
    alone = ImageRows(data, np.arange(5), TRANSFORM)
    assert torch.cat([batch["row"] for batch in batches]).tolist() == rows.tolist()
    images = torch.cat([batch["image"] for batch in batches])
    assert images.dtype == torch.uint8
    assert torch.equal(images, torch.stack([alone[row]["image"] for row in rows.tolist()]))


def test_a_bad_image_is_named_when_it_is_reached() -> None:
    data = build_data(["a", "b"], images=[image_bytes(0), b"broken"])
    loader = build_loader(data, np.arange(2), transform=TRANSFORM, batch_size=1)
    with pytest.raises(BadImageError, match="an image in memory: not an image"):
        list(loader)


def test_each_row_comes_with_what_is_made_of_its_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders, "WAITING", 2)
    data = build_data(["a"] * 5, images=[image_bytes(row) for row in range(5)])
    rows = np.array([4, 0, 3, 3, 1])
    made = list(map_images(data, rows, lambda place: place["bytes"], title="looking"))
    assert made == [(row, image_bytes(row)) for row in rows.tolist()]


@given(st.integers(0, 50), st.integers(1, 12))
@few_examples
def test_pieces_put_together_are_the_rows(count: int, size: int) -> None:
    rows = np.arange(count)
    pieces = chunks(rows, size)
    assert np.array_equal(np.concatenate([*pieces, rows[:0]]), rows)
    assert all(len(piece) == size for piece in pieces[:-1])
    assert all(0 < len(piece) <= size for piece in pieces)


@pytest.mark.parametrize(
    ("requested", "device", "processes", "cores", "expected"),
    [
        (None, "cpu", 1, 8, 0),
        (None, "cuda", 1, 8, 8),
        (None, "cuda", 4, 8, 2),
        (None, "cuda", 1, 64, 16),
        (None, "cuda", 4, None, 0),
        (3, "cpu", 1, 8, 3),
        (0, "cuda", 1, 8, 0),
    ],
)
def test_the_number_of_workers_fits_the_machine(
    requested: int | None,
    device: str,
    processes: int,
    cores: int | None,
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    accelerator = Accelerator(cpu=True)
    monkeypatch.setattr(Accelerator, "device", torch.device(device))
    monkeypatch.setattr(Accelerator, "num_processes", processes)
    assert choose_num_workers(requested, accelerator) == expected


def test_where_workers_cannot_share_memory_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(multiprocessing, "Lock", fail)
    accelerator = Accelerator(cpu=True)
    assert choose_num_workers(0, accelerator) == 0
    with pytest.raises(OSError, match="SemLock: Read-only") as caught:
        choose_num_workers(2, accelerator)
    failure = failure_of(caught.value)
    assert failure is not None
    assert failure.message.startswith("shared memory (/dev/shm) is full or absent")
