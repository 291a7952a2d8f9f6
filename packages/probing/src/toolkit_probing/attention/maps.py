"""`toolkit attention`: where the heads of a finished probe look, as a contact sheet.

Shapes: b images, q queries, n tokens, (gh, gw) patch grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from toolkit_common.backbones.contract import Backbone
from toolkit_common.config import read_yaml, resolve
from toolkit_common.console import console
from toolkit_common.errors import InputError
from toolkit_common.features.contract import Features, features_of
from toolkit_common.images.open import BadImageError, Place, open_image
from toolkit_common.images.transforms import build_eval_transform
from toolkit_common.registry import lookup
from toolkit_common.runs.files import atomic_path
from toolkit_common.runs.folder import RunFolder
from toolkit_common.sources.files import IMAGE_SUFFIXES
from toolkit_probing.attention.sheet import draw_sheet, group_maps, group_queries, peak_to_even
from toolkit_probing.heads.files import load_head, read_spec
from toolkit_probing.heads.head import Head
from toolkit_probing.heads.inputs import base_of, read_source
from toolkit_probing.heads.trainable_encoder import ENCODERS, load_tuned_encoder_
from toolkit_probing.probes import POOLS, AttentivePool
from toolkit_probing.protocols import PRESETS
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.load import load_probed_backbone, load_probed_task

BATCH = 16
NAME = "attention.png"
ALMOST_EVEN = 1.5


@dataclass(frozen=True)
class Picture:
    """An image to draw: where it is, and what to write below it."""

    place: Place
    caption: str


def draw_attention(
    path: Path,
    *,
    images: Path | None,
    head: str | None,
    output: Path | None,
    num_images: int,
) -> dict[str, Any]:
    """Draw a head's attention over images and return what was drawn.

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
    run = RunFolder(path)
    results = run.read_json("results.json")
    file = choose_head(path, head)
    settings = resolve(ProbeSettings, [read_yaml(path / "config.yaml")], presets=PRESETS).settings
    pictures = find_images(images) if images is not None else _test_images(settings)
    pictures = spread(pictures, num_images)
    backbone = load_probed_backbone(settings)
    known = run.read_json("run.json").get("encoder")
    if known != backbone.fingerprint():
        raise InputError(
            f"the encoder {results['backbone']['id']} is not the one that {path} judged: its "
            "weights have changed"
        )
    if settings.tune != "none":
        load_tuned_encoder_(backbone.encoder, path / ENCODERS / file.name)
    photos, features = encode(backbone, pictures, layer=read_spec(file).layer)
    spec, loaded = load_head(file, features)
    maps = attention_maps(loaded, read_source(features, base_of(spec.source)), features.grid)
    groups = group_queries(maps)
    shown = group_maps(maps, groups)
    peaks = [f"{peak_to_even(found):.2f} x even" for found in maps]
    captions = [f"{item.caption}  {peak}" for item, peak in zip(pictures, peaks, strict=True)]
    title = (
        f"{file.stem} on {results['backbone']['facts']['architecture']}: {maps.shape[1]} queries"
    )
    if len(shown[0]) < maps.shape[1]:
        title += f" in {len(shown[0])} groups"
    title += "; strongest patch over all maps, as a multiple of an even share, below each photo"
    sheet = draw_sheet(photos, shown, groups=groups, captions=captions, title=title)
    strongest = max(peak_to_even(found) for found in maps)
    if strongest < ALMOST_EVEN:
        console.print(
            f"the maps are almost even (no patch has more than {strongest:.2f} times an even "
            "share): read nothing into where they are coloured"
        )
    target = output or path / NAME
    with atomic_path(target) as temporary:
        sheet.save(temporary, format="PNG")
    return {
        "picture": str(target),
        "head": file.stem,
        "num_images": len(pictures),
        "num_queries": int(maps.shape[1]),
        "groups": groups.tolist(),
        "peak_to_even": strongest,
    }


def choose_head(run: Path, name: str | None) -> Path:
    """Return the file of a run's head that has attention.

    Raises:
        InputError: If there is none, or none of that name, or several begin so.
    """
    files = sorted((run / "heads").glob("*.safetensors"))
    if not files:
        raise InputError(f"{run} holds no heads: give the folder of a toolkit probe run")
    drawable = {
        file.stem: file
        for file in files
        if issubclass(POOLS.get(read_spec(file).method, Head), AttentivePool)
    }
    if not drawable:
        raise InputError(f"no head of {run} has attention maps: probe with --method ep")
    if name is None:
        return min(drawable.values(), key=lambda file: read_spec(file).method != "ep")
    if name in drawable:
        return drawable[name]
    begins = [stem for stem in drawable if stem.startswith(name)]
    if len(begins) > 1:
        raise InputError(f"--head {name} is one of: {', '.join(begins)}")
    return drawable[begins[0]] if begins else lookup(drawable, name, kind="head")


def find_images(path: Path) -> list[Picture]:
    """Return the images at a path: the file, or all below the folder.

    Raises:
        InputError: If there is none.
    """
    if path.is_file():
        files = [path]
    else:
        found = path.rglob("*") if path.is_dir() else iter(())
        files = sorted(file for file in found if file.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise InputError(f"no image at {path}: give a file or a folder with images")
    return [Picture({"bytes": None, "path": str(file)}, file.stem) for file in files]


def spread(items: Sequence[Picture], count: int) -> list[Picture]:
    """Return at most `count` of the items, evenly spaced."""
    at = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[index] for index in at]


def encode(
    backbone: Backbone, pictures: Sequence[Picture], *, layer: int
) -> tuple[list[Image.Image], Features]:
    """Return what the encoder sees of the images, and what it says about them at a layer.

    Raises:
        InputError: If an image does not decode.
    """
    info = backbone.info
    transform = build_eval_transform(info.preprocess)
    try:
        images = torch.stack([transform(open_image(item.place)) for item in pictures])
    except BadImageError as error:
        raise InputError(f"cannot draw: {error}") from None
    parts = []
    for part in images.split(BATCH):
        tokens = backbone.forward_layers(info.preprocess.normalize(part))[info.layers.index(layer)]
        parts.append(features_of(tokens, info.facts, with_patches=True))
    patches = torch.cat([part.patches.clone() for part in parts if part.patches is not None])
    vectors = {
        name: torch.cat([part.vectors[name].clone() for part in parts]) for name in parts[0].vectors
    }
    photos = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    return photos, Features(vectors, patches, parts[0].grid)


@torch.no_grad()
def attention_maps(head: Head, tokens: Tensor, grid: tuple[int, int]) -> np.ndarray:
    """Return the attention on the patches `(b, q, gh, gw)`; a class token's share is left out."""
    assert isinstance(head.pool, AttentivePool)
    attention = torch.cat([head.pool.attention(part.float()) for part in tokens.split(BATCH)])
    patches = attention[..., -grid[0] * grid[1] :]
    return patches.unflatten(-1, grid).numpy()


def _test_images(settings: ProbeSettings) -> list[Picture]:
    task = load_probed_task(settings)
    rows = task.splits.test[np.argsort(task.targets_of("test"), kind="stable")]
    classes, targets = task.labels.classes, task.labels.targets
    return [
        Picture(task.data.images[int(row)]["image"], str(classes[targets[row]])) for row in rows
    ]
