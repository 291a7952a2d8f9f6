"""`toolkit attention --stats`: what can be counted on the maps of every head of a run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit_common.backbones.contract import Backbone
from toolkit_common.data.loaders import chunks
from toolkit_common.features.contract import LayerFeatures
from toolkit_common.images.open import Place
from toolkit_common.runs.folder import RunFolder
from toolkit_common.runs.manifest import results_file
from toolkit_common.scores.statistics import Estimate, estimate_mean
from toolkit_probing.attention.choose import (
    KeptHead,
    choose_head,
    head_of,
    heads_to_measure,
    heads_with_maps,
)
from toolkit_probing.attention.judged import open_judged
from toolkit_probing.attention.maps import attention_maps
from toolkit_probing.attention.masks import choose_masks, find_masks, read_mask
from toolkit_probing.attention.pictures import encode, evenly, find_images, see, spread
from toolkit_probing.attention.statistics import statistics_of
from toolkit_probing.heads.files import load_head, read_spec
from toolkit_probing.heads.head import Head, HeadSpec
from toolkit_probing.protocols import settings_of
from toolkit_probing.results.contents import read_results
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.encoder import load_judged_backbone

BATCH = 64

Grid = tuple[int, int]
Encode = Callable[[np.ndarray], LayerFeatures]  # by numbers of images


@dataclass(frozen=True)
class Measured:
    """Statistics of one head's maps.

    Attributes:
        name: Of its row, else of its file.
        head: Name of its file.
        method: Its method.
        options: Its method's.
        layer: Layer that it reads.
        source: What it reads there.
        grid: Patch grid of its maps.
        num_queries: Maps of an image.
        statistics: Mean over images, with intervals over groups.
    """

    name: str
    head: str
    method: str
    options: Mapping[str, Any]
    layer: int
    source: str
    grid: Grid
    num_queries: int
    statistics: Mapping[str, Estimate]


@dataclass(frozen=True)
class Statistics:
    """What was counted.

    Attributes:
        run: The run.
        random_weights: Whether its encoder has random weights.
        images: Which images.
        num_images: How many.
        num_groups: Their groups, which intervals are over.
        num_masks: Images with a mask that is not empty; None where none were requested.
        heads: A head each.
    """

    run: str
    random_weights: bool
    images: str
    num_images: int
    num_groups: int
    num_masks: int | None
    heads: Sequence[Measured]

    @property
    def grid(self) -> Grid | None:
        """The patch grid of all maps; None where they differ, as convolutional layers' do."""
        grids = {head.grid for head in self.heads}
        return min(grids) if len(grids) == 1 else None

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {**asdict(self), "grid": self.grid}


@dataclass(frozen=True)
class _Images:
    """What maps are measured on.

    Attributes:
        called: Which images, for humans.
        places: Where they are.
        names: Their ids, or their files' names.
        groups: Group of each.
        encoder: By the file of a head: the encoder that it reads, and what that gives for some.
    """

    called: str
    places: Sequence[Place]
    names: Sequence[str]
    groups: np.ndarray
    encoder: Callable[[Path], tuple[Backbone, Encode]]


def measure_attention(
    path: Path,
    *,
    images: Path | None = None,
    masks: Path | None = None,
    head: str | None = None,
    num_images: int | None = None,
) -> Statistics:
    """Return statistics of attention maps, of one head or of every method's.

    Args:
        path: Finished probe run.
        images: An image or a folder of them; the run's own test images by default.
        masks: Folder of masks, called as the images are.
        head: Name of a head, or how it begins; the first of every row that has maps by default.
        num_images: At most so many images, evenly chosen; all by default.

    Raises:
        InputError: If the run, its heads, the images or the masks are at fault.
    """
    results_file(path)  # a run without one has not ended
    heads_with_maps(path)  # said in the words of who called
    run, results = path.absolute(), read_results(path)
    settings = settings_of(run)
    heads = heads_to_measure(run, results, settings)
    if head is not None:
        heads = [head_of(run, results, settings, file=choose_head(run, head))]
    files = None if masks is None else find_masks(masks.absolute())
    opened = _own(run, num_images) if images is None else _others(run, images, num_images)
    with opened as those:
        chosen = None if files is None else choose_masks(files, those.names)
        measured, num_masks = _measure(heads, those, chosen, settings=settings)
    return Statistics(
        run=str(path),
        random_weights=results.backbone.random_weights,
        images=those.called,
        num_images=len(those.places),
        num_groups=int(np.unique(those.groups).size),
        num_masks=num_masks,
        heads=measured,
    )


@contextmanager
def _own(run: Path, count: int | None) -> Iterator[_Images]:
    """Give a run's own test images."""
    with open_judged(run) as judged:
        at = evenly(len(judged.ids), count)

        def encoder(head: Path) -> tuple[Backbone, Encode]:
            backbone, source = judged.encoded(head)
            return backbone, lambda some: judged.features(source, at[some])

        yield _Images(
            "its own test images",
            [judged.place(int(place)) for place in at],
            [judged.ids[place] for place in at],
            judged.task.groups_of("test")[at],
            encoder,
        )


@contextmanager
def _others(run: Path, images: Path, count: int | None) -> Iterator[_Images]:
    """Give images of another place, each a group of its own."""
    pictures = find_images(images.absolute(), read_results(run).data.pixel_range)
    pictures = spread(pictures, count)
    with RunFolder(run).where_it_began():

        def encoder(head: Path) -> tuple[Backbone, Encode]:
            backbone = load_judged_backbone(run, settings_of(run), head=head.name)
            return backbone, lambda some: encode(
                backbone, see(backbone, [pictures[at].place for at in some])
            )

        yield _Images(
            str(images),
            [item.place for item in pictures],
            [item.name for item in pictures],
            np.arange(len(pictures)).astype(str),
            encoder,
        )


def _measure(
    heads: Sequence[KeptHead],
    images: _Images,
    masks: Sequence[Path | None] | None,
    *,
    settings: ProbeSettings,
) -> tuple[list[Measured], int | None]:
    """Return the statistics of every head, and how many masks are not empty."""
    # Heads of one encoder read what it gives once; of tuned ones each has its own.
    together = [heads] if settings.tune == "none" else [[head] for head in heads]
    measured: list[Measured] = []
    num_masks = None if masks is None else 0
    for some in together:
        backbone, encode_some = images.encoder(some[0].file)
        parts = _Parts(images, masks, backbone)
        for numbers in chunks(np.arange(len(images.places)), BATCH):
            parts.add_(some, numbers, encode_some(numbers))
        measured += [parts.measured(head) for head in some]
        num_masks = None if masks is None else parts.num_masks
    return measured, num_masks


class _Parts:
    """Statistics of the heads of one encoder, batch by batch."""

    def __init__(
        self, images: _Images, masks: Sequence[Path | None] | None, backbone: Backbone
    ) -> None:
        self.images = images
        self.masks = masks
        self.preprocess = backbone.info.preprocess
        self.heads: dict[Path, tuple[Head, HeadSpec]] = {}
        self.figures: dict[Path, list[Mapping[str, np.ndarray]]] = {}
        self.queries: dict[Path, int] = {}
        self.grids: dict[Path, Grid] = {}
        self.num_masks = 0

    def add_(self, heads: Sequence[KeptHead], numbers: np.ndarray, layers: LayerFeatures) -> None:
        """Add the statistics of some images."""
        masks: dict[Grid, np.ndarray] = {}
        for head in heads:
            maps = self._maps(head.file, layers)
            grid = (maps.shape[2], maps.shape[3])
            self.grids[head.file] = grid
            if self.masks is not None and grid not in masks:
                masks[grid] = self._read_masks(numbers, grid)
                if len(masks) == 1:
                    self.num_masks += int((np.nan_to_num(masks[grid]).sum(-1) > 0).sum())
            self.queries[head.file] = maps.shape[1]
            self.figures.setdefault(head.file, []).append(statistics_of(maps, masks.get(grid)))

    def measured(self, head: KeptHead) -> Measured:
        """Return what was added of a head."""
        parts, (_, spec) = self.figures[head.file], self.heads[head.file]
        whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return Measured(
            name=head.name,
            head=head.file.stem,
            method=spec.method,
            options=spec.options if head.row is None else head.row.options,
            layer=spec.layer,
            source=spec.source,
            grid=self.grids[head.file],
            num_queries=self.queries[head.file],
            statistics={
                name: estimate_mean(values, self.images.groups) for name, values in whole.items()
            },
        )

    def _maps(self, file: Path, layers: LayerFeatures) -> np.ndarray:
        if file not in self.heads:
            spec, head = load_head(file, layers[read_spec(file).layer])
            self.heads[file] = (head, spec)
        head, spec = self.heads[file]
        return attention_maps(head, layers[spec.layer], spec.source)

    def _read_masks(self, numbers: np.ndarray, grid: Grid) -> np.ndarray:
        """Return masks of some images `(b, n)`, NaN where there is none."""
        assert self.masks is not None
        none = np.full(grid, np.nan)
        read = [
            none
            if (file := self.masks[at]) is None
            else read_mask(file, self.images.places[at], preprocess=self.preprocess, grid=grid)
            for at in numbers
        ]
        return np.stack(read).reshape(len(read), -1)
