"""Which encoders there are, and what can be said of them without their weights.

Names come from the libraries' registries and the short names; shapes from a dry run on torch's meta
device, where nothing is computed and no memory is needed. Of a thousand names only those that are
shown are built.
"""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from toolkit_common.backbones.contract import Card, EncoderFacts
from toolkit_common.backbones.ids import STATISTICS, parse_backbone_id
from toolkit_common.backbones.load import build_encoder, read_card
from toolkit_common.backbones.named.alias import HUB
from toolkit_common.backbones.named.on_disk import (
    in_hub_cache,
    split_hub,
    weights_of_open_clip,
    weights_of_timm,
)
from toolkit_common.backbones.named.resolve import expand_alias, known_aliases
from toolkit_common.errors import InputError
from toolkit_common.images.transforms import Preprocess
from toolkit_common.torchvision_ops import prepare

WIDTH = 80
HEAD = (
    f"{'parameters':>10}{'dim':>6}{'tokens':>9}{'input':>6}{'layers':>7}  {'mean, std':<11}"
    f"{'reads':<16}weights"
)
DRAWS = {"uniform_", "normal_", "trunc_normal_", "erfinv_", "mul_", "add_", "sub_", "div_",
         "clamp_", "fill_", "zero_", "copy_", "kaiming_uniform_", "kaiming_normal_",
         "xavier_uniform_", "xavier_normal_", "orthogonal_"}  # fmt: skip


@dataclass(frozen=True)
class Listed:
    """An encoder that can be named.

    Attributes:
        name: What `--backbone` takes.
        id: What it stands for; the name itself for an id.
        note: What it is, of a short name.
        licence: Of its weights, as far as known.
    """

    name: str
    id: str
    note: str = ""
    licence: str = ""

    @property
    def is_short(self) -> bool:
        """Whether it is a short name."""
        return self.name != self.id


@dataclass(frozen=True)
class Shape:
    """What an encoder is, of whatever weights.

    Attributes:
        parameters: Their number.
        facts: Its shapes.
        preprocess: Its input.
        card: How probes read it.
    """

    parameters: int
    facts: EncoderFacts
    preprocess: Preprocess
    card: Card

    @property
    def patch(self) -> int:
        """Pixels from one token to the next."""
        return self.preprocess.image_size[0] // self.facts.grid[0]


def list_encoders(pattern: str | None, file: Path | None = None) -> list[Listed]:
    """Return the encoders whose name matches, short names first; without a pattern these alone.

    Args:
        pattern: Part of a name, or a pattern with `*`, `?`, `[`; in any case.
        file: More short names.

    Raises:
        InputError: If a file of short names holds what no short name can be.
    """
    table = known_aliases(file)
    short = [
        Listed(name, expand_alias(name, table), alias.note, alias.licence)
        for name, alias in table.items()
    ]
    if pattern is None:
        return short
    wanted = as_pattern(pattern)
    every = [*short, *(Listed(name, name) for name in published_names())]
    return [
        item for item in every if any(fnmatchcase(text.lower(), wanted) for text in _texts(item))
    ]


def as_pattern(text: str) -> str:
    """Return part of a name as the pattern that finds it."""
    return (text if any(mark in text for mark in "*?[") else f"*{text}*").lower()


def published_names() -> list[str]:
    """Return the ids of timm's and open_clip's encoders with published weights."""
    prepare()
    import open_clip
    import timm

    return [
        *(f"timm:{name}" for name in timm.list_pretrained()),
        *(f"open_clip:{name}@{tag}" for name, tag in open_clip.list_pretrained()),
    ]


def _texts(item: Listed) -> Iterator[str]:
    """Yield what a pattern is compared with: names with and without their source."""
    for text in (item.name, item.id.partition("?")[0]):
        yield text
        yield text.partition(":")[2]


@contextmanager
def shapes_alone() -> Iterator[None]:
    """Let encoders be built and run for their shapes: without numbers, memory or time."""
    with torch.device("meta"), _NoDraws(), torch.inference_mode():
        yield


class _NoDraws(TorchFunctionMode):
    """Leaves out the drawing of weights, most of the time on the meta device."""

    @override
    def __torch_function__(self, func: Any, *given: Any) -> Any:  # types, args and kwargs
        _, args, kwargs = (*given, (), {})[:3]
        if args and getattr(func, "__name__", "") in DRAWS:
            return args[0]
        return func(*args, **(kwargs or {}))


def read_shape(identifier: str) -> Shape | None:
    """Return what an encoder is; None where that is not known without its weights or config."""
    try:
        parsed = replace(parse_backbone_id(identifier), weights=None, key=None, prefix=None)
        with shapes_alone():
            encoder, _ = build_encoder(parsed, random_init=True)
        card = read_card(parsed, encoder.facts)
    # Some cannot be built without memory; of the Hub the config may be missing.
    except (NotImplementedError, RuntimeError, TypeError, ValueError):
        return None
    number = sum(value.numel() for value in encoder.parameters())
    return Shape(number, encoder.facts, encoder.preprocess, card)


def find_weights(identifier: str) -> Path | None:
    """Return the file on this machine that holds an encoder's weights, None where there is none."""
    try:
        parsed = parse_backbone_id(identifier)
    except InputError:
        return None
    if parsed.weights is not None:
        weights = str(parsed.weights)
        if weights.startswith(HUB):
            return in_hub_cache(*split_hub(weights.removeprefix(HUB)))
        return parsed.weights if parsed.weights.is_file() else None
    if parsed.source == "timm":
        return weights_of_timm(parsed.name)
    if parsed.source == "open_clip":
        return weights_of_open_clip(parsed.name)
    return Path(parsed.name) if Path(parsed.name).exists() else None


def name_input(preprocess: Preprocess) -> str:
    """Return whose mean and std an input has: `imagenet`, `inception`, `clip`, or `own`."""
    for name, (mean, std) in STATISTICS.items():
        if (preprocess.mean, preprocess.std) == (mean, std):
            return name
    return "own"


Row = tuple[Listed, Shape | None, Path | None]


def describe_rows(rows: Sequence[Row]) -> list[str]:
    """Return lines for humans within 80 columns: a name, below it what it is."""
    if not any(shape for _, shape, _ in rows):
        width = max((len(item.name) for item, *_ in rows if item.is_short), default=0)
        return [_name_line(item, place, width) for item, _, place in rows]
    lines = [HEAD] if rows else []
    for item, shape, place in rows:
        lines.append(_known_as(item))
        lines += textwrap.wrap(
            f"{item.note}{f' (licence: {item.licence})' if item.licence else ''}",
            WIDTH, initial_indent="    ", subsequent_indent="    ",
        )  # fmt: skip
        lines.append(_shape_line(shape, place))
    return lines


def _known_as(item: Listed) -> str:
    return f"{item.name} = {item.id.partition('?')[0]}" if item.is_short else item.name


def _name_line(item: Listed, place: Path | None, width: int) -> str:
    name = f"{item.name:<{width}}  {item.id.partition('?')[0]}" if item.is_short else item.name
    return f"{name}{'  (here)' if place else ''}"


def _shape_line(shape: Shape | None, place: Path | None) -> str:
    here = "here" if place else "not here"
    if shape is None:
        return f"{'not known before its config or weights are here':<{len(HEAD) - 8}}{here}"
    facts, card = shape.facts, shape.card
    prefix = f"+{facts.num_prefix_tokens}" if facts.num_prefix_tokens else ""
    cells = (
        f"{shape.parameters / 1e6:>9.1f}M", f"{facts.embed_dim:>6}",
        f"{facts.grid[0]}x{facts.grid[1]}{prefix}".rjust(9),
        f"{shape.preprocess.image_size[0]:>6}", f"{facts.depth:>7}",
        f"  {name_input(shape.preprocess):<11}", f"{card.linear + ', ' + card.ep:<16}", here,
    )  # fmt: skip
    return "".join(cells)


def to_json(item: Listed, shape: Shape | None, place: Path | None) -> dict[str, Any]:
    """Return an encoder as `--json` prints it; sizes are null where it was not built."""
    values: dict[str, Any] = {
        "name": item.name, "id": item.id, "note": item.note, "licence": item.licence,
        "weights": str(place) if place else None,
    }  # fmt: skip
    sizes = ("parameters", "dim", "grid", "prefix_tokens", "image_size", "patch", "layers",
             "mean", "std", "card")  # fmt: skip
    if shape is None:
        return values | dict.fromkeys(sizes)
    facts, given = shape.facts, shape.preprocess
    known = (shape.parameters, facts.embed_dim, facts.grid, facts.num_prefix_tokens,
             given.image_size, shape.patch, facts.depth, given.mean, given.std,
             asdict(shape.card))  # fmt: skip
    return values | dict(zip(sizes, known, strict=True))
