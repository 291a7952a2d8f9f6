"""What an image encoder is made of, whatever library it is from: embedding, blocks, norms, rest.

Blocks are the lists of modules (`blocks`, `resblocks`, `stages`, `layers`) in which an attention
layer lies. What stands before them embeds: patches or stem, positions, class and register tokens.
What stands behind them (poolers, projections) and norms beside them are neither. An encoder without
attention has no blocks: its stem is the first layer, or the first named group of layers.
"""

from dataclasses import dataclass
from typing import Literal

from torch import nn

Part = Literal["embedding", "blocks", "stem", "layers", "rest"]
AFTER = ("proj",)  # open_clip keeps its last projection as a parameter of the encoder itself


@dataclass(frozen=True)
class ImageParts:
    """Where each tensor of an image encoder belongs.

    Attributes:
        parts: Name of a parameter -> its part.
        norms: Names of those that a normalisation scales and shifts by.
        has_blocks: Whether there are attention blocks.
    """

    parts: dict[str, Part]
    norms: frozenset[str]
    has_blocks: bool


def divide_encoder(model: nn.Module) -> ImageParts:
    """Return where each parameter of an encoder belongs.

    Args:
        model: The library's own module.
    """
    names = [name for name, _ in model.named_parameters()]
    norms = frozenset(name for name in names if is_norm(model.get_submodule(_owner(name))))
    blocks = _find_blocks(model)
    if not blocks:
        stem = _find_stem(model)
        parts: dict[str, Part] = {
            name: "stem" if _is_within(name, stem) else "layers" for name in names
        }
        return ImageParts(parts, norms, has_blocks=False)
    before = _before(model, blocks[0])
    parts = {}
    for name in names:
        if any(_is_within(name, block) for block in blocks):
            parts[name] = "blocks"
            continue
        # A norm beside the blocks evens out what they read or leave: none of the embedding's own.
        is_beside = name in norms and _owner(_owner(name)) in before
        is_after = name.rpartition(".")[2] in AFTER and _owner(name) in before
        is_embedding = _is_before(name, before) and not (is_beside or is_after)
        parts[name] = "embedding" if is_embedding else "rest"
    return ImageParts(parts, norms, has_blocks=True)


def is_norm(module: nn.Module) -> bool:
    """Return whether a module normalises, of torch or of any other library, by its class's name."""
    return "norm" in type(module).__name__.lower()


def is_attention(module: nn.Module) -> bool:
    """Return whether a module lets positions look at each other: attention, but no pooler.

    Not the attention of channels (squeeze and excitation, split attention) that CNNs have: it is
    told by its name or its heads.
    """
    name = type(module).__name__.lower()
    return "pool" not in name and ("attention" in name or hasattr(module, "num_heads"))


def _find_blocks(model: nn.Module) -> list[str]:
    """Return the names of the outermost lists that hold attention, in their order."""
    found: list[str] = []
    for name, module in model.named_modules():
        if not name or not is_attention(module) or _has_heads_alone(model, name):
            continue
        place = _outermost_list(model, name) or name
        if place not in found:
            found.append(place)
    return found


def _has_heads_alone(model: nn.Module, name: str) -> bool:
    """Whether a module with heads is a pooler or in one: it reads the encoder's last tokens."""
    parents = [".".join(name.split(".")[:count]) for count in range(1, name.count(".") + 1)]
    return any("pool" in type(model.get_submodule(parent)).__name__.lower() for parent in parents)


def _outermost_list(model: nn.Module, name: str) -> str | None:
    steps = name.split(".")
    for count in range(1, len(steps)):
        place = ".".join(steps[:count])
        if isinstance(model.get_submodule(place), (nn.ModuleList, nn.Sequential)):
            return place
    return None


def _find_stem(model: nn.Module) -> str:
    """Return the first layers of an encoder without attention.

    A first child that holds more than half of all weights is the encoder in another module.
    """
    total = sum(item.numel() for item in model.parameters())
    place, module = "", model
    while True:
        children = [
            (name, child)
            for name, child in module.named_children()
            if next(child.parameters(), None) is not None
        ]
        if not children:
            return place
        name, module = children[0]
        place = f"{place}.{name}".lstrip(".")
        if 2 * sum(item.numel() for item in module.parameters()) <= total:
            return place


def _before(model: nn.Module, block: str) -> dict[str, set[str]]:
    """Return, for each module on the way to the first block, what it has before that block."""
    before: dict[str, set[str]] = {}
    place, module = "", model
    for step in block.split("."):
        children = [name for name, _ in module.named_children()]
        own = [name for name, _ in module.named_parameters(recurse=False)]
        before[place] = {*own, *children[: children.index(step)]}
        place, module = f"{place}.{step}".lstrip("."), module.get_submodule(step)
    return before


def _is_before(name: str, before: dict[str, set[str]]) -> bool:
    """Whether a parameter stands before the first block, in the module that both are of."""
    place = max((item for item in before if _is_within(name, item)), key=len)
    return name[len(place) :].lstrip(".").split(".")[0] in before[place]


def _is_within(name: str, place: str) -> bool:
    return not place or name == place or name.startswith(f"{place}.")


def _owner(name: str) -> str:
    return name.rpartition(".")[0]
