"""Augmented images and encoded metadata of each batch, in the sampler's order.

Every random draw of an image is a pure function of seed, epoch and row, so that neither workers,
ranks nor a resume change what is seen. Colour jitter is weak on purpose: lesion metadata holds the
lesion's colours and size, and strong jitter would make an image contradict its own metadata.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from toolkit_common.data.base import ImageData
from toolkit_common.data.images import open_image
from toolkit_common.data.transforms import Preprocess
from toolkit_common.seed import generator, seed_everything
from toolkit_slimp.sampling import PatientBatch, PatientSampler
from toolkit_slimp.schema import Metadata

CROP_SCALE = (0.6, 1.0)
BRIGHTNESS, CONTRAST, SATURATION = 0.1, 0.1, 0.05  # no hue: see above


class LesionImages(Dataset[Tensor]):
    """Augmented images by `(epoch, row)`: uint8 `(3, h, w)`."""

    def __init__(
        self, data: ImageData, transform: Callable[[Image.Image], Tensor], *, seed: int
    ) -> None:
        self.images = data.images
        self.transform = transform
        self.seed = seed

    def __getitem__(self, key: tuple[int, int]) -> Tensor:
        epoch, row = key
        image = open_image(self.images[row]["image"])
        with torch.random.fork_rng(devices=[]):
            seed_everything(self.seed, "augment", epoch, row)
            return self.transform(image)


def build_train_transform(preprocess: Preprocess) -> Callable[[Image.Image], Tensor]:
    """Return the augmentation: crop, flips, quarter turns, weak colour jitter."""
    from toolkit_common.backbones.torchvision_ops import prepare

    prepare()
    from torchvision import transforms as t

    mode = t.InterpolationMode(preprocess.interpolation)
    transform: Callable[[Image.Image], Tensor] = t.Compose(
        [
            t.RandomResizedCrop(preprocess.image_size, scale=CROP_SCALE, interpolation=mode),
            t.RandomHorizontalFlip(),
            t.Lambda(_quarter_turn),
            t.ColorJitter(BRIGHTNESS, CONTRAST, SATURATION),
            t.PILToTensor(),
        ]
    )
    return transform


def hide_values(metadata: Metadata, share: float, draws: torch.Generator) -> Metadata:
    """Return the metadata with a random share of its values marked as missing."""
    kept = torch.rand(metadata.observed.shape, generator=draws) >= share
    return Metadata(metadata.numeric, metadata.categorical, metadata.observed & kept)


class BatchStream:
    """The batches of a training run from one step on.

    Args:
        sampler: Deals patients to batches.
        images: Augmented images.
        lesions: Lesion metadata of every row of the data set.
        patients: Patient metadata of every row.
        dropout: Share of metadata values to hide.
        rank: This process.
        num_ranks: All processes.
        num_workers: Processes that decode.
    """

    def __init__(
        self,
        sampler: PatientSampler,
        images: LesionImages,
        lesions: Metadata,
        patients: Metadata,
        *,
        dropout: float,
        rank: int = 0,
        num_ranks: int = 1,
        num_workers: int = 0,
    ) -> None:
        self.sampler = sampler
        self.images = images
        self.lesions = lesions
        self.patients = patients
        self.dropout = dropout
        self.rank = rank
        self.num_ranks = num_ranks
        self.num_workers = num_workers

    def batches(self, first_step: int, last_step: int) -> Iterator[dict[str, Any]]:
        """Yield each step's `images` (uint8, this rank's), `lesions`, `segments`, `patients`."""
        plan = _Plan(self.sampler, first_step, last_step)
        keys = _Keys(plan, self.rank, self.num_ranks)
        loader: DataLoader[Tensor] = DataLoader(
            self.images,
            batch_sampler=keys,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
        )
        for (step, _, batch), images in zip(plan, loader, strict=True):
            draws = generator(self.images.seed, "hide", step)
            lesions = hide_values(self.lesions.take(_index(batch.rows)), self.dropout, draws)
            patients = hide_values(self.patients.take(_index(batch.patients)), self.dropout, draws)
            yield {
                "images": images,
                "lesions": lesions.take(_index(batch.part(self.rank, self.num_ranks))),
                "segments": torch.from_numpy(batch.segments),
                "patients": patients,
            }


class _Plan:
    """Steps, epochs and batches from one step to another, again and again the same."""

    def __init__(self, sampler: PatientSampler, first_step: int, last_step: int) -> None:
        self.sampler = sampler
        self.steps = range(first_step, last_step)

    def __iter__(self) -> Iterator[tuple[int, int, PatientBatch]]:
        per_epoch = self.sampler.batches_per_epoch
        batches: Sequence[PatientBatch] = ()
        for step in self.steps:
            epoch, number = divmod(step, per_epoch)
            if number == 0 or not batches:
                batches = self.sampler.epoch(epoch)
            yield step, epoch, batches[number]


class _Keys:
    """The loader's batch sampler: `(epoch, row)` of this rank's lesions."""

    def __init__(self, plan: _Plan, rank: int, num_ranks: int) -> None:
        self.plan = plan
        self.rank = rank
        self.num_ranks = num_ranks

    def __len__(self) -> int:
        return len(self.plan.steps)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for _, epoch, batch in self.plan:
            mine = batch.rows[batch.part(self.rank, self.num_ranks)]
            yield [(epoch, int(row)) for row in mine]


def _quarter_turn(image: Image.Image) -> Image.Image:
    turns = int(torch.randint(4, ()))
    return image.rotate(90 * turns) if image.width == image.height else image


def _index(rows: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(rows, np.int64))
