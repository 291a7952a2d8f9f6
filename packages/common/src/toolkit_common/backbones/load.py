"""From a backbone's id to the encoder, frozen or to be trained."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from toolkit_common.backbones.cards import change_card, choose_card
from toolkit_common.backbones.contract import (
    Backbone,
    BackboneInfo,
    Card,
    EncoderFacts,
    ImageEncoder,
    Receipt,
    resolve_layers,
)
from toolkit_common.backbones.exported import (
    DESCRIPTION,
    find_export,
    load_exported_,
    read_description,
    refuse_changed_files,
)
from toolkit_common.backbones.ids import BackboneId, parse_backbone_id, refuse_foreign_code
from toolkit_common.backbones.named.alias import HUB, Source
from toolkit_common.backbones.named.on_disk import locate
from toolkit_common.backbones.named.resolve import needed_file
from toolkit_common.backbones.python import build_python_encoder
from toolkit_common.backbones.weights.fill import load_weights_file_
from toolkit_common.errors import InputError
from toolkit_common.images.transforms import Preprocess
from toolkit_common.seed import seeded

ACTIVATION = re.compile(r"(GELU|ReLU|SiLU|Swish|Mish|Tanh)", re.IGNORECASE)


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
    if random_init and parsed.short_name and "weights=" not in parsed.short_name:
        # What the name stands for, untrained: the file is the name's, the user has written none.
        parsed = replace(parsed, weights=None)
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
    # Before anything is built, which takes long.
    weights = parsed.weights and locate(str(parsed.weights), needed_file(parsed.text))
    # Weights are drawn from torch's own stream, which the caller finds where it was.
    with seeded(seed, "encoder"):
        # A file replaces all weights, so that none need be downloaded first.
        encoder, receipt = SOURCES[parsed.source](parsed, pretrained=not (random_init or from_file))
    if encoder.facts.is_convolutional:
        # Convolutions follow their weights' layout; channels-last is the fast one on every device.
        encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if weights is not None:
        receipt = load_weights_file_(
            encoder.model,
            weights,
            key=parsed.key,
            prefix=parsed.prefix,
            allow_partial=allow_partial,
        )
        receipt = replace(receipt, notes=(*receipt.notes, *_notes_on_file(parsed, encoder)))
    encoder.preprocess = _own_input(parsed, encoder.preprocess)
    return encoder, receipt


def _own_input(parsed: BackboneId, preprocess: Preprocess) -> Preprocess:
    """Return the input as the id has it, where it says so."""
    if parsed.statistics is not None:
        mean, std = parsed.statistics
        preprocess = replace(preprocess, mean=mean, std=std)
    return replace(
        preprocess,
        # A crop of 0 is for `Preprocess` to refuse, not one that nobody gave.
        crop_pct=preprocess.crop_pct if parsed.crop_pct is None else parsed.crop_pct,
        interpolation=parsed.interpolation or preprocess.interpolation,
    )


def read_card(parsed: BackboneId, facts: EncoderFacts) -> Card:
    """Return how an encoder is read: as an exported one itself says, others by the rules.

    Raises:
        InputError: If the id wants what the encoder lacks, or another objective of an exported one.
    """
    if parsed.source != "exported":
        return choose_card(parsed.text, facts)
    # Never by the name of its folder, which may be any word.
    return change_card(read_description(Path(parsed.name)).card, parsed.text, facts)


def load_backbone(
    text: str, *, random_init: bool = False, allow_partial: bool = False, seed: int = 0
) -> Backbone:
    """Load a frozen backbone by id or short name (`toolkit_common.backbones.ids`).

    Arguments as those of `build_encoder`.

    Raises:
        InputError: If it is unknown, its weights cannot be had or do not fit, a layer does not
            exist, or it has no final norm that could be left out.
    """
    parsed = parse_backbone_id(text)
    encoder, receipt = build_encoder(
        parsed, random_init=random_init, allow_partial=allow_partial, seed=seed
    )
    if parsed.leaves_out_norm:
        _leave_out_norm_(encoder, parsed)
    provenance = {}
    if parsed.source == "exported":
        provenance = read_description(Path(parsed.name)).provenance
    info = BackboneInfo(
        id=parsed.text,
        facts=encoder.facts,
        preprocess=encoder.preprocess,
        card=read_card(parsed, encoder.facts),
        receipt=receipt,
        layers=resolve_layers(
            parsed.layers or range(1, encoder.facts.depth + 1), encoder.facts.depth
        ),
        provenance=provenance,
    )
    return Backbone(encoder, info)


def _leave_out_norm_(encoder: ImageEncoder, parsed: BackboneId) -> None:
    """Let an encoder end before its final norm, after its weights were loaded."""
    if parsed.source != "timm" or not encoder.facts.has_final_norm:
        raise InputError(
            f"{parsed.text!r} has no final norm that could be left out (timm's ViTs have one): "
            "drop final_norm"
        )
    encoder.model.norm = nn.Identity()
    encoder.facts = replace(encoder.facts, has_final_norm=False)


def build_exported_encoder(path: Path, *, pretrained: bool) -> tuple[ImageEncoder, Receipt]:
    """Rebuild an exported encoder.

    Args:
        path: Its folder, or the run's.
        pretrained: Whether to load its weights; False gives its untrained control.

    Raises:
        InputError: If the folder is incomplete or the checksum of a file differs.
    """
    folder = find_export(path)
    description = read_description(folder)
    refuse_changed_files(folder, description)
    architecture = parse_backbone_id(description.architecture)
    refuse_foreign_code(description.architecture, folder / DESCRIPTION)
    # Untrained, as its file follows, but for a user's module, which cannot be had without its own;
    # the export's preprocessing wins over the architecture's.
    own_weights = pretrained and architecture.source == "python"
    encoder, receipt = build_encoder(architecture, random_init=not own_weights)
    built, own = encoder.preprocess.image_size, description.preprocess.image_size
    if built != own and not encoder.facts.is_convolutional:
        raise InputError(
            f"{folder} is damaged: its images are {own}, those of {description.architecture} "
            f"{built}"
        )
    encoder.preprocess = description.preprocess
    # What lies in the folder is named from there: moved, it is the same encoder.
    named = encoder.facts.architecture.replace(f"{folder}/", "")
    encoder.facts = replace(encoder.facts, architecture=named)
    return encoder, load_exported_(encoder, folder) if pretrained else receipt


def _build_from_timm(parsed: BackboneId, *, pretrained: bool) -> tuple[ImageEncoder, Receipt]:
    from toolkit_common.backbones.from_timm import build_timm_encoder

    encoder = build_timm_encoder(parsed.name, pretrained=pretrained, image_size=parsed.image_size)
    return encoder, _receipt_of_library(parsed, pretrained=pretrained)


def _build_from_open_clip(parsed: BackboneId, *, pretrained: bool) -> tuple[ImageEncoder, Receipt]:
    from toolkit_common.backbones.from_open_clip import build_open_clip_encoder

    name, _, tag = parsed.name.partition("@")
    if pretrained and not tag and not name.startswith(("local-dir:", "hf-hub:")):
        raise InputError(
            f"{parsed.text!r} names no weights: use open_clip:{name}@TAG, ?weights=FILE or "
            "--random-init"
        )
    encoder = build_open_clip_encoder(name, tag or None, pretrained=pretrained)
    receipt = _receipt_of_library(parsed, pretrained=pretrained)
    if name.startswith(HUB) and pretrained:
        said = f"the activation is {find_activation(encoder.model)}, as the Hub's config says"
        receipt = replace(receipt, notes=(said,))
    return encoder, receipt


def _build_from_python(parsed: BackboneId, *, pretrained: bool) -> tuple[ImageEncoder, Receipt]:
    encoder = build_python_encoder(parsed.name)
    return encoder, _receipt_of_library(parsed, pretrained=pretrained)


def _build_from_export(parsed: BackboneId, *, pretrained: bool) -> tuple[ImageEncoder, Receipt]:
    return build_exported_encoder(Path(parsed.name), pretrained=pretrained)


def find_activation(model: nn.Module) -> str:
    """Return the name of an encoder's activation, as its first one has it."""
    names = (type(module).__name__ for module in model.modules())
    return next((name for name in names if ACTIVATION.search(name)), "not known")


SOURCES: Mapping[Source, Callable[..., tuple[ImageEncoder, Receipt]]] = {
    "timm": _build_from_timm,
    "open_clip": _build_from_open_clip,
    "python": _build_from_python,
    "exported": _build_from_export,
}


def _notes_on_file(parsed: BackboneId, encoder: ImageEncoder) -> list[str]:
    """Say whose word is taken for what a file of weights does not say."""
    architecture, activation = encoder.facts.architecture, find_activation(encoder.model)
    owner = "yours" if parsed.statistics else f"those of {architecture}"
    notes = [
        f"the file does not say its input or activation: mean and std are {owner}"
        f"{'' if parsed.statistics else ' (&mean=imagenet, clip, inception or R,G,B with &std=)'}, "
        f"the activation is {activation} of {architecture}"
    ]
    if parsed.source == "open_clip":
        from toolkit_common.backbones.from_open_clip import find_quick_twin

        if activation == "GELU" and (twin := find_quick_twin(parsed.name)) is not None:
            notes.append(
                f"if these weights are OpenAI's, take open_clip:{twin}: QuickGELU is theirs"
            )
    return notes


def _receipt_of_library(parsed: BackboneId, *, pretrained: bool) -> Receipt:
    """The library loads its own weights strictly, or raises."""
    return Receipt(parsed.text, 1.0) if pretrained else Receipt("random", 0.0)
