"""Reading rules: which tokens a probe reads is decided by what the encoder is, never by its score.

Linear probing and k-NN read the class token where there is one, else the mean of the patches;
also the mean where the encoder's pooled output comes from a learned attention pooler of its own.
EP reads the patches, and the class token too where the pre-training objective is defined on the
class token (docs/encoders.md, "ep_all"). The first rule that matches an encoder's id wins.
"""

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import cast, get_args

from toolkit_common.backbones.contract import Card, EncoderFacts, TokenSource, VectorSource
from toolkit_common.errors import InputError
from toolkit_common.ids import split_options
from toolkit_common.registry import did_you_mean

SUPERVISED = "supervised"


@dataclass(frozen=True)
class Rule:
    """An objective, the ids that were trained with it, and whether it acts on the class token."""

    name: str
    pattern: str
    objective: str
    on_class_token: bool


# The first that matches: `open_clip:` has clip in it, so siglip stands before clip; the CLIP models
# of EVA-02 are no masked ones, so clip stands before eva02.
RULES = (
    Rule("mae", "*hiera*mae*", "masked reconstruction (MAE)", on_class_token=False),
    Rule("mae", "*.mae*", "masked reconstruction (MAE)", on_class_token=False),
    Rule("dinov3", "*dinov3*", "self-distillation (DINOv3)", on_class_token=True),
    Rule("dinov2", "*dinov2*", "self-distillation (DINOv2)", on_class_token=True),
    Rule("dino", "*.dino", "self-distillation (DINO)", on_class_token=True),
    Rule("ibot", "*ibot*", "self-distillation (iBOT)", on_class_token=True),
    Rule("franca", "*franca*", "self-distillation (Franca)", on_class_token=True),
    Rule("mocov3", "*mocov3*", "contrastive (MoCo v3)", on_class_token=True),
    Rule("ijepa", "*ijepa*", "latent prediction (I-JEPA)", on_class_token=False),
    Rule("aimv2", "*aimv2*", "autoregression (AIMv2)", on_class_token=False),
    Rule("cae", "*.cae*", "masked latent prediction (CAE, PanDerm)", on_class_token=False),
    Rule("swav", "*swav*", "clustering (SwAV)", on_class_token=False),
    Rule("beit", "*beit*", "masked token prediction (BEiT)", on_class_token=False),
    Rule("simmim", "*simmim*", "masked reconstruction (SimMIM)", on_class_token=False),
    Rule("maskfeat", "*maskfeat*", "masked reconstruction (MaskFeat)", on_class_token=False),
    Rule("siglip", "*siglip*", "image-text (SigLIP)", on_class_token=False),
    Rule("clip", "*clip*", "image-text (CLIP)", on_class_token=True),
    Rule("clip", "open_clip:*", "image-text (CLIP)", on_class_token=True),
    Rule("eva02", "*eva02*", "masked feature prediction (EVA-02)", on_class_token=False),
)


def choose_card(backbone_id: str, facts: EncoderFacts) -> Card:
    """Return the reading rule for an encoder.

    Args:
        backbone_id: The id as the user gave it; weights' tags in it tell the objective, or
            `objective=` in its options; `tokens=` and `vectors=` there hold over any rule.
        facts: What the encoder is made of.

    Raises:
        InputError: If the objective or what is to be read is unknown, or the encoder lacks it.
    """
    return _as_given(_by_rule(backbone_id, facts), backbone_id, facts)


def change_card(card: Card, backbone_id: str, facts: EncoderFacts) -> Card:
    """Return a card of its own with what the options of an id say is to be read.

    Raises:
        InputError: If that is unknown, the encoder lacks it, or the id has another objective.
    """
    options = split_options(backbone_id)[1]
    if "objective" in options:
        raise InputError(
            f"{backbone_id!r} says itself what it was trained with ({card.objective}): drop "
            "objective=; tokens= and vectors= choose what probes read of it"
        )
    return _as_given(card, backbone_id, facts)


def _as_given(card: Card, backbone_id: str, facts: EncoderFacts) -> Card:
    """Return a card with what `tokens=` and `vectors=` of an id say."""
    options = split_options(backbone_id)[1]
    given = {key: options[key] for key in ("tokens", "vectors") if key in options}
    if not given:
        return card
    for key, known in (("tokens", TokenSource), ("vectors", VectorSource)):
        if key in given and given[key] not in get_args(known):
            hint = did_you_mean(given[key], get_args(known))
            raise InputError(f"unknown {key} {given[key]!r} in {backbone_id!r}{hint}")
    if {"all", "cls"} & set(given.values()) and not facts.has_class_token:
        raise InputError(f"{backbone_id!r} is to be read by a class token, and has none")
    return replace(
        card,
        ep=cast("TokenSource", given.get("tokens", card.ep)),
        linear=cast("VectorSource", given.get("vectors", card.linear)),
        reason="as the id says",
    )


def _by_rule(backbone_id: str, facts: EncoderFacts) -> Card:
    # Without options: weights' paths and layers must match no pattern.
    place, options = split_options(backbone_id)
    # Of an architecture in a folder its last name alone: those above it are of the machine.
    source, local, folder = place.partition("local-dir:")
    name = f"{source}{local}{Path(folder).name}".lower()
    rule = next((rule for rule in RULES if fnmatchcase(name, rule.pattern)), None)
    objective = rule.objective if rule else "unknown, taken as supervised"
    if "weights" in options and rule is None:
        objective = "unknown: a file does not say it, &objective=NAME does"
    if "objective" in options:
        rule = _named(options["objective"])
        objective = rule.objective if rule else SUPERVISED
    # Without a rule it counts as supervised, and what is trained is what is pooled.
    on_class_token = rule.on_class_token if rule else facts.pools_class_token
    if not facts.has_class_token:
        return Card("mean", "patches", objective, "no class token: mean of the patches")
    if facts.has_attention_pool:
        reason = "pooled by the encoder's own attention pooler: mean of the patches"
        return Card("mean", "patches", objective, reason)
    reason = "the objective acts on it" if on_class_token else "the objective does not act on it"
    if "unknown:" in objective:
        reason = "the encoder pools it" if on_class_token else "the encoder does not pool it"
    return Card(
        "cls", "all" if on_class_token else "patches", objective, f"class token, and {reason}"
    )


def _named(name: str) -> Rule | None:
    if name == SUPERVISED:
        return None
    rule = next((rule for rule in RULES if rule.name == name), None)
    if rule is None:
        known = list(dict.fromkeys(rule.name for rule in RULES))
        raise InputError(f"unknown objective {name!r}{did_you_mean(name, [*known, SUPERVISED])}")
    return rule
