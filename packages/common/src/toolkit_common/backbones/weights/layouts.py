"""Where training codes keep an image encoder in their files, and what they keep beside it.

Two tables. `LAYOUTS`: code, and in which state dict and behind which prefix of its names the
encoder lies; where a file holds it twice, the first is what the code's authors evaluate. `KINDS`:
what may be left over in a file without changing what the encoder computes.
"""

import re
from dataclasses import dataclass

WRAPPERS = r"(?:(?:module|_orig_mod|model|_forward_module)\.)*"  # of DDP, compile, Lightning


@dataclass(frozen=True)
class Layout:
    """Where a training code keeps its encoder.

    Attributes:
        code: What it trains.
        source: Where it is published.
        keys: State dicts of its files that hold the encoder, the preferred one first; '' is a file
            that is one itself.
        prefixes: What stands before the encoder's names, the preferred one first, without the
            wrappers of parallel training and compilation.
    """

    code: str
    source: str
    keys: tuple[str, ...]
    prefixes: tuple[str, ...]


LAYOUTS = (
    Layout("MAE", "facebookresearch/mae", ("model",), ("",)),
    Layout("DINO, iBOT", "facebookresearch/dino", ("teacher", "student"), ("backbone.", "")),
    Layout("DINOv2", "facebookresearch/dinov2", ("model", "teacher", ""),
           ("teacher.backbone.", "student.backbone.", "backbone.")),
    Layout("MoCo v3", "facebookresearch/moco-v3", ("state_dict",),
           ("base_encoder.", "momentum_encoder.")),
    Layout("MoCo v2", "facebookresearch/moco", ("state_dict",), ("encoder_q.", "encoder_k.")),
    Layout("I-JEPA", "facebookresearch/ijepa", ("target_encoder", "encoder"), ("",)),
    Layout("SwAV", "facebookresearch/swav", ("", "state_dict"), ("",)),
    Layout("BYOL", "sthalles/PyTorch-BYOL, yaox12/BYOL-PyTorch, lucidrains/byol-pytorch",
           ("online_network_state_dict", "target_network_state_dict", "", "model", "state_dict"),
           ("encoder.", "online_network.encoder.", "online_network.", "online_encoder.net.",
            "target_network.encoder.", "target_network.", "target_encoder.net.", "net.")),
    Layout("lightly", "lightly-ai/lightly", ("state_dict",),
           ("backbone.", "student_backbone.", "teacher_backbone.", "backbone_momentum.")),
    Layout("solo-learn", "vturrisi/solo-learn", ("state_dict",),
           ("backbone.", "encoder.", "momentum_backbone.", "momentum_encoder.")),
    Layout("MMCL, TIP", "paulhager/MMCL-Tabular-Imaging, siyi-wind/TIP", ("state_dict",),
           ("encoder_imaging.", "encoder_imaging_momentum.", "encoder_imaging_m.")),
    Layout("PanDerm, CAE", "SiyuanYan1/PanDerm", ("model", ""), ("encoder.", "teacher.")),
    Layout("open_clip", "mlfoundations/open_clip", ("state_dict", ""),
           ("visual.", "visual.trunk.")),
    Layout("timm", "huggingface/pytorch-image-models", ("state_dict", "state_dict_ema"), ("",)),
    Layout("Lightning", "Lightning-AI/pytorch-lightning", ("state_dict",),
           ("net.", "encoder.", "backbone.", "student.", "teacher.")),
    Layout("transformers", "huggingface/transformers", ("", "state_dict"),
           ("vit.", "dinov2.", "dinov2_with_registers.", "backbone.")),
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """Something that a file may hold beside the encoder.

    Attributes:
        title: What messages call it.
        pattern: Of names, from their start, behind wrappers and what they share with the prefix.
        within: Whether it may have a name that begins as one of the encoder's own, too.
        needs: Attribute of the encoder that computes it itself; harmless only where that is.
    """

    title: str
    pattern: str
    within: bool = False
    needs: str | None = None


# The first that matches. `transformer.`, say, is a text tower beside `visual.`, and nothing else:
# in a vision tower whose own names begin so, it is a block that the encoder lacks.
KINDS = (
    Kind("derived buffer", r"(?:.+\.)?(?:relative_position_index|relative_coords_table|attn_mask|"
         r"num_batches_tracked|position_ids)$", within=True),
    Kind("derived buffer", r"(?:.+\.)?(?:rope\w*\.(?:periods|inv_freq|freqs_\w+)|bias_mask)$",
         within=True, needs="rope"),
    Kind("mask token", r"(?:mask(?:ed)?_?(?:token|embed)s?|masked_embed)$", within=True),
    Kind("decoder", r"(?:decoder\w*|\w+_decoder|rd|regressor\w*)\."),
    Kind("decoder", r"decoder_pos_embed$"),
    Kind("head", r"(?!fc_norm|head_norm)(?:\w+_)?(?:heads?|fc|classifiers?|project(?:or|ion)s?|"
         r"projetion|predict(?:or|ion)s?|prototypes|last_layer|pre_logits|pooler|linear|logits|head_dist)"
         r"(?:_\w+)?\d*\.", within=True),
    Kind("head", r"local_cls_norm\.", within=True),  # DINOv3, of local crops
    Kind("momentum twin", r"(?:student|teacher|momentum|target|online|base|ema|key|query)"
         r"(?:_\w+)?\."),
    Kind("momentum twin", r"(?:\w+_(?:momentum|ema|teacher|student|[kqm])|model_ema)\."),
    Kind("loss", r"(?:\w+_)?(?:loss\w*|criterion\w*|queue\w*|center|temperature|tau)(?:\.|$)"),
    Kind("loss", r"logit_(?:scale|bias)$"),
    Kind("counter", r"(?:\w+_)?(?:steps?|epochs?|initted)$"),
    Kind("optimizer state", r"(?:opt|optimizers?|scaler|schedulers?)\."),
    Kind("text tower", r"(?:text\w*|transformer|token_embedding|ln_final|language\w*|bert\w*)\."),
    Kind("text tower", r"(?:positional_embedding|text_projection|cls_emb|token_embedding)$"),
    Kind("encoder of something else", r"(?:\w+_)?(?:tabular|multimodal|metadata|audio)\w*\."),
)  # fmt: skip


def find_layout(key: str, prefix: str) -> Layout | None:
    """Return the layout that a place in a file is of."""
    return next(
        (layout for layout in LAYOUTS if key in layout.keys and bare(prefix) in layout.prefixes),
        None,
    )


def rank(prefix: str) -> int:
    """Return how late a prefix comes in the layout that has it, 0 the preferred one."""
    places = [
        item.prefixes.index(bare(prefix)) for item in LAYOUTS if bare(prefix) in item.prefixes
    ]
    return min(places, default=0)


def bare(name: str) -> str:
    """Return a name or prefix without the wrappers of parallel training and compilation."""
    return re.sub(rf"^{WRAPPERS}", "", name)
