"""`toolkit attention`: where a head of a finished probe looks, from the run folder to the PNG."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from toolkit_common.backbones.contract import Backbone
from toolkit_common.console import console, quieted
from toolkit_common.features.contract import LayerFeatures
from toolkit_common.runs.files import atomic_path
from toolkit_common.runs.folder import RunFolder
from toolkit_common.runs.manifest import results_file
from toolkit_probing.attention.choose import KeptHead, choose_head, head_of
from toolkit_probing.attention.judged import open_judged
from toolkit_probing.attention.maps import (
    ALMOST_EVEN,
    attention_maps,
    count_queries,
    group_maps,
    group_queries,
    peak_to_even,
)
from toolkit_probing.attention.pictures import (
    Picture,
    encode,
    find_images,
    images_of_test,
    see,
    spread,
    to_photos,
)
from toolkit_probing.attention.sheet import Caption, draw_sheet
from toolkit_probing.heads.files import load_head, read_spec
from toolkit_probing.heads.head import Head
from toolkit_probing.heads.inputs import base_of, read_inputs
from toolkit_probing.protocols import settings_of
from toolkit_probing.results.contents import Results, read_results
from toolkit_probing.results.saved import SavedRun
from toolkit_probing.task.encoder import load_judged_backbone

NAME = "attention.png"
MOST = 12  # images, where none are counted out

Answer = tuple[str, float] | None  # class and its probability


@dataclass(frozen=True)
class Drawing:
    """What was drawn.

    Attributes:
        picture: The PNG.
        head: Name of the head.
        num_images: Images.
        num_queries: Its queries.
        groups: Group of each query.
        peak_to_even: Strongest patch of all, as a multiple of an even share.
    """

    picture: str
    head: str
    num_images: int
    num_queries: int
    groups: list[int]
    peak_to_even: float


@dataclass(frozen=True)
class _Drawn:
    """Images that are drawn, and what the encoder gives for them."""

    pictures: Sequence[Picture]
    backbone: Backbone
    seen: UInt8[Tensor, "b 3 h w"]
    layers: LayerFeatures


def draw_attention(
    path: Path,
    *,
    images: Path | None,
    head: str | None,
    output: Path | None,
    num_images: int | None,
) -> Drawing:
    """Draw a head's attention over images, beside each what it is and what was predicted.

    Args:
        path: Finished probe run.
        images: An image or a folder of them; the run's own test images by default.
        head: Name of the head (its file's, or the beginning of it); EP's, else the first, by
            default.
        output: PNG to write; `attention.png` in the run folder by default.
        num_images: At most so many images, evenly chosen; 12 by default.

    Raises:
        InputError: If the run, its head or the images are at fault.
    """
    results_file(path)  # a run without one has not ended
    target = output or path / NAME
    there, run, file = target.absolute(), path.absolute(), choose_head(path, head).absolute()
    results = read_results(path)
    chosen = head_of(run, results, settings_of(run), file=file)
    count = num_images or MOST
    opened = (
        _own(run, chosen, count)
        if images is None
        else _others(run, images, head=chosen, count=count)
    )
    with opened as drawn:
        features = drawn.layers[read_spec(chosen.file).layer]
        spec, loaded = load_head(chosen.file, features)
        maps = attention_maps(loaded, features, spec.source)
        answers = _answers(run, results, drawn, head=chosen, loaded=loaded)
    groups, strongest = group_queries(maps), max(map(peak_to_even, maps))
    title = f"{chosen.file.stem} on {_called(drawn.backbone)}"
    sheet = _sheet(drawn, maps, groups, answers=answers, title=title)
    if strongest < ALMOST_EVEN:
        console.print(
            f"the maps are almost even (no patch has more than {strongest:.2f} times an even "
            "share): read nothing into where they are coloured"
        )
    with atomic_path(there) as temporary:
        sheet.save(temporary, format="PNG", optimize=True)
    num_images, num_queries = maps.shape[:2]
    return Drawing(
        str(target), chosen.file.stem, num_images, num_queries, groups.tolist(), strongest
    )


def _sheet(
    drawn: _Drawn,
    maps: np.ndarray,
    groups: np.ndarray,
    *,
    answers: Sequence[Answer],
    title: str,
) -> Image.Image:
    shown = group_maps(maps, groups)
    captions = [
        _caption(picture, answer, peak=peak_to_even(own))
        for picture, answer, own in zip(drawn.pictures, answers, maps, strict=True)
    ]
    return draw_sheet(
        to_photos(drawn.seen),
        shown,
        groups=groups,
        captions=captions,
        title=_title(title, maps, shown),
    )


@contextmanager
def _own(run: Path, head: KeptHead, count: int) -> Iterator[_Drawn]:
    with open_judged(run) as judged:
        pictures = spread(images_of_test(judged), count)
        backbone, source = judged.encoded(head.file)
        at = np.array([item.at for item in pictures])
        seen = see(backbone, [item.place for item in pictures])
        yield _Drawn(pictures, backbone, seen, judged.features(source, at))


@contextmanager
def _others(run: Path, images: Path, *, head: KeptHead, count: int) -> Iterator[_Drawn]:
    pictures = find_images(images.absolute(), read_results(run).data.pixel_range)
    pictures = spread(pictures, count)
    with RunFolder(run).where_it_began():
        with quieted(wanted=True):
            backbone = load_judged_backbone(run, settings_of(run), head=head.file.name)
        seen = see(backbone, [item.place for item in pictures])
        yield _Drawn(pictures, backbone, seen, encode(backbone, seen))


def _answers(
    run: Path, results: Results, drawn: _Drawn, *, head: KeptHead, loaded: Head
) -> list[Answer]:
    """Return what was predicted: as it was judged, of other images as the head says it."""
    classes = [str(name) for name in results.data.classes]
    own = drawn.pictures[0].at is not None
    if own and head.row is not None:
        saved = SavedRun(run, results).rows[head.row.name]
        by_id = dict(
            zip(saved.image_ids, saved.predictions[head.repeat].probabilities, strict=True)
        )
        probabilities = np.stack([by_id[item.name] for item in drawn.pictures])
    else:
        spec = read_spec(head.file)
        if base_of(spec.source) != spec.source:  # reads metadata, which images alone have not
            return [None] * len(drawn.pictures)
        with torch.no_grad():
            logits = loaded(*read_inputs(drawn.layers[spec.layer], spec.source))
        probabilities = logits.softmax(-1).numpy()
    best = probabilities.argmax(-1)
    return [(classes[at], float(row[at])) for at, row in zip(best, probabilities, strict=True)]


def _caption(picture: Picture, answer: Answer, *, peak: float) -> Caption:
    lines = [f"truth: {picture.truth}" if picture.truth is not None else picture.name]
    wrong = False
    if answer is not None:
        lines.append(f"predicted: {answer[0]} {answer[1]:.2f}")
        wrong = picture.truth is not None and answer[0] != picture.truth
    return Caption((*lines, f"{peak:.2f} x even"), wrong)


def _called(backbone: Backbone) -> str:
    """Return an encoder's short name, else its architecture, as an id may hold a long path."""
    info = backbone.info
    return info.facts.architecture if info.name == info.id else info.name


def _title(head: str, maps: np.ndarray, shown: np.ndarray) -> str:
    count = count_queries(maps, shown)
    return f"{head}: {count}; x even: strongest patch of all maps, in even shares"
