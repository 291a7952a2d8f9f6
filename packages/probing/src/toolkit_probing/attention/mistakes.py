"""The worst mistakes of a probe as pictures: what it was surest of and wrong, and where EP looked.

Pictures go by the number of their row in the file of predictions: ids name patients in many sets.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from toolkit_common.errors import InputError
from toolkit_common.images.open import open_image
from toolkit_common.pages.pictures import data_uri
from toolkit_probing.attention.choose import KeptHead, heads_to_measure
from toolkit_probing.attention.judged import JudgedImages
from toolkit_probing.attention.maps import (
    ALMOST_EVEN,
    attention_maps,
    count_queries,
    group_maps,
    group_queries,
    peak_to_even,
)
from toolkit_probing.attention.pictures import see, to_photos
from toolkit_probing.attention.sheet import draw_overlay
from toolkit_probing.heads.files import load_head
from toolkit_probing.protocols import settings_of
from toolkit_probing.results.saved import SavedRow, SavedRun, read_run

MOST = 12  # pictures of a page
SIDE = 176  # pixels of the longer side: a page stays small
DRAWN = "ep"  # whose attention is drawn

OpenImages = Callable[[Path], AbstractContextManager[JudgedImages]]  # by the run's folder


@dataclass(frozen=True)
class Mistake:
    """One wrong test image.

    Attributes:
        number: Its row in the file of predictions, from 1 on.
        truth: Its class.
        predicted: What it was taken for.
        probability: Of that, the mean over repeats.
        of_truth: Of its class.
        photo: The image as a data URI.
        size: Width and height of the photo in pixels.
        looked: The same under EP's maps; None without.
        fold: Whose run has that file, of folds that are joined and have none of all.
    """

    number: int
    truth: str
    predicted: str
    probability: float
    of_truth: float
    photo: str = ""
    size: tuple[int, int] = (0, 0)
    looked: str | None = None
    fold: str = ""


@dataclass(frozen=True)
class Seen:
    """What stands beside photos.

    Attributes:
        how: What it is.
        peak: Of its strongest patch in even shares; 0 without maps.
    """

    how: str
    peak: float = 0.0


@dataclass(frozen=True)
class Mistakes:
    """What a page shows of a probe's mistakes.

    Attributes:
        name: Of the probe, as the page calls it.
        file: Its predictions, in the run folder.
        lines: What must be known to read the pictures, or why there are none.
        items: The worst ones, worst first.
    """

    name: str
    file: str
    lines: Sequence[str]
    items: Sequence[Mistake] = ()


def show_mistakes(
    run: SavedRun, saved: SavedRow, *, name: str, open_images: OpenImages
) -> Mistakes:
    """Return the most confident wrong test images of a row, with pictures where they can be had.

    Args:
        run: Its run.
        saved: The row.
        name: What the page calls it.
        open_images: Gives the run's test images.
    """
    run = replace(run, path=run.path.absolute())  # images are read in the folder that it began in
    wrong = _worst(saved, [str(label) for label in run.results.data.classes])
    total, file = len(saved.image_ids), saved.row.predictions
    if not wrong:
        return Mistakes(name, file, [f"None: all {total} test images are right."])
    lines = [
        f"The surest {min(MOST, len(wrong))} of {len(wrong)} wrong ones, of {total} test images."
    ]
    try:
        if saved.folds is None:
            with open_images(run.path) as images:
                items, seen = _pictured(run, saved, wrong[:MOST], images=images)
            more = _how_to_read([seen])
        else:
            items, more = _of_folds(run, saved, wrong[:MOST], open_images=open_images)
    except InputError as error:
        return Mistakes(name, file, [*lines, f"No pictures: {error}."])
    return Mistakes(name, file, [*lines, *more], items)


def _worst(saved: SavedRow, classes: Sequence[str]) -> list[Mistake]:
    """Return all wrong test images, the surest first."""
    parts = [part for part in saved.predictions if part.is_finite]
    if not parts:
        return []
    probabilities = np.mean([part.probabilities for part in parts], axis=0)
    targets, predicted = parts[0].targets, probabilities.argmax(1)
    sure = probabilities.max(1)
    # Stable, so that equally sure ones keep their order.
    order = np.argsort(-sure, kind="stable")
    return [
        Mistake(
            number=int(at) + 1,
            truth=classes[targets[at]],
            predicted=classes[predicted[at]],
            probability=float(sure[at]),
            of_truth=float(probabilities[at, targets[at]]),
        )
        for at in order
        if predicted[at] != targets[at]
    ]


def _of_folds(
    run: SavedRun, saved: SavedRow, wrong: Sequence[Mistake], *, open_images: OpenImages
) -> tuple[list[Mistake], list[str]]:
    """Return mistakes of all folds: each is pictured by the run, and the head, of its own fold."""
    assert saved.folds is not None
    pictured: dict[int, Mistake] = {}
    seen: list[Seen] = []
    for fold, path in enumerate(run.folds):
        own = [item for item in wrong if saved.folds[item.number - 1] == fold]
        if own:
            part = read_run(path.absolute())
            with open_images(part.path) as images:
                row = replace(saved, run=part.path, row=part.rows[saved.row.name].row)
                items, own_seen = _pictured(part, row, own, images=images)
            pictured |= {item.number: item for item in items}
            seen.append(own_seen)
    lines = ["Each as the probe of its fold saw it.", *_how_to_read(seen)]
    items = [pictured[item.number] for item in wrong]
    if run.joined is not None:
        items = [_in_its_fold(run, saved, item) for item in items]
    return items, lines


def _in_its_fold(run: SavedRun, saved: SavedRow, item: Mistake) -> Mistake:
    """Return a mistake by its row in the file of its own fold: joined folds have no other."""
    assert saved.folds is not None
    fold = int(saved.folds[item.number - 1])
    before = int(np.argmax(saved.folds == fold))  # images of the folds ahead of it
    return replace(item, number=item.number - before, fold=run.results.folds[fold])


def _pictured(
    run: SavedRun, saved: SavedRow, wrong: Sequence[Mistake], *, images: JudgedImages
) -> tuple[list[Mistake], Seen]:
    """Return mistakes with their pictures, and what these show."""
    if images.task.data.is_streamed:
        raise InputError("images of a stream come once, in their order")
    # By id: repeats and data sets have orders of their own.
    places = {name: at for at, name in enumerate(images.ids)}
    at = np.array([places[saved.image_ids[item.number - 1]] for item in wrong])
    head = _head(run, saved)
    if head is None:
        photos = [_small(open_image(images.place(int(place)))) for place in at]
        looked: list[Image.Image | None] = [None] * len(photos)
        tuned = saved.row.is_tuned
        why = "The encoder was tuned" if tuned else "The run has no EP head"
        seen = Seen(f"{why}: no attention is drawn over them.")
    else:
        photos, overlays, seen = _looked(head, images, at)
        looked = [*overlays]
    return [
        Mistake(
            item.number, item.truth, item.predicted, item.probability, item.of_truth,
            photo=data_uri(photo), size=photo.size, looked=None if over is None else data_uri(over),
        )
        for item, photo, over in zip(wrong, photos, looked, strict=True)
    ], seen  # fmt: skip


def _head(run: SavedRun, saved: SavedRow) -> KeptHead | None:
    """Return the EP head whose attention is drawn: the row's own, else the run's first."""
    settings = settings_of(run.path)
    if settings.tune != "none" or not any(row.method == DRAWN for row in run.results.rows):
        return None
    try:
        heads = heads_to_measure(run.path, run.results, settings)
    except InputError:  # of a published head, which is judged and not kept
        return None
    drawn = [head for head in heads if head.row is not None and head.row.method == DRAWN]
    own = [head for head in drawn if head.row == saved.row]
    return next(iter([*own, *drawn]), None)


def _looked(
    head: KeptHead, images: JudgedImages, at: np.ndarray
) -> tuple[list[Image.Image], list[Image.Image], Seen]:
    """Return photos as the encoder sees them, the same under the maps, and what these show."""
    assert head.row is not None
    backbone, source = images.encoded(head.file)
    features = images.features(source, at)[head.row.layer]
    spec, loaded = load_head(head.file, features)
    maps = attention_maps(loaded, features, spec.source)
    groups = group_queries(maps)
    photos = [
        _small(photo)
        for photo in to_photos(see(backbone, [images.place(int(place)) for place in at]))
    ]
    shown = group_maps(maps, groups)
    overlays = [draw_overlay(photo, own) for photo, own in zip(photos, shown, strict=True)]
    how = f"where {head.name} looks, a colour a query ({count_queries(maps, shown)})"
    return photos, overlays, Seen(f"Right of each: {how}", max(map(peak_to_even, maps)))


def _how_to_read(seen: Sequence[Seen]) -> list[str]:
    """Return what pictures show, each thing once, and how far their maps may be read."""
    hows, strongest = (
        list(dict.fromkeys(item.how for item in seen)),
        max(item.peak for item in seen),
    )
    if not strongest:
        return hows
    lines = [
        f"{'; '.join(hows)}; the strongest patch of all has {strongest:.2f} times an even share."
    ]
    if strongest < ALMOST_EVEN:
        lines.append("The maps are almost even: read nothing into where they are coloured.")
    return lines


def _small(photo: Image.Image) -> Image.Image:
    small = photo.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    return small
