"""Augmented images and encoded metadata of each batch, in the sampler's order.

Every random draw of an image is a pure function of seed, step, row and view, so that neither
workers, ranks nor a resume change what is seen. Colour jitter is weak on purpose: lesion metadata
holds the lesion's colours and size, and strong jitter would make an image contradict its metadata.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from toolkit_common.data.dataset import ImageData
from toolkit_common.images.open import open_image
from toolkit_common.images.transforms import Preprocess, Transform
from toolkit_common.seed import generator, seeded
from toolkit_common.training.late import send
from toolkit_slimp.metadata.schema import Metadata
from toolkit_slimp.metadata.table import EncodedTable
from toolkit_slimp.model.terms import Members, build_members
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.training.sampling import PatientBatch, PatientSampler


@dataclass(frozen=True)
class Batch:
    """What one process works on in one step.

    Attributes:
        rows: Rows in the data set of this process's lesions `(own,)`.
        images: Their images, as the encoder takes them before normalisation.
        views: Second views of the images, where the loss compares views.
        lesions: Their metadata.
        members: Who belongs to whom in the whole batch, the same in all processes.
    """

    rows: Int[Tensor, " own"]
    images: UInt8[Tensor, "own 3 h w"]
    views: UInt8[Tensor, "own 3 h w"] | None
    lesions: Metadata
    members: Members

    def to(self, device: Any) -> "Batch":
        """Move to a device."""
        return replace(
            self,
            images=send(self.images, device),
            views=None if self.views is None else send(self.views, device),
            lesions=self.lesions.to(device),
            members=self.members.to(device),
        )

    def take(self, rows: Tensor | slice) -> "Batch":
        """Return a part of this process's lesions; the members stay those of the whole batch."""
        return replace(
            self,
            rows=self.rows[rows],
            images=self.images[rows],
            views=None if self.views is None else self.views[rows],
            lesions=self.lesions.take(rows),
        )


class LesionImages(Dataset[Tensor]):
    """Augmented images by `(step, row, view)`: uint8 `(3, h, w)`."""

    def __init__(self, data: ImageData, transform: Transform, *, seed: int) -> None:
        self.images = data.images
        self.transform = transform
        self.seed = seed

    def __getitem__(self, key: tuple[int, int, int]) -> Tensor:
        step, row, view = key
        image = open_image(self.images[row]["image"])
        # torchvision draws from torch's own stream: seeded by what is drawn for, then given back,
        # so that neither a worker nor a resumed step changes a crop (docs/traps.md 4).
        with seeded(self.seed, "augment", step, row, view):
            return self.transform(image)


def find_smallest_side(settings: SlimpSettings) -> float:
    """Return the width of the smallest training crop, as a share of a square image's.

    Its aspect is torchvision's narrowest, 3 to 4.
    """
    return (settings.crop_scale * 3 / 4) ** 0.5


def build_train_transform(preprocess: Preprocess, settings: SlimpSettings) -> Transform:
    """Return the augmentation: crop, flips, quarter turns, weak colour jitter."""
    from toolkit_common.torchvision_ops import prepare

    prepare()
    from torchvision import transforms as t

    mode = t.InterpolationMode(preprocess.interpolation)
    scale, jitter = (settings.crop_scale, 1.0), settings.color_jitter
    transform: Callable[[Image.Image], Tensor] = t.Compose(
        [
            t.RandomResizedCrop(preprocess.image_size, scale=scale, interpolation=mode),
            t.RandomHorizontalFlip(),
            t.Lambda(_quarter_turn),
            t.ColorJitter(jitter, jitter, jitter / 2),  # no hue: metadata hold colours
            t.PILToTensor(),
        ]
    )
    return transform


def hide_values(metadata: Metadata, share: float, draws: torch.Generator) -> Metadata:
    """Return the metadata with a random share of its values marked as missing."""
    kept = torch.rand(metadata.observed.shape, generator=draws) >= share
    return Metadata(metadata.numeric, metadata.words, metadata.observed & kept)


class BatchStream:
    """The batches of a training run from one step on.

    Args:
        sampler: Deals patients to batches.
        images: Augmented images.
        table: Metadata of every row of the data set.
        settings: What share of metadata values is hidden; whether there are second views.
        rank: This process.
        num_ranks: All processes.
        num_workers: Processes that decode.
    """

    def __init__(
        self,
        sampler: PatientSampler,
        images: LesionImages,
        table: EncodedTable,
        *,
        settings: SlimpSettings,
        rank: int = 0,
        num_ranks: int = 1,
        num_workers: int = 0,
    ) -> None:
        self.sampler = sampler
        self.images = images
        self.table = table
        self.settings = settings
        self.num_views = 2 if settings.image_weight else 1
        self.rank = rank
        self.num_ranks = num_ranks
        self.num_workers = num_workers

    @property
    def total_steps(self) -> int:
        """Batches of the whole run."""
        if self.settings.steps is not None:
            return self.settings.steps
        assert self.settings.epochs is not None, "settings have one of both"
        return self.settings.epochs * self.sampler.batches_per_epoch

    @property
    def num_epochs(self) -> float:
        """Times that every training patient is seen in the whole run."""
        return self.total_steps / self.sampler.batches_per_epoch

    def batches(self, first_step: int, last_step: int) -> Iterator[Batch]:
        """Yield this process's part of each step's batch."""
        loader: DataLoader[Tensor] = DataLoader(
            self.images,
            # A generator: keys of a whole run are many.
            batch_sampler=(self._keys(*item) for item in self._plan(first_step, last_step)),
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
        )
        # The loader reads ahead, so that it has a plan of its own.
        for (step, batch), images in zip(self._plan(first_step, last_step), loader, strict=True):
            first, *others = images.chunk(self.num_views)
            yield self._batch(step, batch, first, views=others[0] if others else None)

    def _plan(self, first_step: int, last_step: int) -> Iterator[tuple[int, PatientBatch]]:
        batches: Sequence[PatientBatch] = ()
        for step in range(first_step, last_step):
            epoch, number = divmod(step, self.sampler.batches_per_epoch)
            # Anew at the start of an epoch, and where a resumed run begins within one.
            if number == 0 or not batches:
                batches = self.sampler.epoch(epoch)
            yield step, batches[number]

    def _keys(self, step: int, batch: PatientBatch) -> list[tuple[int, int, int]]:
        """Return `(step, row, view)` of this rank's lesions, view after view."""
        mine = batch.rows[batch.part(self.rank, self.num_ranks)]
        # View after view: `batches` cuts the images apart again.
        return [(step, int(row), view) for view in range(self.num_views) for row in mine]

    def _batch(
        self, step: int, batch: PatientBatch, images: Tensor, *, views: Tensor | None
    ) -> Batch:
        rows, share = _index(batch.rows), self.settings.metadata_dropout
        segments, patients = _index(batch.segments), _index(batch.patients)
        members = build_members(self.table, rows, patients=patients, segments=segments)
        # All ranks draw for the whole batch, so that its patients are the same everywhere.
        draws = generator(self.images.seed, "hide", step)
        lesions = hide_values(self.table.lesions.take(rows), share, draws)
        members = replace(members, patients=hide_values(members.patients, share, draws))
        # After hiding: what is hidden does not depend on who encodes it.
        own = _index(batch.part(self.rank, self.num_ranks))
        return Batch(rows[own], images, views, lesions.take(own), members)


def _quarter_turn(image: Image.Image) -> Image.Image:
    turns = int(torch.randint(4, ()))
    # Another shape would not stack.
    return image.rotate(90 * turns) if image.width == image.height else image


def _index(rows: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(rows, np.int64))
