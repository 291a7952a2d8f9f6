"""The state dicts in a weights file: all of them, by where they lie in it, without running code.

Read are `.safetensors`, and torch files with `weights_only=True`. Settings that training codes
pickle beside the weights (`argparse.Namespace`, Lightning's `AttributeDict`) are read as inert
stand-ins.
"""

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from toolkit_common.errors import InputError
from toolkit_common.outside import is_of_machine, reason_of
from toolkit_common.registry import did_you_mean

State = dict[str, Tensor]

WHOLE = ""  # the key of a file that is a state dict itself
NO_STATE = "it is damaged, cut short or no file of torch.save"
DEPTH = 4  # containers within containers
# The first that is there is taken: of self-distillation the teacher is what its authors judge.
PREFERRED = ("state_dict", "model", "teacher", "target_encoder", "student", "encoder", "module",
             "model_state_dict", "online_network_state_dict", "net", "backbone")  # fmt: skip
NO_WEIGHTS = re.compile(
    r"(^|_|\.)(opt|optim|optimizers?|scaler|sched|(lr_)?schedulers?|loops)(_|\.|$)"
)

# Classes that hold settings and nothing else, by the names under which they are pickled; none of
# them is looked up, and what is called in its place does nothing.
OBJECTS = (
    "argparse.Namespace", "types.SimpleNamespace", "datetime.datetime", "datetime.timedelta",
    *(f"pathlib{module}.{name}" for module in ("", "._local")
      for name in ("Path", "PurePath", "PosixPath", "PurePosixPath", "WindowsPath",
                   "PureWindowsPath")),
    *(f"omegaconf.{name}" for name in (
        "dictconfig.DictConfig", "listconfig.ListConfig", "base.ContainerMetadata",
        "base.Metadata", "nodes.AnyNode", "nodes.StringNode", "nodes.IntegerNode",
        "nodes.FloatNode", "nodes.BooleanNode", "nodes.PathNode", "nodes.EnumNode",
    )),
    *(f"numpy{name}" for name in (
        ".core.multiarray.scalar", "._core.multiarray.scalar", ".core.multiarray._reconstruct",
        "._core.multiarray._reconstruct", ".dtype", ".ndarray",
    )),
    *(f"numpy.dtypes.{name}DType" for name in ("Bool", "Float32", "Float64", "Int32", "Int64")),
)  # fmt: skip
MAPPINGS = (
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "collections.defaultdict", "easydict.EasyDict", "yacs.config.CfgNode", "munch.Munch",
    "addict.addict.Dict", "mmcv.utils.config.ConfigDict", "mmengine.config.config.ConfigDict",
)  # fmt: skip
TYPES = ("typing.Any", *(f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list",
                                                         "str", "tuple")))  # fmt: skip


class Inert:
    """Stands where an object of settings was pickled: takes what it is given and keeps nothing."""

    def __init__(self, *args: object, **options: object) -> None:
        del args, options

    def __setstate__(self, state: object) -> None:
        del state


# Torch fills no mapping but its own few: theirs stands for all.
STAND_INS: list[Any] = [
    *((Inert, name) for name in OBJECTS),
    *((OrderedDict, name) for name in MAPPINGS),
    *(((), name) for name in TYPES),  # an argument at most, as the `int` of a defaultdict
]


def read_state_dicts(path: Path) -> dict[str, State]:
    """Read every state dict of a weights file, by its key (`teacher`, `model.state_dict`).

    The keys are in the order of preference; the one of a file that is a state dict is ''.

    Raises:
        InputError: If the file is missing, damaged, needs unpickling of code, or holds no tensors.
    """
    content = _read(path)
    if not isinstance(content, Mapping):
        raise InputError(f"{path} holds a {type(content).__name__}, not a state dict")
    states = dict(_walk(content, ()))
    if not states:
        inner = next((content[key] for key in PREFERRED if key in content), None)
        if inner is not None and not isinstance(inner, Mapping):
            raise InputError(f"{path} holds a {type(inner).__name__}, not a state dict")
        raise InputError(f"{path} holds no state dict, but: {', '.join(map(str, content))}")
    return {key: states[key] for key in sorted(states, key=_preference)}


def choose_state_dict(states: Mapping[str, State], key: str, *, where: str) -> State:
    """Return the state dict of a key.

    Raises:
        InputError: If there is none; the message lists those that there are.
    """
    if key not in states:
        named = [name or "(the file itself)" for name in states]
        raise InputError(f"{where} has no state dict {key!r}{did_you_mean(key, named)}")
    return states[key]


def read_state_dict(path: Path) -> State:
    """Read the tensors of a weights file, of several state dicts the preferred one.

    Raises:
        InputError: As `read_state_dicts`.
    """
    return next(iter(read_state_dicts(path).values()))


def _read(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"no weights file at {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(STAND_INS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        if is_of_machine(error):
            raise
        raise InputError(f"{path} is no whole safetensors file: {reason_of(error)}") from None
    except Exception as error:
        if is_of_machine(error):  # of which nothing follows for the file
            raise
        # Torch's own words are of its pickler, and advise what would let the file run code.
        reason = reason_of(error) if isinstance(error, OSError) else NO_STATE
        named = re.search(r"Unsupported global: GLOBAL (\S+)", str(error))
        if named:
            reason = f"it holds a {named[1]}, which only running code could read"
        raise InputError(
            f"cannot read {path} as plain tensors ({reason}): save its state dict with safetensors"
        ) from None


def _walk(content: Mapping[Any, Any], place: tuple[str, ...]) -> Iterator[tuple[str, State]]:
    """Yield what holds tensors; inside of a state dict's names no other one lies."""
    inner = [
        (str(key), value)
        for key, value in content.items()
        if isinstance(value, Mapping) and not NO_WEIGHTS.search(str(key))
    ]
    below = [
        found
        for key, value in (inner if len(place) < DEPTH else [])
        for found in _walk(value, (*place, key))
    ]
    # What is no tensor (steps, settings) lies among the weights of some, and a tensor (an epoch's
    # number) beside the containers of others. No module's tensor has a number for a name.
    tensors = ((name, value) for name, value in content.items() if isinstance(value, Tensor))
    own = {name: value for name, value in tensors if isinstance(name, str)}
    if own and not below:
        yield ".".join(place), own
    yield from below


def _preference(key: str) -> tuple[int, ...]:
    order = [
        PREFERRED.index(part) if part in PREFERRED else len(PREFERRED) for part in key.split(".")
    ]
    return tuple(order) if key else ()
