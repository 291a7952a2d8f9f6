"""What lies in a weights file, for who does not know: dicts, prefixes, shapes, encoder."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from toolkit_common.backbones.weights.fill import Reading, judge_weights
from toolkit_common.backbones.weights.layouts import find_layout
from toolkit_common.backbones.weights.names import rename, speaks_dialect
from toolkit_common.backbones.weights.state_dicts import State, read_state_dicts
from toolkit_common.backbones.weights.trials import under
from toolkit_common.errors import InputError
from toolkit_common.printable import counted, first_of
from toolkit_common.torchvision_ops import prepare

# A name that every encoder of some of timm's modules has.
ANCHORS = {
    "patch_embed.proj.weight": ("vision_transformer", "deit", "eva", "beit", "swin_transformer"),
    "layer1.0.conv1.weight": ("resnet",),
    "stages.0.blocks.0.conv_dw.weight": ("convnext",),
    "conv_stem.weight": ("efficientnet",),
}
SIZES = {192: "tiny", 384: "small", 768: "base", 1024: "large", 1280: "huge"}
MOST_NAMED = 4


def describe_file(path: Path) -> list[str]:
    """Return lines for humans about a weights file.

    Raises:
        InputError: If it cannot be read, or holds no tensors.
    """
    states = read_state_dicts(path)
    lines = [f"{path}: {counted(len(states), 'state dict')}"]
    for key, state in states.items():
        numbers = sum(value.numel() for value in state.values())
        place = f"&key={key}" if key else "the file itself"
        lines.append(f"{place}: {counted(len(state), 'tensor')}, {numbers:,} numbers")
        for front, names in _fronts(state).items():
            shape = " x ".join(map(str, state[names[0]].shape)) or "one number"
            lines.append(f"  {front}: {counted(len(names), 'tensor')}, first {names[0]} ({shape})")
        lines += [f"  {_describe_encoder(state, key, prefix)}" for prefix in _encoders(state)]
    return lines


def likely_names(state: State, prefix: str) -> list[str]:
    """Return the timm models that a state dict fits wholly behind a prefix, the shortest first.

    Models are built without weights and memory, on torch's meta device.
    """
    prepare()
    import timm

    inner = rename(under(prefix, state), nn.Module()).state
    anchor = next((name for name in ANCHORS if name in inner), None)
    if anchor is None:
        return []
    modules = [name for module in ANCHORS[anchor] for name in timm.list_models(module=module)]
    kernel = inner[anchor]
    if anchor.startswith("patch_embed"):
        other_sizes = {word for dim, word in SIZES.items() if dim != kernel.shape[0]}
        modules = [
            name
            for name in modules
            if ("patch" not in name or f"patch{kernel.shape[-1]}" in name)
            and not (kernel.shape[0] in SIZES and other_sizes & set(name.split("_")))
        ]
    return sorted(filter(lambda name: _fits(name, state, prefix), modules), key=len)


def _fits(name: str, state: State, prefix: str) -> bool:
    from toolkit_common.backbones.from_timm import build_timm_model

    try:
        with torch.device("meta"):
            model = build_timm_model(name, pretrained=False)
        judge_weights(model, state, Reading(name, prefix=prefix or None))
    # Some models cannot be made without memory; what does not fit is refused.
    except (InputError, NotImplementedError, RuntimeError, TypeError, ValueError):
        return False
    return True


def _fronts(state: State) -> dict[str, list[str]]:
    """Return the first words of names that differ, with the names behind each."""
    names, common = list(state), ""
    while len(heads := {name[len(common) :].partition(".")[0] for name in names}) == 1:
        word = f"{heads.pop()}."
        if not all(name.startswith(common + word) for name in names):
            break
        common += word
    fronts: dict[str, list[str]] = {}
    for name in names:
        word, dot, _ = name[len(common) :].partition(".")
        fronts.setdefault(f"{common}{word}{dot}", []).append(name)
    return fronts


def _encoders(state: State) -> Iterator[str]:
    """Yield the prefixes behind which an encoder of a known kind lies."""
    seen = set()
    for name in state:
        starts = (0, *(at + 1 for at, mark in enumerate(name) if mark == "."))
        for prefix, rest in ((name[:start], name[start:]) for start in starts):
            if prefix not in seen and (rest in ANCHORS or speaks_dialect(rest)):
                seen.add(prefix)
                yield prefix


def _describe_encoder(state: State, key: str, prefix: str) -> str:
    renamed = rename(under(prefix, state), nn.Module())
    layout = find_layout(key, prefix)
    names = likely_names(state, prefix)
    parts = [
        f"an encoder{f' behind &prefix={prefix}' if prefix else ''}",
        f"where {layout.code} keeps it" if layout and prefix else "",
        f"names of {renamed.library}" if renamed.library else "",
        f"likely timm:{first_of(names, MOST_NAMED, ', timm:')}" if names
        else "no timm model has exactly these tensors",
    ]  # fmt: skip
    return "; ".join(filter(None, parts))
