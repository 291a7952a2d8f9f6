"""From rows of a data set to features by running the encoder: once, every epoch, on new crops."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from typing_extensions import override

from toolkit_common.backbones.contract import Backbone, BackboneInfo
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.loaders import ImageRows, build_loader, chunks
from toolkit_common.errors import InputError
from toolkit_common.features.codec import StoreDtype, keep
from toolkit_common.features.contract import (
    Features,
    FeatureSource,
    LayerFeatures,
    concatenate,
    features_of,
    flatten,
    without_patches,
)
from toolkit_common.features.finite import refuse_not_finite, row_names
from toolkit_common.features.planner import PlaceChoice
from toolkit_common.features.store import StoreSpec
from toolkit_common.images.open import BadImageError, open_image, remedy
from toolkit_common.images.transforms import Preprocess, RandomCrop, build_eval_transform
from toolkit_common.seed import generator

OPEN_CLIP = "open_clip:"
VECTOR_BATCH = 64


@dataclass(frozen=True)
class Extraction:
    """How to extract; see `toolkit probe --help` for the options behind it.

    Attributes:
        store_dir: Where stores lie.
        store: Where tokens go.
        dtype: How patch tokens are kept.
        with_patches: Whether patch tokens are wanted, or vectors suffice.
        with_pooled: Whether the encoder's own pooled output is wanted.
        batch_size: Images a forward pass.
        num_workers: Processes that decode images.
        random_crops: Whether training is to see random crops of its images.
        views: How many crops of an image there are; 0 makes a new one every epoch.
        seed: Of these crops.
        train_reads: Images that training will read, each as often as it does.
        other_reads: Images that all else will read.
    """

    store_dir: Path
    store: PlaceChoice = "auto"
    dtype: StoreDtype = "fp16"
    with_patches: bool = True
    with_pooled: bool = False
    batch_size: int = 64
    num_workers: int = 0
    random_crops: bool = False
    views: int = 0
    seed: int = 0
    train_reads: int = 0
    other_reads: int = 0


class RowEncoder:
    """Rows of a data set -> features, with the loader and precision of one extraction."""

    def __init__(
        self, backbone: Backbone, data: ImageData, how: Extraction, accelerator: Accelerator
    ) -> None:
        self.backbone = backbone
        self.data = data
        self.how = how
        self.accelerator = accelerator
        info = backbone.info
        self.transform = build_eval_transform(info.preprocess)
        self.crop = _crop_for(info)

    def images(self, rows: np.ndarray, view: int | None = None) -> "Dataset[dict[str, Any]]":
        """Return the images of rows as the encoder takes them, or one random crop of each."""
        if view is None:
            return ImageRows(self.data, rows, self.transform)
        return _CroppedRows(self.data, rows, self.crop, when=(self.how.seed, view))

    def encode(self, images: Tensor) -> LayerFeatures:
        """Uint8 images -> features, on the encoder's device."""
        self.backbone.to(self.accelerator.device)
        batch = images.to(self.accelerator.device, non_blocking=True)  # bytes: a quarter of fp32
        with torch.inference_mode(), self.accelerator.autocast():
            normalised = self.backbone.info.preprocess.normalize(batch)
            layers = self.backbone.forward_layers(normalised, pooled=self.how.with_pooled)
            facts = self.backbone.info.facts
            kept = [features_of(item, facts, with_patches=self.how.with_patches) for item in layers]
        return dict(zip(self.backbone.info.layers, kept, strict=True))

    def batches(self, rows: np.ndarray, view: int | None = None) -> Iterator[LayerFeatures]:
        """Yield the features of rows in their order, a batch at a time."""
        positions = chunks(np.arange(len(rows)), self.how.batch_size)
        return self.in_batches(self.images(rows, view), positions)

    def store_spec(self, rows: np.ndarray, view: int | None = None) -> StoreSpec:
        """Return everything that determines the features of rows, or of one crop of each."""
        backbone, how = self.backbone, self.how
        keys = self.data.image_keys
        names = [keys[int(row)] for row in rows]
        crop = None
        if view is not None:
            crop = {"seed": how.seed, "view": view, **asdict(self.crop)}
            # What a crop shows depends on its row's number too.
            names = [f"{row}:{name}" for row, name in zip(rows, names, strict=True)]
        images = hashlib.sha256("\n".join(names).encode())  # in order: rows are positions
        return StoreSpec(
            encoder=backbone.fingerprint(),
            layers=backbone.info.layers,
            preprocess=asdict(backbone.info.preprocess),
            images=images.hexdigest(),
            num_images=len(rows),
            with_patches=how.with_patches,
            with_pooled=how.with_pooled,
            dtype=how.dtype,
            precision=str(self.accelerator.mixed_precision),  # bf16 gives other features
            crop=crop,
        )

    def time_one_batch(self, rows: np.ndarray) -> tuple[LayerFeatures, float]:
        """Return the features of a first small batch and the seconds an image takes."""
        few = rows[: min(len(rows), self.how.batch_size, 16)]
        next(self.batches(few[:1]))  # builds caches, picks kernels
        start = time.perf_counter()
        sample = next(self.batches(few))  # through the loader: decoding costs too
        return sample, (time.perf_counter() - start) / len(few)

    def in_batches(
        self, images: "Dataset[dict[str, Any]]", batches: Sequence[np.ndarray]
    ) -> Iterator[LayerFeatures]:
        """Yield the features of each batch of positions in `images`.

        A training batch may be larger than what the encoder takes at once: it is cut.

        Raises:
            InputError: If an image does not decode, or a feature is no finite number.
        """
        pieces = [chunks(batch, self.how.batch_size) for batch in batches]
        # One loader for all batches: its workers decode ahead across their ends.
        loader: DataLoader[dict[str, Tensor]] = DataLoader(
            images,
            batch_sampler=[piece.tolist() for batch in pieces for piece in batch],
            # Each worker would walk through the whole stream.
            num_workers=0 if self.data.is_streamed else self.how.num_workers,
            pin_memory=torch.cuda.is_available(),  # `encode` copies without waiting, which needs it
        )
        loaded = iter(loader)
        try:
            for batch in pieces:
                # A copy, as tensors made in inference mode cannot be saved for a head's backward.
                yield concatenate([self._encode_checked(next(loaded)) for _ in batch])
        # A worker's error carries its traceback in its text: the last line says what is wrong.
        except BadImageError as error:
            problem = str(error).splitlines()[-1]
            raise InputError(f"bad image {problem}: {remedy(problem)}") from error

    def _encode_checked(self, batch: dict[str, Tensor]) -> LayerFeatures:
        features = self.encode(batch["image"])
        # Here whatever they are for: kept, or read at once and gone.
        refuse_not_finite(flatten(features), row_names(self.data, batch["row"].numpy()))
        return features


class RowImages(RowEncoder):
    """Rows of a data set -> their images, for an encoder that is trained and runs elsewhere."""

    @override
    def encode(self, images: Tensor) -> LayerFeatures:
        info = self.backbone.info
        return {info.layers[-1]: Features({}, None, info.facts.grid, images)}


class OnlineSource:
    """Runs the encoder for every batch anew; keeps nothing.

    Args:
        encoder: What runs.
        rows: The list of images.
        view: Which random crop of each, or None for the images as they are.
        dtype: In which patches would be kept: they come as if they had been. None gives the
            encoder's own.
    """

    def __init__(
        self,
        encoder: RowEncoder,
        rows: np.ndarray,
        view: int | None = None,
        *,
        dtype: StoreDtype | None = None,
    ) -> None:
        self._encoder = encoder
        self._images = encoder.images(rows, view)
        self._num_images = len(rows)
        self._dtype = dtype

    def __len__(self) -> int:
        return self._num_images

    def iterate(
        self, batches: Sequence[np.ndarray], *, patches: bool = True
    ) -> Iterator[LayerFeatures]:
        """Yield the features of each batch of positions."""
        encoded, dtype = self._encoder.in_batches(self._images, batches), self._dtype
        if not patches:
            return map(without_patches, encoded)
        # A head reads the same bits wherever they are kept.
        return encoded if dtype is None else (keep(item, dtype) for item in encoded)


class CropSource:
    """Features of a random crop of every image, another one each epoch; keeps nothing."""

    def __init__(self, encoder: RowEncoder, rows: np.ndarray) -> None:
        self._encoder = encoder
        self._rows = rows

    def iterate(
        self, batches: Sequence[np.ndarray], *, epoch: int, patches: bool = True
    ) -> Iterator[LayerFeatures]:
        """Yield the features of each batch of positions, cropped as in `epoch`."""
        cropped = self._encoder.in_batches(self._encoder.images(self._rows, epoch), batches)
        return cropped if patches else map(without_patches, cropped)


class ViewSource:
    """Features of a few random crops of every training image, one of them each epoch in turn.

    Args:
        views: Features of each crop of the training images.
        train: Positions of the training images in the list.
    """

    def __init__(self, views: Sequence[FeatureSource], train: np.ndarray) -> None:
        self._views = views
        self._places = {int(position): place for place, position in enumerate(train)}

    def iterate(
        self, batches: Sequence[np.ndarray], *, epoch: int, patches: bool = True
    ) -> Iterator[LayerFeatures]:
        """Yield the features of each batch of positions, cropped as in `epoch`."""
        # Batches number the whole list; a view holds its training rows alone.
        places = [np.array([self._places[int(at)] for at in batch]) for batch in batches]
        return self._views[epoch % len(self._views)].iterate(places, patches=patches)


@runtime_checkable
class VectorEncoder(Protocol):
    """An encoder that is being trained, with the vector of an image that its loss reads."""

    # A property, as a module within a module is none of its attributes to a check at run time.
    @property
    def preprocess(self) -> Preprocess:
        """What makes an image the normalised tensor that it takes."""
        ...

    def encode_images(self, images: Tensor) -> Tensor:
        """Normalised images `(b, 3, h, w)` -> vectors `(b, d)`."""
        ...


@torch.no_grad()
def encode_images(
    encoder: VectorEncoder, data: ImageData, rows: np.ndarray, *, device: torch.device
) -> Tensor:
    """Return the vectors of rows, in their order, as the encoder is now: nothing is kept.

    For an encoder that is no frozen `Backbone` because its training goes on; the caller has set it
    to eval mode. Neither augmented nor under autocast.
    """
    preprocess = encoder.preprocess
    transform = build_eval_transform(preprocess)
    loader = build_loader(data, rows, transform=transform, batch_size=VECTOR_BATCH)
    # Lazily: one batch of images is on the device at a time.
    images = (preprocess.normalize(batch["image"].to(device)) for batch in loader)
    return torch.cat([encoder.encode_images(batch) for batch in images])


def _crop_for(info: BackboneInfo) -> RandomCrop:
    """Return the crop for an encoder.

    An open_clip encoder sees crops of 0.9 to 1 of the area without mirroring, as its own training
    transform has them and the EP reference trains on them (docs/protocols.md).
    """
    size, mode = info.preprocess.image_size, info.preprocess.interpolation
    is_open_clip = info.facts.architecture.startswith(OPEN_CLIP)
    return RandomCrop(size, mode, 0.9, False) if is_open_clip else RandomCrop(size, mode)


class _CroppedRows(Dataset[dict[str, Any]]):
    """Some rows of a data set, each image cropped as seed, epoch and row say."""

    def __init__(
        self, data: ImageData, rows: np.ndarray, crop: RandomCrop, *, when: tuple[int, int]
    ) -> None:
        self.images = data.images
        self.rows = rows
        self.crop = crop
        self.when = when

    @override
    def __getitem__(self, position: int) -> dict[str, Any]:
        row, (seed, epoch) = int(self.rows[position]), self.when
        # By row, not by worker or order: a resumed epoch cuts the same (docs/traps.md 4).
        draws = generator(seed, "crop", epoch, row)
        return {"image": self.crop(open_image(self.images[row]["image"]), draws), "row": row}
