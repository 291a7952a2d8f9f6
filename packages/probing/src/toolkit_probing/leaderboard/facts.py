"""What a leaderboard says of an encoder, read off what its run has recorded: id and card."""

import re
from collections.abc import Mapping
from pathlib import Path

from toolkit_common.backbones.named.resolve import short_name
from toolkit_common.ids import split_options
from toolkit_probing.results.contents import JudgedBackbone
from toolkit_probing.results.names import encoder_name

NOT_KNOWN = "not known"
# Objective, as cards call it -> family, as the field calls it: masked image modelling,
# joint embedding, both, vision and language, generative.
FAMILIES = {
    "MAE": "MIM", "BEiT": "MIM", "SimMIM": "MIM", "MaskFeat": "MIM", "EVA-02": "MIM",
    "CAE, PanDerm": "MIM",
    "DINO": "JEA", "MoCo v3": "JEA", "SwAV": "JEA", "I-JEPA": "JEA", "SimCLR": "JEA",
    "DINOv2": "Hybrid", "DINOv3": "Hybrid", "iBOT": "Hybrid", "Franca": "Hybrid",
    "CLIP": "VLM", "SigLIP": "VLM",
    "AIMv2": "GEN",
    "SLIMP": "images and metadata",
}  # fmt: skip
SUPERVISED = "supervised"
VIT = re.compile(r"(?:vit|deit3?|flexivit)_([a-z0-9]+)_patch(\d+)(?:_.*)?")
SIZES = {"tiny": "Ti", "small": "S", "medium": "M", "base": "B", "large": "L", "huge": "H",
         "giant": "g", "gigantic": "G"}  # fmt: skip
OPEN_CLIP_VIT = re.compile(r"ViT-([A-Za-z0-9]+)-(\d+)(?:-quickgelu)?")


def family_of(backbone: JudgedBackbone) -> str:
    """Return the kind of an encoder's pre-training, by its card's objective."""
    if backbone.random_weights:
        return "untrained"
    objective = str(backbone.card.get("objective", ""))
    named = re.search(r"\(([^()]*)\)$", objective)
    if named and named[1] in FAMILIES:
        return FAMILIES[named[1]]
    return SUPERVISED if SUPERVISED in objective and "unknown" not in objective else NOT_KNOWN


def pretraining_of(backbone: JudgedBackbone, known: Mapping[str, str]) -> str:
    """Return what an encoder was trained on, else which weights it has: their tag, file or run.

    Args:
        backbone: The encoder.
        known: Id without options -> what it was trained on.
    """
    if backbone.random_weights:
        return "none"
    place, options = split_options(backbone.id)
    if "weights" in options:
        return Path(options["weights"]).name
    if place in known:
        return known[place]
    source, colon, name = place.partition(":")
    if not colon or source not in ("timm", "open_clip"):
        return encoder_name(place)
    _, mark, tag = name.partition("@" if source == "open_clip" else ".")
    return tag if mark and "/" not in tag else encoder_name(place)


def architecture_of(backbone: JudgedBackbone) -> str:
    """Return what an encoder is built like: `ViT-B/16`, or its library's name."""
    place = split_options(str(backbone.facts.get("architecture", "")))[0]
    name = encoder_name(place).partition("@")[0].partition(".")[0]
    if (vit := VIT.fullmatch(name)) and (vit[1] in SIZES or vit[1][0].isdigit()):
        return f"ViT-{SIZES.get(vit[1], vit[1].upper())}/{vit[2]}"
    if vit := OPEN_CLIP_VIT.fullmatch(name):
        return f"ViT-{vit[1]}/{vit[2]}"
    return name or NOT_KNOWN


def called(backbone: JudgedBackbone) -> str:
    """Return what an encoder is called in a table: its short name, or its id without its place."""
    return encoder_name(short_name(backbone.shown))
