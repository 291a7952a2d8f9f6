"""The ids of backbones: where an encoder comes from, which weights, which layers.

Ids: `timm:NAME`, `timm:hf-hub:ORG/REPO`, `timm:local-dir:PATH`, `open_clip:NAME@TAG`,
`open_clip:hf-hub:ORG/REPO`, `python:module:factory`, the `PATH` of an exported encoder or of a run
that exported one, or a short name of one of these (`toolkit_common.backbones.named`).
Any of them takes `?key=value&...`: `weights` (a local file, or `hf-hub:ORG/REPO[/FILE]` of the
Hub's cache; `key`: which of its state dicts; `prefix`: what stands before the encoder's names in
it), `mean` and `std`, `crop_pct` and `interpolation` (of the input), `objective` (of its training),
`tokens` and `vectors` (what probes read), `layer` or `layers` (1 the first, -1 the last, `all`),
`final_norm` (`none` leaves out the encoder's own), `image_size` (pixels), `name` (by which it is
shown).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolkit_common.backbones.named.alias import OPTIONS, SOURCES, Source
from toolkit_common.backbones.named.resolve import near_aliases, resolve_alias
from toolkit_common.errors import InputError
from toolkit_common.ids import refuse_options, split_options
from toolkit_common.images.transforms import IMAGENET_MEAN, IMAGENET_STD, INTERPOLATIONS, LARGEST
from toolkit_common.registry import did_you_mean

STATISTICS = {  # mean and std by the name of who uses them
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "inception": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
}
PYTHON = "python:"
TRUSTED = "TOOLKIT_TRUSTED"  # variable: `MODULE:FACTORY,...`, which files may name
Statistics = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class BackboneId:
    """A parsed id: `source:name?options`; the source of a folder is `exported`; no layers: all.

    `statistics` are mean and std of the input, `crop_pct` and `interpolation` how images are
    resized, where the user names them; `leaves_out_norm` says that the final norm is left out;
    `short_name` is what the encoder is called, empty for an id.
    """

    text: str
    source: Source
    name: str
    weights: Path | None
    layers: tuple[int, ...]
    image_size: int | None
    key: str | None = None
    prefix: str | None = None
    statistics: Statistics | None = None
    crop_pct: float | None = None
    interpolation: str | None = None
    leaves_out_norm: bool = False
    short_name: str = ""

    @property
    def known_as(self) -> str:
        """The id, with the short name that stood for it."""
        return f"{self.short_name} = {self.text}" if self.short_name else self.text


def refuse_foreign_code(text: str, file: Path) -> None:
    """Refuse an id of Python code that a file names which anybody may have written.

    What the user types, and files that the user writes (settings, studies, short names), may run
    code; what an encoder or a run says of itself may not, but for what the user trusts.

    Args:
        text: An id.
        file: Which says it.

    Raises:
        InputError: If so, and `$TOOLKIT_TRUSTED` does not name it.
    """
    place, _ = split_options(text)
    name = place.removeprefix(PYTHON)
    trusted = [item.strip() for item in os.environ.get(TRUSTED, "").split(",") if item.strip()]
    if place != name and name not in trusted:
        raise InputError(
            f"{file} names Python code to run, {place}: if you trust it, set the variable "
            f"{TRUSTED}={','.join([*trusted, name])} and run again"
        )


def parse_backbone_id(text: str) -> BackboneId:
    """Parse a backbone's id, or what its short name stands for.

    Raises:
        InputError: If the source or an option is unknown, or an option's value does not fit.
    """
    text = resolve_alias(text)
    place, options = split_options(text)
    refuse_options(text, options, OPTIONS)
    front, colon, name = place.partition(":")
    source = next((item for item in SOURCES if colon and item == front), None)
    if source is None:
        if not Path(place).exists():
            raise InputError(
                f"unknown backbone {text!r}: no such folder, and no source of {list(SOURCES)} in "
                f"front, as in 'timm:{place}'{near_aliases(place)}; short names: toolkit backbones"
            )
        source, name = "exported", place
    if "layer" in options and "layers" in options:
        raise InputError(f"layer and layers are one option: give one of them in {text!r}")
    if not {"weights"} & set(options) and (of_file := {"key", "prefix"} & set(options)):
        raise InputError(f"{min(of_file)} is of a weights file, and {text!r} names none (weights=)")
    weights, layers = options.get("weights"), options.get("layers", options.get("layer", "-1"))
    return BackboneId(
        text=text,
        source=source,
        name=name,
        weights=Path(weights).expanduser() if weights else None,
        layers=() if layers == "all" else _integers(layers, text),
        image_size=_image_size(options, text),
        key=options.get("key"),
        prefix=options.get("prefix"),
        statistics=_statistics(options, text),
        crop_pct=_crop_pct(options, text),
        interpolation=_interpolation(options),
        leaves_out_norm=_leaves_out_norm(options, text),
        short_name=options.get("name", ""),
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
    if len(sizes) > 1 or not 1 <= sizes[0] <= LARGEST:
        raise InputError(f"image_size is the side, 1 to {LARGEST} pixels, got {sizes} in {where!r}")
    return sizes[0]


def _crop_pct(options: Mapping[str, str], where: str) -> float | None:
    if "crop_pct" not in options:
        return None
    try:
        return float(options["crop_pct"])
    except ValueError:
        raise InputError(
            f"crop_pct is a share of the resized side, got {options['crop_pct']!r} in {where!r}"
        ) from None


def _interpolation(options: Mapping[str, str]) -> str | None:
    name = options.get("interpolation")
    if name is not None and name not in INTERPOLATIONS:
        raise InputError(f"unknown interpolation {name!r}{did_you_mean(name, INTERPOLATIONS)}")
    return name


def _leaves_out_norm(options: Mapping[str, str], where: str) -> bool:
    if options.get("final_norm", "none") != "none":
        raise InputError(
            f"final_norm=none leaves the final norm out, and without it the encoder has its own, "
            f"got {options['final_norm']!r} in {where!r}"
        )
    return "final_norm" in options


def _statistics(options: Mapping[str, str], where: str) -> Statistics | None:
    given = [options[name] for name in ("mean", "std") if name in options]
    if not given:
        return None
    if len(given) == 1 and options.get("mean") in STATISTICS:
        return STATISTICS[options["mean"]]
    try:
        mean, std = (tuple(float(part) for part in item.split(",")) for item in given)
        if len(mean) == len(std) == 3:
            return mean, std
    except ValueError:
        pass
    raise InputError(
        f"mean is one of {', '.join(STATISTICS)} (with their std), or mean=R,G,B&std=R,G,B of "
        f"values in [0, 1], got {where!r}"
    )
