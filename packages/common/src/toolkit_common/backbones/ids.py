"""The ids of backbones: where an encoder comes from, which weights, which layers.

Ids: `timm:NAME`, `timm:hf-hub:ORG/REPO`, `timm:local-dir:PATH`, `open_clip:NAME@TAG`,
`python:module:factory`, or the `PATH` of an exported encoder or of a run that exported one.
Any of them takes `?key=value&...`: `weights` (a local file), `layer` or `layers` (1 the first, -1
the last, `all`), `image_size` (pixels).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from toolkit_common.errors import InputError
from toolkit_common.ids import refuse_options, split_options

Source = Literal["exported", "open_clip", "python", "timm"]
SOURCES: tuple[Source, ...] = get_args(Source)
OPTIONS = ("weights", "layer", "layers", "image_size")


@dataclass(frozen=True)
class BackboneId:
    """A parsed id: `source:name?options`; the source of a folder is `exported`; no layers: all."""

    text: str
    source: Source
    name: str
    weights: Path | None
    layers: tuple[int, ...]
    image_size: int | None


def parse_backbone_id(text: str) -> BackboneId:
    """Parse a backbone's id.

    Raises:
        InputError: If the source or an option is unknown, or an option's value does not fit.
    """
    place, options = split_options(text)
    refuse_options(text, options, OPTIONS)
    front, colon, name = place.partition(":")
    source = next((item for item in SOURCES if colon and item == front), None)
    if source is None:
        if not Path(place).exists():
            raise InputError(
                f"unknown backbone {text!r}: no such folder, and no source of {list(SOURCES)} in "
                f"front, as in 'timm:{place}'"
            )
        source, name = "exported", place
    if "layer" in options and "layers" in options:
        raise InputError(f"layer and layers are one option: give one of them in {text!r}")
    weights, layers = options.get("weights"), options.get("layers", options.get("layer", "-1"))
    return BackboneId(
        text=text,
        source=source,
        name=name,
        weights=Path(weights).expanduser() if weights else None,
        layers=() if layers == "all" else _integers(layers, text),
        image_size=_image_size(options, text),
    )


def _integers(text: str, where: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"layers and sizes are whole numbers, got {text!r} in {where!r}") from None


def _image_size(options: Mapping[str, str], where: str) -> int | None:
    if "image_size" not in options:
        return None
    sizes = _integers(options["image_size"], where)
    if len(sizes) > 1 or sizes[0] < 1:
        raise InputError(f"image_size is the side in pixels, got {sizes} in {where!r}")
    return sizes[0]
