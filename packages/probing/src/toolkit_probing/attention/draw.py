"""`toolkit attention`: where a head of a finished probe looks, from the run folder to the PNG."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from toolkit_common.backbones.contract import Backbone
from toolkit_common.config import read_yaml, resolve
from toolkit_common.console import console
from toolkit_common.errors import InputError
from toolkit_common.registry import lookup
from toolkit_common.runs.files import atomic_path
from toolkit_common.runs.folder import RunFolder
from toolkit_probing.attention.maps import attention_maps, group_maps, group_queries, peak_to_even
from toolkit_probing.attention.pictures import (
    encode,
    find_images,
    images_of_test,
    spread,
)
from toolkit_probing.attention.sheet import draw_sheet
from toolkit_probing.heads.files import load_head, read_spec
from toolkit_probing.heads.head import Head
from toolkit_probing.heads.inputs import base_of, read_source
from toolkit_probing.methods import METHODS
from toolkit_probing.probes import POOLS, AttentivePool
from toolkit_probing.protocols import PRESETS
from toolkit_probing.results.contents import read_results, results_file
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.encoder import load_judged_backbone
from toolkit_probing.task.task import load_task

NAME = "attention.png"
ALMOST_EVEN = 1.5


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


def draw_attention(
    path: Path,
    *,
    images: Path | None,
    head: str | None,
    output: Path | None,
    num_images: int,
) -> Drawing:
    """Draw a head's attention over images.

    Args:
        path: Finished probe run.
        images: An image or a folder of them; the run's own test images by default.
        head: Name of the head (its file's, or the beginning of it); EP's, else the first, by
            default.
        output: PNG to write; `attention.png` in the run folder by default.
        num_images: At most so many images, evenly chosen.

    Raises:
        InputError: If the run, its head or the images are at fault.
    """
    results_file(path)  # a run without one has not ended
    target = output or path / NAME
    own, run = None if images is None else images.absolute(), path.absolute()
    there = target.absolute()
    # Settings name data and weights as seen from where the run began.
    with RunFolder(run).where_it_began():
        drawing = _draw(run, images=own, head=head, target=there, num_images=num_images)
    return replace(drawing, picture=str(target))


def _draw(
    path: Path, *, images: Path | None, head: str | None, target: Path, num_images: int
) -> Drawing:
    file = choose_head(path, head)
    settings = resolve(ProbeSettings, [read_yaml(path / "config.yaml")], presets=PRESETS).settings
    pictures = (
        find_images(images, read_results(path).data.pixel_range)
        if images
        else images_of_test(load_task(settings))
    )
    pictures = spread(pictures, num_images)
    backbone = load_judged_backbone(path, settings, head=file.name)
    photos, features = encode(backbone, pictures, layer=read_spec(file).layer)
    spec, loaded = load_head(file, features)
    maps = attention_maps(loaded, read_source(features, base_of(spec.source)), features.grid)
    groups = group_queries(maps)
    shown = group_maps(maps, groups)
    strongest = max(map(peak_to_even, maps))
    sheet = draw_sheet(
        photos,
        shown,
        groups=groups,
        captions=[
            f"{item.caption}  {peak_to_even(own):.2f} x even"
            for item, own in zip(pictures, maps, strict=True)
        ],
        title=_title(f"{file.stem} on {_called(backbone)}", maps, shown),
    )
    if strongest < ALMOST_EVEN:
        console.print(
            f"the maps are almost even (no patch has more than {strongest:.2f} times an even "
            "share): read nothing into where they are coloured"
        )
    with atomic_path(target) as temporary:
        sheet.save(temporary, format="PNG")
    return Drawing(
        str(target), file.stem, len(pictures), int(maps.shape[1]), groups.tolist(), strongest
    )


def choose_head(run: Path, name: str | None) -> Path:
    """Return the file of a run's head that has attention.

    Raises:
        InputError: If there is none, or none of that name, or several begin so.
    """
    files = sorted((run / "heads").glob("*.safetensors"))
    if not files and (run / "fold-0").is_dir():
        raise InputError(f"{run} is a run of all folds: name one, such as {run}/fold-0")
    if not files:
        raise InputError(f"{run} holds no heads: give the folder of a toolkit probe run")
    drawable = {
        file.stem: file
        for file in files
        # What has no pooling of its own, as linear probing, has nothing to draw.
        if issubclass(POOLS.get(read_spec(file).method, Head), AttentivePool)
    }
    if not drawable:
        raise InputError(f"no head of {run} has attention maps: probe with --method ep")
    if name is None:
        # EP's first: False sorts before True.
        return min(
            drawable.values(), key=lambda file: METHODS[read_spec(file).method].published is None
        )
    if name in drawable:
        return drawable[name]
    begins = [stem for stem in drawable if stem.startswith(name)]
    if len(begins) > 1:
        raise InputError(f"--head {name} is one of: {', '.join(begins)}")
    return drawable[begins[0]] if begins else lookup(drawable, name, kind="head")


def _called(backbone: Backbone) -> str:
    """Return an encoder's short name, else its architecture, as an id may hold a long path."""
    info = backbone.info
    return info.facts.architecture if info.name == info.id else info.name


def _title(head: str, maps: np.ndarray, shown: np.ndarray) -> str:
    title = f"{head}: {maps.shape[1]} queries"
    if shown.shape[1] < maps.shape[1]:
        title += f" in {shown.shape[1]} groups"
    return (
        f"{title}; strongest patch over all maps, as a multiple of an even share, below each photo"
    )
