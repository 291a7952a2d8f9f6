"""Reading rules: which tokens a probe reads is decided by what the encoder is, never by its score.

Linear probing and k-NN read the class token where there is one, else the mean of the patches;
also the mean where the encoder's pooled output comes from a learned attention pooler of its own.
EP reads the patches, and the class token too where the pre-training objective is defined on the
class token (docs/encoders.md, "ep_all"). The first rule that matches an encoder's id wins.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from toolkit_common.backbones.contract import Card, EncoderFacts


@dataclass(frozen=True)
class Rule:
    """An objective, the ids that were trained with it, and whether it acts on the class token."""

    pattern: str
    objective: str
    on_class_token: bool


# The first that matches: `open_clip:` has clip in it, so siglip stands before clip; the CLIP models
# of EVA-02 are no masked ones, so clip stands before eva02.
RULES = (
    Rule("*hiera*mae*", "masked reconstruction (MAE)", on_class_token=False),
    Rule("*.mae*", "masked reconstruction (MAE)", on_class_token=False),
    Rule("*dinov3*", "self-distillation (DINOv3)", on_class_token=True),
    Rule("*dinov2*", "self-distillation (DINOv2)", on_class_token=True),
    Rule("*.dino", "self-distillation (DINO)", on_class_token=True),
    Rule("*ibot*", "self-distillation (iBOT)", on_class_token=True),
    Rule("*franca*", "self-distillation (Franca)", on_class_token=True),
    Rule("*mocov3*", "contrastive (MoCo v3)", on_class_token=True),
    Rule("*ijepa*", "latent prediction (I-JEPA)", on_class_token=False),
    Rule("*aimv2*", "autoregression (AIMv2)", on_class_token=False),
    Rule("*beit*", "masked token prediction (BEiT)", on_class_token=False),
    Rule("*simmim*", "masked reconstruction (SimMIM)", on_class_token=False),
    Rule("*maskfeat*", "masked reconstruction (MaskFeat)", on_class_token=False),
    Rule("*siglip*", "image-text (SigLIP)", on_class_token=False),
    Rule("*clip*", "image-text (CLIP)", on_class_token=True),
    Rule("open_clip:*", "image-text (CLIP)", on_class_token=True),
    Rule("*eva02*", "masked feature prediction (EVA-02)", on_class_token=False),
)


def choose_card(backbone_id: str, facts: EncoderFacts) -> Card:
    """Return the reading rule for an encoder.

    Args:
        backbone_id: The id as the user gave it; weights' tags in it tell the objective.
        facts: What the encoder is made of.
    """
    # Without options: weights' paths and layers must match no pattern.
    name = backbone_id.lower().partition("?")[0]
    rule = next((rule for rule in RULES if fnmatchcase(name, rule.pattern)), None)
    objective = rule.objective if rule else "unknown, taken as supervised"
    # Without a rule it counts as supervised, and what is trained is what is pooled.
    on_class_token = rule.on_class_token if rule else facts.pools_class_token
    if not facts.has_class_token:
        return Card("mean", "patches", objective, "no class token: mean of the patches")
    if facts.has_attention_pool:
        reason = "pooled by the encoder's own attention pooler: mean of the patches"
        return Card("mean", "patches", objective, reason)
    if on_class_token:
        return Card("cls", "all", objective, "class token, and the objective acts on it")
    return Card("cls", "patches", objective, "class token, and the objective does not act on it")
