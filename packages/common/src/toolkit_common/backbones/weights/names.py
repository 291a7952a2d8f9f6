"""Names of tensors: from those of other libraries and training codes to the encoder's own.

A dialect is a table of rules, applied by name alone; timm's own `checkpoint_filter_fn` comes after
it, renames what timm itself knows and resamples position tables.
"""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from toolkit_common.backbones.weights.state_dicts import State

Rules = tuple[tuple[str, str], ...]  # whole name -> new name; `#k` ends part k of a concatenation


@dataclass(frozen=True)
class Dialect:
    """How one library names an encoder that timm has too.

    Attributes:
        library: Whose names they are.
        sign: A name by which they are known, as a pattern.
        rules: The first that matches a whole name renames it; what none matches keeps its name.
        finish: Changes the renamed tensors where other names are not enough, in place.
    """

    library: str
    sign: str
    rules: Rules | Callable[[nn.Module], Rules]
    finish: Callable[[State, nn.Module], None] | None = None


@dataclass(frozen=True)
class Renamed:
    """A state dict under the encoder's names, and which of the file's names each came from."""

    state: State
    origins: Mapping[str, tuple[str, ...]]
    library: str = ""


def _efficientnet_rules(model: nn.Module) -> Rules:
    """Both number the same blocks in the same order; timm groups them in stages.

    A block without expansion (the first) has its depthwise convolution first.
    """
    expanded = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw",
                "_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3"}  # fmt: skip
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    outer = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2",
             "_fc": "classifier"}  # fmt: skip
    if not hasattr(model, "conv_stem"):
        return ()
    blocks = [
        (f"blocks.{stage}.{index}", expanded if hasattr(block, "conv_pwl") else first)
        for stage, members in enumerate(model.blocks)  # type: ignore[arg-type]
        for index, block in enumerate(members)
    ]
    inner = [
        (rf"_blocks\.{number}\.{theirs}\.(.+)", rf"{place}.{ours}.\1")
        for number, (place, parts) in enumerate(blocks)
        for theirs, ours in parts.items()
    ]
    return (*inner, *((rf"{theirs}\.(.+)", rf"{ours}.\1") for theirs, ours in outer.items()))


def _cae_rules(model: nn.Module) -> Rules:
    """Biases and LayerScale are BEiT's, all else a ViT's: timm has that as DeiT III.

    timm's own BEiT keeps their names.
    """
    if not hasattr(model, "blocks") or any(
        ".q_bias" in name for name, _ in model.named_parameters()
    ):
        return ()
    return (
        (r"(blocks\.\d+\.attn)\.q_bias", r"\1.qkv.bias#0"),
        (r"(blocks\.\d+\.attn)\.v_bias", r"\1.qkv.bias#2"),
        (r"(blocks\.\d+)\.gamma_([12])", r"\1.ls\2.gamma"),
    )


def _finish_cae_(state: State, model: nn.Module) -> None:
    for name in [name for name in state if name.endswith(".attn.qkv.bias")]:
        query, value = state[name].chunk(2)
        state[name] = torch.cat([query, torch.zeros_like(query), value])  # keys have no bias
    if getattr(model, "no_embed_class", False) and {"pos_embed", "cls_token"} <= set(state):
        # The same sum: what is added to the class token at its place is part of the token.
        positions = state["pos_embed"]
        state["cls_token"] = state["cls_token"] + positions[:, :1]
        state["pos_embed"] = positions[:, 1:]


# Of transformers' CLIP vision tower, as open_clip's own and timm's ViT name it.
CLIP_IN_OPEN_CLIP = (
    (r"vision_model\.embeddings\.class_embedding", "class_embedding"),
    (r"vision_model\.embeddings\.patch_embedding\.(.+)", r"conv1.\1"),
    (r"vision_model\.embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"vision_model\.pre_layrnorm\.(.+)", r"ln_pre.\1"),
    (r"vision_model\.post_layernorm\.(.+)", r"ln_post.\1"),
    (r"visual_projection\.weight", "proj"),
    *((rf"BLOCK\.self_attn\.{part}_proj\.(.+)",
       rf"transformer.resblocks.\1.attn.in_proj_\2#{number}") for number, part in enumerate("qkv")),
    (r"BLOCK\.self_attn\.out_proj\.(.+)", r"transformer.resblocks.\1.attn.out_proj.\2"),
    (r"BLOCK\.layer_norm([12])\.(.+)", r"transformer.resblocks.\1.ln_\2.\3"),
    (r"BLOCK\.mlp\.fc1\.(.+)", r"transformer.resblocks.\1.mlp.c_fc.\2"),
    (r"BLOCK\.mlp\.fc2\.(.+)", r"transformer.resblocks.\1.mlp.c_proj.\2"),
)  # fmt: skip
CLIP_IN_TIMM = (
    (r"vision_model\.embeddings\.class_embedding", "cls_token"),
    (r"vision_model\.embeddings\.patch_embedding\.(.+)", r"patch_embed.proj.\1"),
    (r"vision_model\.embeddings\.position_embedding\.weight", "pos_embed"),
    (r"vision_model\.pre_layrnorm\.(.+)", r"norm_pre.\1"),
    (r"vision_model\.post_layernorm\.(.+)", r"norm.\1"),
    *((rf"BLOCK\.self_attn\.{part}_proj\.(.+)", rf"blocks.\1.attn.qkv.\2#{number}")
      for number, part in enumerate("qkv")),
    (r"BLOCK\.self_attn\.out_proj\.(.+)", r"blocks.\1.attn.proj.\2"),
    (r"BLOCK\.layer_norm([12])\.(.+)", r"blocks.\1.norm\2.\3"),
    (r"BLOCK\.mlp\.(fc[12])\.(.+)", r"blocks.\1.mlp.\2.\3"),
)  # fmt: skip


def _clip_rules(model: nn.Module) -> Rules:
    rules: Rules = ()
    if hasattr(model, "norm_pre"):
        rules = CLIP_IN_TIMM
    elif hasattr(model, "ln_pre"):
        rules = CLIP_IN_OPEN_CLIP
    block = r"vision_model\.encoder\.layers\.(\d+)"
    return tuple((theirs.replace("BLOCK", block), ours) for theirs, ours in rules)


def _finish_clip_(state: State, model: nn.Module) -> None:
    if hasattr(model, "norm_pre"):
        state["cls_token"] = state["cls_token"].reshape(1, 1, -1)
        state["pos_embed"] = state["pos_embed"].unsqueeze(0)
    elif "proj" in state:
        state["proj"] = state["proj"].T


LAYER = r"(?:encoder\.layer|layers)\.(\d+)\."  # transformers 4 and 5
ATTENTION = r"attention\.(?:attention\.)?"
DIALECTS = (
    Dialect(
        "DINOv2 (blocks in chunks)",
        r"blocks\.0\.0\.norm1\.weight",
        ((r"blocks\.\d+\.(\d+)\.(.+)", r"blocks.\1.\2"),),
    ),
    Dialect(
        "transformers",
        LAYER + ATTENTION + r"(?:query|q_proj)\.weight",
        (
            (r"embeddings\.(cls_token|mask_token)", r"\1"),
            (r"embeddings\.register_tokens", r"register_tokens"),
            (r"embeddings\.position_embeddings", r"pos_embed"),
            (r"embeddings\.patch_embeddings\.projection\.(.+)", r"patch_embed.proj.\1"),
            *(
                (LAYER + ATTENTION + rf"(?:{long}|{short})\.(.+)", rf"blocks.\1.attn.qkv.\2#{part}")
                for part, (long, short) in enumerate(
                    (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"))
                )
            ),
            (LAYER + r"attention\.(?:output\.dense|o_proj)\.(.+)", r"blocks.\1.attn.proj.\2"),
            (LAYER + r"(?:intermediate\.dense|mlp\.fc1)\.(.+)", r"blocks.\1.mlp.fc1.\2"),
            (LAYER + r"(?:output\.dense|mlp\.fc2)\.(.+)", r"blocks.\1.mlp.fc2.\2"),
            (LAYER + r"(?:layernorm_before|norm1)\.(.+)", r"blocks.\1.norm1.\2"),
            (LAYER + r"(?:layernorm_after|norm2)\.(.+)", r"blocks.\1.norm2.\2"),
            (LAYER + r"layer_scale([12])\.lambda1", r"blocks.\1.ls\2.gamma"),
            (LAYER + r"(.+)", r"blocks.\1.\2"),
            (r"layernorm\.(.+)", r"norm.\1"),
        ),
    ),
    Dialect(
        "torchvision",
        r"encoder\.layers\.encoder_layer_0\.ln_1\.weight",
        (
            (r"class_token", r"cls_token"),
            (r"conv_proj\.(.+)", r"patch_embed.proj.\1"),
            (r"encoder\.pos_embedding", r"pos_embed"),
            (r"encoder\.ln\.(.+)", r"norm.\1"),
            *(
                (rf"encoder\.layers\.encoder_layer_(\d+)\.{theirs}", rf"blocks.\1.{ours}")
                for theirs, ours in (
                    (r"ln_([12])\.(.+)", r"norm\2.\3"),
                    (r"self_attention\.in_proj_(.+)", r"attn.qkv.\2"),
                    (r"self_attention\.out_proj\.(.+)", r"attn.proj.\2"),
                    (r"mlp\.(?:0|linear_1)\.(.+)", r"mlp.fc1.\2"),
                    (r"mlp\.(?:3|linear_2)\.(.+)", r"mlp.fc2.\2"),
                    (r"(.+)", r"\2"),
                )
            ),
        ),
    ),
    Dialect(  # lightly and others cut a torchvision ResNet's head off so
        "torchvision (ResNet as nn.Sequential)",
        r"7\.0\.conv1\.weight",
        (
            (r"0\.(.+)", r"conv1.\1"),
            (r"1\.(.+)", r"bn1.\1"),
            *((rf"{place}\.(.+)", rf"layer{place - 3}.\1") for place in (4, 5, 6, 7)),
        ),
    ),
    Dialect("CAE, PanDerm", r"blocks\.0\.attn\.q_bias", _cae_rules, _finish_cae_),
    Dialect(
        "transformers (CLIP)", r"vision_model\.embeddings\.class_embedding", _clip_rules,
        _finish_clip_,
    ),
    Dialect(
        "efficientnet_pytorch", r"_blocks\.0\._depthwise_conv\.weight", _efficientnet_rules
    ),
)  # fmt: skip


def speaks_dialect(name: str) -> bool:
    """Whether a name, without what stands in front of the encoder's names, is a dialect's sign."""
    return any(re.fullmatch(dialect.sign, name) for dialect in DIALECTS)


def rename(state: State, model: nn.Module) -> Renamed:
    """Rename what another library named; what no dialect knows keeps its names."""
    for dialect in DIALECTS:
        if any(re.fullmatch(dialect.sign, name) for name in state):
            rules = dialect.rules(model) if callable(dialect.rules) else dialect.rules
            if not rules:  # of this encoder nothing is named in another way
                continue
            renamed = _apply(rules, state, library=dialect.library)
            if dialect.finish is not None:
                dialect.finish(renamed.state, model)
            return renamed
    return Renamed(state, {name: (name,) for name in state})


def filter_like_timm(state: State, model: nn.Module) -> State:
    """Let the model's own timm module rename foreign names and resize position tables."""
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return state
    try:
        # A copy of the mapping, as some filters take names out of what they are given.
        converted: State = convert(dict(state), model)
    except Exception:  # it meets names and shapes it was not written for
        return state  # the comparison of names and shapes then names what does not fit
    return converted


def _apply(rules: Rules, state: State, *, library: str) -> Renamed:
    compiled = [(re.compile(pattern), new) for pattern, new in rules]
    parts: dict[str, dict[int, tuple[str, Tensor]]] = {}
    for name, tensor in state.items():
        new = next(
            (match.expand(to) for rule, to in compiled if (match := rule.fullmatch(name))), name
        )
        whole, _, part = new.partition("#")
        parts.setdefault(whole, {})[int(part or 0)] = (name, tensor)
    return Renamed(
        {
            whole: torch.cat([items[part][1] for part in sorted(items)]) if len(items) > 1
            else items[min(items)][1]
            for whole, items in parts.items()
        },
        {whole: tuple(name for name, _ in items.values()) for whole, items in parts.items()},
        library,
    )  # fmt: skip
