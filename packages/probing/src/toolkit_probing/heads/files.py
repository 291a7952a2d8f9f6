"""Heads on disk: our own, with what they are in the file's metadata, and published ones of EP.

A published head is the state dict of `Sequential(pool, BatchNorm1d, Linear)` as the EP authors
export it (docs/formats.md): `0.cls_token (1, q, d)`, `0.v.weight (o, d)`, `1.running_mean`,
`1.running_var`, `2.weight (c, o)`, `2.bias`, possibly behind `head.` or `module.`.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from toolkit_common.backbones.weights.state_dicts import read_state_dict
from toolkit_common.console import console
from toolkit_common.errors import InputError
from toolkit_common.features.contract import Features
from toolkit_common.foreign.values import checked, parse_json, refuse_pipe, shown
from toolkit_common.outside import reason_of
from toolkit_common.printable import shortened
from toolkit_common.runs.files import atomic_path
from toolkit_common.runs.manifest import refuse_changed
from toolkit_probing.heads.head import Head, HeadSpec, build_head
from toolkit_probing.heads.inputs import base_of
from toolkit_probing.probes import EfficientProbing

State = Mapping[str, Tensor]

WRAPPERS = re.compile(r"^(?:(?:module|model|head)\.)+")
PUBLISHED = {  # published name -> ours
    "cls_token": "pool.queries",
    "v.weight": "pool.value.weight",
    "running_mean": "norm.running_mean",
    "running_var": "norm.running_var",
    "weight": "classifier.weight",
    "bias": "classifier.bias",
}
MOST = 4096  # of an option: as many layers are built in seconds
COUNTER = "num_batches_tracked"
POOL = "pool."  # before the names of a pooling's tensors


def save_head(path: Path, spec: HeadSpec, state: State) -> None:
    """Write a head with its spec, so that the file alone says what it is."""
    described = json.dumps({**asdict(spec), "options": dict(spec.options)})
    with atomic_path(path) as temporary:
        # One entry: safetensors writes several in any order, and equal heads are equal files.
        save_file(dict(state), temporary, metadata={"spec": described})


def load_head(path: Path, features: Features) -> tuple[HeadSpec, Head]:
    """Read a head that `save_head` wrote.

    Args:
        path: Its file.
        features: Features of some images at `spec.layer`, for the shapes; no metadata are needed.

    Raises:
        InputError: If the file is damaged, no such head or not as its finished run wrote it, or
            does not fit the features.
    """
    spec = read_spec(path)
    # Damaged weights predict as well.
    refuse_changed(path.parent.parent, f"{path.parent.name}/{path.name}")
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot read the head {path}: {reason_of(error)}") from None
    classifier = state.get("classifier.weight")
    if classifier is None or classifier.ndim != 2:
        raise InputError(f"{path} has no classifier of (classes, width): train the probe again")
    # How wide the metadata beside the tokens were stands in the classifier alone.
    width = None if base_of(spec.source) == spec.source else classifier.shape[1]
    build = partial(build_head, spec, features, num_classes=len(classifier), width=width)
    _refuse_strange(spec, build, stored=state, path=path)
    head = build()
    fill_head_(head, state, path)
    return spec, head.eval()


def _refuse_strange(
    spec: HeadSpec, build: Callable[[], Head], *, stored: State, path: Path
) -> None:
    """Refuse options that no head has, before memory is taken for what they say."""
    given = shown(dict(spec.options))
    is_endless = any(isinstance(it, int) and abs(it) > MOST for it in spec.options.values())
    if is_endless or not all(isinstance(it, (int, float, str)) for it in spec.options.values()):
        raise InputError(f"{path}: {given} are no options of {spec.method}: train the probe again")
    try:
        with torch.device("meta"):  # its shapes alone
            numbers = sum(item.numel() for item in build().state_dict().values())
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (TypeError, ValueError, RuntimeError, AssertionError, ZeroDivisionError) as error:
        reason = shortened(str(error))
        raise InputError(f"{path}: {given} are no options of {spec.method}: {reason}") from None
    held = sum(item.numel() for item in stored.values())
    if numbers > 2 * held:  # a state of an earlier version has as many
        raise InputError(f"{path} holds {held:,} numbers, and a head of {given} has {numbers:,}")


def read_spec(path: Path) -> HeadSpec:
    """Return what a head file says that it is.

    Raises:
        InputError: If it does not say.
    """
    try:
        refuse_pipe(path)
        with safe_open(path, framework="pt") as file:
            described = (file.metadata() or {}).get("spec")
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot read the head {path}: {reason_of(error)}") from None
    if described is None:
        raise InputError(f"{path} does not say what head it is: train the probe again")
    spec: HeadSpec = checked(HeadSpec, parse_json(described, f"the spec of {path}"), path)
    return spec


def read_published_head(
    path: Path, *, method: str, width: int, layer: int, source: str, num_classes: int
) -> tuple[HeadSpec, dict[str, Tensor]]:
    """Read a published EP head; queries and width are inferred from its shapes.

    Args:
        path: A safetensors or torch file.
        method: What the table of methods calls EP.
        width: Token width of the backbone.
        layer: Layer that it will read.
        source: `patches`, or `all` for the class token too.
        num_classes: Classes of the data.

    Returns:
        What head it is, and its state by our names.

    Raises:
        InputError: If names or shapes are not those of an EP head, or do not fit the backbone or
            the data.
    """
    state = _renamed(read_state_dict(path), path)
    (num_queries, dim), out = state["pool.queries"].shape, len(state["pool.value.weight"])
    if dim != width:
        raise InputError(f"{path} reads tokens of width {dim}, the backbone gives {width}")
    if dim % out:
        raise InputError(f"{path} pools to width {out}, which does not divide {dim}")
    if len(state["classifier.bias"]) != num_classes:
        raise InputError(
            f"{path} has {len(state['classifier.bias'])} classes, the data has {num_classes}"
        )
    options = {"num_queries": num_queries}
    if dim != out:  # only where it differs, as options are part of a head's name
        options["width_divisor"] = dim // out
    spec = HeadSpec(method, layer, source, 0.0, 0, options)  # neither rate nor seed is known
    try:
        pool = EfficientProbing(dim, num_queries=num_queries, width_divisor=dim // out)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    fill_head_(Head(pool, dim=out, num_classes=num_classes), state, path)
    return spec, state


def _renamed(state: State, path: Path) -> dict[str, Tensor]:
    """Return the tensors by our names; strict, so that no tensor is silently left out."""
    # A file of the whole model: only what is under head counts, not the encoder.
    heads = {name: value for name, value in state.items() if re.match(r"(module\.)*head\.", name)}
    bare = {WRAPPERS.sub("", name): value for name, value in (heads or state).items()}
    # Places in the Sequential; without them the names are still different.
    named = {re.sub(r"^\d+\.", "", name): value for name, value in bare.items()}
    # It counts batches of a training that is over.
    named.pop(COUNTER, None)
    unexpected, missing = set(named) - set(PUBLISHED), set(PUBLISHED) - set(named)
    if unexpected or missing:
        parts = [f"no {', '.join(sorted(missing))}"] if missing else []
        parts += [f"unexpected {', '.join(sorted(unexpected)[:3])}"] if unexpected else []
        raise InputError(
            f"{path} is no published EP head: {'; '.join(parts)} (wanted are 0.cls_token, "
            "0.v.weight, 1.running_mean, 1.running_var, 2.weight, 2.bias)"
        )
    tokens = named["cls_token"]
    if tokens.ndim != 3 or len(tokens) != 1 or named["v.weight"].ndim != 2:
        raise InputError(
            f"{path}: cls_token must have the shape (1, queries, width), got {tuple(tokens.shape)}"
        )
    named["cls_token"] = tokens[0]
    # Some are published in half precision.
    return {PUBLISHED[name]: value.float() for name, value in named.items()}


def fill_head_(head: Head, state: State, path: Path) -> None:
    """Load all of a head's tensors, which `path` gave; a state of an earlier version is converted.

    Raises:
        InputError: If names or shapes differ.
    """
    state, wanted = _converted(head, state, path), head.state_dict()
    for name, value in state.items():
        if name not in wanted or value.shape != wanted[name].shape:
            shape = tuple(wanted[name].shape) if name in wanted else "no such tensor"
            raise InputError(f"{path}: {name} has shape {tuple(value.shape)}, wanted is {shape}")
    # What counts batches is read by no norm in evaluation.
    left = [name for name in wanted if name not in state and not name.endswith(COUNTER)]
    if left:
        raise InputError(f"{path} has no {left[0]}")
    with torch.no_grad():
        head.load_state_dict(dict(state), strict=False)


def _converted(head: Head, state: State, path: Path) -> State:
    """Return a state of an earlier version in today's names and shapes; says what it changed."""
    if head.pool is None:
        return state
    pooling = {name: value for name, value in state.items() if name.startswith(POOL)}
    stored = {name.removeprefix(POOL): value for name, value in pooling.items()}
    today = {f"{POOL}{name}": value for name, value in head.pool.converted(stored).items()}
    changed = [
        f"{name} {tuple(value.shape)}"
        for name, value in pooling.items()
        if name not in today or today[name].shape != value.shape
    ]
    if changed:
        console.print(f"{path.name} is of an earlier version, converted: {', '.join(changed)}")
    return {**{name: value for name, value in state.items() if name not in pooling}, **today}
