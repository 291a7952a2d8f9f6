"""Weights from a local file into an encoder, with a receipt of what fitted.

Read are `.safetensors`, and torch files with `weights_only=True`, so that no file can run code.
"""

import re
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from toolkit_common.backbones.contract import Receipt
from toolkit_common.errors import InputError

State = dict[str, Tensor]

# In this order: of self-distillation the teacher is what DINO judges.
CONTAINERS = ("state_dict", "model", "teacher", "student", "module", "model_state_dict")
WRAPPERS = re.compile(r"(?:(?:module|model|encoder|backbone|visual|trunk|_orig_mod)\.)*")
COUNTER = ".num_batches_tracked"  # older files lack it, and a frozen batch norm does not read it
CLASSIFIERS = ("head.", "fc.", "classifier.", "_fc.", "head_dist.", "mask_token", "decoder")


def read_state_dict(path: Path) -> State:
    """Read the tensors of a weights file, out of the containers that training codes wrap them in.

    Raises:
        InputError: If the file is missing, damaged, needs unpickling of code, or holds no tensors.
    """
    if not path.is_file():
        raise InputError(f"no weights file at {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise InputError(f"{path} is no whole safetensors file: {error}") from None
    except Exception as error:
        # Torch goes on to advise what would let the file run code.
        reason = re.split(r"\n|(?<=\.) ", str(error))[0].rstrip(".")
        raise InputError(
            f"cannot read {path} as plain tensors ({type(error).__name__}: {reason}): save its "
            "state dict with safetensors"
        ) from None
    # Containers nest: a checkpoint may hold `{"model": {"state_dict": ...}}`.
    while isinstance(content, Mapping) and not _is_state(content):
        inner = next((content[key] for key in CONTAINERS if key in content), None)
        if inner is None:
            raise InputError(f"{path} holds no state dict, but: {', '.join(map(str, content))}")
        content = inner
    if not isinstance(content, Mapping):
        raise InputError(f"{path} holds a {type(content).__name__}, not a state dict")
    # What is no tensor (steps, settings) lies among the weights of some.
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def load_weights_(
    model: nn.Module, state: State, *, source: str, allow_partial: bool = False
) -> Receipt:
    """Load `state` into `model`, adapting names and position tables, and return what fitted.

    Args:
        model: Where the weights go; left as it was when they do not fit.
        state: Tensors by name.
        source: What the receipt says about where they came from.
        allow_partial: Accept weights that do not fill the model.

    Raises:
        InputError: If not all of the model's weights are there, unless `allow_partial`.
    """
    wanted = model.state_dict()
    # Judged after conversion: before it no name of a foreign library fits.
    prefix = max(_prefixes(state), key=lambda prefix: _score(state, prefix, model, wanted=wanted))
    dropped = [name for name in state if not name.startswith(prefix)]
    before = {name: value.shape for name, value in _under(prefix, state).items()}
    state = _convert(_under(prefix, state), model)
    fitting = _fitting(state, wanted)
    misshapen = sorted(name for name in state if name in wanted and name not in fitting)
    missing = sorted(name for name in wanted if name not in fitting and not name.endswith(COUNTER))
    filled = sum(wanted[name].numel() for name in fitting)
    receipt = Receipt(
        source=source,
        loaded=filled / (filled + sum(wanted[name].numel() for name in missing)),
        missing=tuple(missing),
        unexpected=tuple(sorted([*dropped, *(name for name in state if name not in wanted)])),
        resized=tuple(
            name for name in fitting if name in before and before[name] != fitting[name].shape
        ),
    )
    if missing and not (allow_partial and fitting):
        raise InputError(_describe_misfit(receipt, wanted, state, misshapen=misshapen))
    # Not strict: counters of batches, and with allow_partial what is missing, stay as they are.
    model.load_state_dict(fitting, strict=False)
    return receipt


def _is_state(content: Mapping[Any, Any]) -> bool:
    tensors = sum(isinstance(value, Tensor) for value in content.values())
    return tensors > 0 and not any(  # tensors beside a container: the container wins
        isinstance(content.get(key), Mapping) for key in CONTAINERS if key in content
    )


def _prefixes(state: State) -> list[str]:
    """Return the wrappers' prefixes that occur: of `module.encoder.x` these are three."""
    prefixes = {""}
    for name in state:
        wrappers = WRAPPERS.match(name)
        prefixes |= set(accumulate(re.findall(r"\w+\.", wrappers[0] if wrappers else "")))
    return sorted(prefixes)


def _score(
    state: State, prefix: str, model: nn.Module, *, wanted: Mapping[str, Tensor]
) -> tuple[int, int, int]:
    """Prefer the prefix under which most tensors fit, then most lie, then the longest."""
    inner = _under(prefix, state)
    return len(_fitting(_convert(inner, model), wanted)), len(inner), len(prefix)


def _under(prefix: str, state: State) -> State:
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }


def _fitting(state: State, wanted: Mapping[str, Tensor]) -> State:
    return {
        name: value
        for name, value in state.items()
        if name in wanted and value.shape == wanted[name].shape
    }


def _convert(state: State, model: nn.Module) -> State:
    """Rename what other libraries wrote, and let timm rename and resize what it knows."""
    if "_blocks.0._depthwise_conv.weight" in state and hasattr(model, "conv_stem"):
        state = _convert_efficientnet_pytorch(state, model)
    return _filter_like_timm(state, model)


def _convert_efficientnet_pytorch(state: State, model: nn.Module) -> State:
    """Rename the tensors of the `efficientnet_pytorch` family of packages to timm's names.

    Both number the same blocks in the same order; timm groups them in stages, and a block without
    expansion (the first) has its depthwise convolution first.
    """
    places = [
        (f"blocks.{stage}.{index}", hasattr(block, "conv_pwl"))
        for stage, blocks in enumerate(model.blocks)  # type: ignore[arg-type]
        for index, block in enumerate(blocks)
    ]
    expanded = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw",
                "_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3"}  # fmt: skip
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    outer = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2",
             "_fc": "classifier"}  # fmt: skip
    converted = {}
    for name, value in state.items():
        in_block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
        if in_block and int(in_block[1]) < len(places):
            place, has_expansion = places[int(in_block[1])]
            part = (expanded if has_expansion else first).get(in_block[2], in_block[2])
            converted[f"{place}.{part}.{in_block[3]}"] = value
        else:
            part, _, leaf = name.partition(".")
            converted[f"{outer.get(part, part)}.{leaf}"] = value
    return converted


def _filter_like_timm(state: State, model: nn.Module) -> State:
    """Let the model's own timm module rename foreign names and resize position tables."""
    import sys

    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return state
    try:
        # A copy of the mapping, as some filters take names out of what they are given.
        converted: State = convert(dict(state), model)
    except Exception:  # it meets names and shapes it was not written for
        return state  # the comparison of names and shapes then names what does not fit
    return converted


def _describe_misfit(
    receipt: Receipt, wanted: Mapping[str, Tensor], state: State, *, misshapen: list[str]
) -> str:
    parts = [f"{receipt.source} fills {receipt.loaded:.1%} of the encoder's weights"]
    if misshapen:
        name = misshapen[0]
        shapes = f"{tuple(state[name].shape)}, the encoder wants {tuple(wanted[name].shape)}"
        parts.append(f"{len(misshapen)} of another shape (first: {name} is {shapes})")
    absent = [name for name in receipt.missing if name not in misshapen]
    if absent:
        parts.append(f"{len(absent)} missing (first: {absent[0]})")
    foreign = [name for name in receipt.unexpected if not name.startswith(CLASSIFIERS)]
    if foreign:
        parts.append(f"{len(foreign)} unexpected (first: {foreign[0]})")
    return "; ".join(parts) + ": name the architecture they belong to, or add --allow-partial"
