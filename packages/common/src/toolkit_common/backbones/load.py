"""From a backbone's id to the encoder.

Ids: `timm:NAME`, `timm:hf-hub:ORG/REPO`, `timm:local-dir:PATH`, `open_clip:NAME@TAG`,
`python:module:factory`, or the `PATH` of an exported encoder or of a run that exported one.
Any of them takes `?key=value&...`: `weights` (a local file), `layer` or `layers` (1 the first, -1
the last, `all`), `image_size` (pixels).
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from toolkit_common.backbones.cards import choose_card
from toolkit_common.backbones.contract import (
    Backbone,
    BackboneInfo,
    EncoderFacts,
    ImageEncoder,
    Receipt,
    Tokens,
    resolve_layers,
)
from toolkit_common.backbones.weights import load_weights_, read_state_dict
from toolkit_common.errors import InputError
from toolkit_common.ids import refuse_options, split_options
from toolkit_common.images.transforms import Preprocess
from toolkit_common.seed import seed_everything

OPTIONS = ("weights", "layer", "layers", "image_size")


@dataclass(frozen=True)
class BackboneId:
    """A parsed id: `source:name?options`; the source of a folder is `exported`; no layers: all."""

    text: str
    source: str
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
    source, colon, name = place.partition(":")
    if not colon or source not in SOURCES:
        if not Path(place).exists():
            raise InputError(
                f"unknown backbone {text!r}: no such folder, and no source of {sorted(SOURCES)} in "
                f"front, as in 'timm:{place}'"
            )
        source, name = "exported", place
    if "layer" in options and "layers" in options:
        raise InputError(f"layer and layers are one option: give one of them in {text!r}")
    weights = options.get("weights")
    return BackboneId(
        text=text,
        source=source,
        name=name,
        weights=Path(weights).expanduser() if weights else None,
        layers=_layers(options.get("layers", options.get("layer", "-1")), text),
        image_size=_image_size(options, text),
    )


def build_encoder(
    parsed: BackboneId, *, random_init: bool = False, allow_partial: bool = False, seed: int = 0
) -> tuple[ImageEncoder, Receipt]:
    """Build a trainable encoder and load its weights.

    Args:
        parsed: Which one.
        random_init: Take random weights (an untrained control) instead of its own.
        allow_partial: Accept a weights file that does not fill the encoder.
        seed: Of the random initialisation, also of what a partial file leaves open.

    Raises:
        InputError: If it is unknown, or its weights cannot be had or do not fit.
    """
    from_file = parsed.weights is not None
    if random_init and from_file:
        raise InputError(f"--random-init and ?weights= exclude each other in {parsed.text!r}")
    if random_init and parsed.source == "python":
        raise InputError(
            f"{parsed.text!r} brings its own weights: drop --random-init, or name a factory that "
            "loads none"
        )
    if parsed.image_size is not None and parsed.source != "timm":
        raise InputError(
            f"{parsed.source} encoders have a fixed input: drop image_size in {parsed.text!r}"
        )
    with torch.random.fork_rng(devices=[]):
        seed_everything(seed, "encoder")
        encoder, receipt = SOURCES[parsed.source](parsed, pretrained=not (random_init or from_file))
    if encoder.facts.is_convolutional:
        # Convolutions follow their weights' layout; channels-last is the fast one on every device.
        encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if parsed.weights is not None:
        state = read_state_dict(parsed.weights)
        receipt = load_weights_(
            encoder.model, state, source=str(parsed.weights), allow_partial=allow_partial
        )
    return encoder, receipt


def load_backbone(
    text: str, *, random_init: bool = False, allow_partial: bool = False, seed: int = 0
) -> Backbone:
    """Load a frozen backbone by id (see the module's docstring); arguments as `build_encoder`.

    Raises:
        InputError: If it is unknown, its weights cannot be had or do not fit, or a layer does not
            exist.
    """
    parsed = parse_backbone_id(text)
    encoder, receipt = build_encoder(
        parsed, random_init=random_init, allow_partial=allow_partial, seed=seed
    )
    card, provenance = choose_card(text, encoder.facts), {}
    if parsed.source == "exported":
        from toolkit_common.backbones.exported import read_description

        description = read_description(Path(parsed.name))
        card, provenance = description.card, description.provenance
    info = BackboneInfo(
        id=text,
        facts=encoder.facts,
        preprocess=encoder.preprocess,
        card=card,
        receipt=receipt,
        layers=resolve_layers(
            parsed.layers or range(1, encoder.facts.depth + 1), encoder.facts.depth
        ),
        provenance=provenance,
    )
    return Backbone(encoder, info)


def _build_from_timm(parsed: BackboneId, *, pretrained: bool) -> tuple[ImageEncoder, Receipt]:
    from toolkit_common.backbones import from_timm as timm

    is_local = parsed.name.startswith("local-dir:")
    if is_local and not Path(parsed.name.removeprefix("local-dir:")).is_dir():
        raise InputError(f"no folder at {parsed.name.removeprefix('local-dir:')}")
    size = parsed.image_size
    try:
        model = timm.build_timm_model(parsed.name, pretrained=pretrained, image_size=size)
        encoder = timm.TimmEncoder(
            model,
            architecture=f"timm:{parsed.name}" + (f"?image_size={size}" if size else ""),
            preprocess=timm.preprocess_of(model, size),
        )
    except InputError:
        raise
    except (AssertionError, RuntimeError, ValueError) as error:
        if size is None:
            raise
        raise InputError(f"timm:{parsed.name} cannot take image_size={size}: {error}") from error
    return encoder, _receipt_of_library(parsed, pretrained=pretrained)


def _build_from_open_clip(parsed: BackboneId, *, pretrained: bool) -> tuple[ImageEncoder, Receipt]:
    from toolkit_common.backbones.from_open_clip import build_open_clip_encoder

    name, _, tag = parsed.name.partition("@")
    if pretrained and not tag and not name.startswith("local-dir:"):
        raise InputError(
            f"{parsed.text!r} names no weights: use open_clip:{name}@TAG, ?weights=FILE or "
            "--random-init"
        )
    encoder = build_open_clip_encoder(name, tag or None, pretrained=pretrained)
    return encoder, _receipt_of_library(parsed, pretrained=pretrained)


def _build_from_export(parsed: BackboneId, *, pretrained: bool) -> tuple[ImageEncoder, Receipt]:
    from toolkit_common.backbones.exported import build_exported_encoder

    return build_exported_encoder(Path(parsed.name), pretrained=pretrained)


def _build_from_python(parsed: BackboneId, *, pretrained: bool) -> tuple[ImageEncoder, Receipt]:
    module_name, _, factory_name = parsed.name.partition(":")
    if not module_name or not factory_name or module_name.startswith("."):
        raise InputError(f"expected python:MODULE:FACTORY, got {parsed.text!r}")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # `python -m` looks there too, the installed command does not
    try:
        factory = getattr(importlib.import_module(module_name), factory_name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"cannot import {parsed.text!r}: {error}") from error
    made = factory() if callable(factory) else factory
    if not isinstance(made, nn.Module):
        raise InputError(f"{parsed.text!r} must return an nn.Module, got a {type(made).__name__}")
    if not isinstance(made, ImageEncoder):
        made = ModuleEncoder(made, name=f"python:{parsed.name}")
    return made, Receipt(parsed.text if pretrained else "random", 1.0 if pretrained else 0.0)


SOURCES: Mapping[str, Callable[..., tuple[ImageEncoder, Receipt]]] = {
    "timm": _build_from_timm,
    "open_clip": _build_from_open_clip,
    "python": _build_from_python,
    "exported": _build_from_export,
}


class ModuleEncoder(ImageEncoder):
    """Any module that maps images to `(b, n, d)` tokens of a square grid or a `(b, d, gh, gw)` map.

    It may say how it wants its images with an attribute `preprocess`.

    Raises:
        InputError: If it returns anything else.
    """

    def __init__(self, module: nn.Module, *, name: str) -> None:
        super().__init__()
        self.model = module
        self.preprocess: Preprocess = getattr(module, "preprocess", Preprocess())
        height, width = self.preprocess.image_size
        with torch.no_grad():
            out = module.eval()(torch.zeros(1, 3, height, width))
        if not isinstance(out, Tensor) or out.ndim not in (3, 4):
            said = f"shape {tuple(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
            raise InputError(
                f"{name!r} must return patch tokens (b, n, d) or a map (b, d, gh, gw), got {said}"
            )
        tokens = self._read(out, name)
        self.facts = EncoderFacts(
            architecture=name,
            embed_dim=tokens.patches.shape[2],
            grid=tokens.grid,
            num_prefix_tokens=0,
            has_class_token=False,
            has_attention_pool=False,
            pools_class_token=False,
            pooled_dim=None,
            depth=1,
        )

    @override
    def forward_layers(self, images: Tensor, layers: Any, *, pooled: bool = False) -> list[Tokens]:
        del layers, pooled
        return [self._read(self.model(images), self.facts.architecture)]

    def _read(self, out: Tensor, name: str) -> Tokens:
        if out.ndim == 4:
            patches, grid = out.flatten(2).transpose(1, 2), (out.shape[2], out.shape[3])
        else:
            side = round(out.shape[1] ** 0.5)
            if side * side != out.shape[1]:
                raise InputError(
                    f"{name!r} returns {out.shape[1]} tokens, no square grid: return a "
                    "(b, d, gh, gw) map instead"
                )
            patches, grid = out, (side, side)
        return Tokens(patches, patches.new_zeros(patches.shape[0], 0, patches.shape[2]), grid)


def _receipt_of_library(parsed: BackboneId, *, pretrained: bool) -> Receipt:
    """The library loads its own weights strictly, or raises."""
    return Receipt(parsed.text, 1.0) if pretrained else Receipt("random", 0.0)


def _layers(text: str, where: str) -> tuple[int, ...]:
    return () if text == "all" else _integers(text, where)


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
