"""What of a file did not go into the encoder, and whether that is known to be harmless."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from torch import nn

from toolkit_common.backbones.weights.layouts import KINDS, Kind, bare
from toolkit_common.backbones.weights.names import filter_like_timm
from toolkit_common.backbones.weights.trials import Trial, fitting_of
from toolkit_common.printable import first_of

TWIN, ZEROS = Kind("second copy", ""), Kind("biases of zeros", "")
SHOWN = 6  # groups in a message
# What an unknown left-over is a sign of.
SIGNS = (
    (r"(ls\d|gamma_\d|layer_scale\w*|lambda\d)(\.|$)", "LayerScale"),
    (r"(reg_tokens?|register_tokens|storage_tokens)$", "register tokens (timm's _reg4_)"),
    (r"\.[qk]_norm\.", "norms of queries and keys"),
    (r"(lora_|adapter)", "adapters: merge them into the weights first"),
    (r"(rope|relative_position|rel_pos)", "rotary or relative positions"),
)


@dataclass(frozen=True)
class LeftOver:
    """Names in a file of which nothing went into the encoder.

    Attributes:
        kinds: Name -> what it is known to be; None if it might belong to the encoder.
        shown: Name -> what messages call it: without prefix, in the encoder's own dialect.
        encoder: The encoder's own names.
    """

    kinds: Mapping[str, Kind | None]
    shown: Mapping[str, str]
    encoder: frozenset[str]

    @property
    def unknown(self) -> list[str]:
        """Those that might belong to the encoder; not what it has too, in another shape."""
        own = set(self.encoder)
        return [
            name
            for name, kind in self.kinds.items()
            if kind is None and self.shown[name] not in own
        ]

    def describe_known(self) -> list[str]:
        """Return a text for each kind: `head: fc, projector`."""
        by_title: dict[str, list[str]] = {}
        for name, kind in self.kinds.items():
            if kind is not None:
                by_title.setdefault(kind.title, []).append(name)
        return [f"{title} ({self._groups(names)})" for title, names in by_title.items()]

    def describe_unknown(self) -> str:
        """Return the groups that might belong to the encoder, and what they are a sign of."""
        signs = [
            title for sign, title in SIGNS if any(re.search(sign, name) for name in self.unknown)
        ]
        return self._groups(self.unknown) + (f" ({', '.join(signs)})" if signs else "")

    def _groups(self, names: Iterable[str]) -> str:
        groups = describe_groups([self.shown[name] for name in names], self.encoder)
        return first_of(groups, SHOWN)


def find_left_over(trial: Trial, model: nn.Module, *, twins: Sequence[str]) -> LeftOver:
    """Return what of a file's tensors is left over.

    Args:
        trial: How its names were read.
        model: The encoder.
        twins: Prefixes behind which the encoder lies once more.
    """
    attributes = {name for name in dir(model) if getattr(model, name, None) is not None}
    own = frozenset(item.partition(".")[0] for item in trial.wanted)
    within = partial(_kind_of, own=own, attributes=attributes)
    unused = _unused(trial, model, within)
    beside = {
        name: bare(name[len(_shared_front(name, trial.prefix)) :])
        for name in trial.state
        if not name.startswith(trial.prefix)
    }
    shown = dict(sorted({**unused, **beside}.items()))
    kinds: dict[str, Kind | None] = {}
    for name, called in shown.items():
        if name.startswith(tuple(twins)):
            kinds[name] = TWIN
        elif name in beside:
            kinds[name] = _kind_of(called, own=frozenset(), attributes=attributes)
        else:
            kinds[name] = within(called)
            # It adds nothing (DINOv3's, which timm builds with and without).
            if kinds[name] is None and name.endswith("bias") and not bool(trial.state[name].any()):
                kinds[name] = ZEROS
    return LeftOver(kinds, shown, frozenset(trial.wanted))


def describe_groups(names: Iterable[str], encoder: Iterable[str]) -> list[str]:
    """Return names in groups: `blocks.12 to blocks.23`, `blocks.*.ls1.gamma (12)`, `head (2)`.

    Args:
        names: What is left over.
        encoder: The encoder's own names.
    """
    branches = {name[: at.end()] for name in encoder for at in re.finditer(r"[^.]+\.", name)}
    runs: dict[str, set[int]] = {}
    others: dict[str, int] = {}
    for name in names:
        # Its brothers are there and it is not: a further block, not another part of each.
        numbers = (
            at
            for at in re.finditer(r"(?<=\.)(\d+)\.", name)
            if name[: at.start()] in branches and name[: at.end()] not in branches
        )
        if (number := next(numbers, None)) is not None:
            runs.setdefault(name[: number.start() - 1], set()).add(int(number[1]))
            continue
        first = name.partition(".")[0]
        group = re.sub(r"(?<=\.)\d+(?=\.)", "*", name) if f"{first}." in branches else first
        others[group] = others.get(group, 0) + 1
    grown = [
        f"{stem}.{min(run)}" + (f" to {stem}.{max(run)}" if len(run) > 1 else "")
        for stem, run in runs.items()
    ]
    return grown + [f"{name} ({count})" if count > 1 else name for name, count in others.items()]


def _unused(
    trial: Trial, model: nn.Module, kind_of: Callable[[str], Kind | None]
) -> dict[str, str]:
    """Return the names behind the prefix of which nothing went in, with what they were renamed."""
    given, fitting = trial.renamed.state, trial.fitting
    taken = {id(value) for value in fitting.values()}
    # Used are those under their own name, and those that timm renamed; what it cut or joined is
    # told by leaving it out.
    unused = [name for name in given if name not in fitting and id(given[name]) not in taken]
    known = [name for name in unused if kind_of(name) is not None]
    unsure = [name for name in unused if kind_of(name) is None]
    if unsure and _matters(trial, unsure, model):
        kept = [group for group in _alike(unsure) if not _matters(trial, group, model)]
        unsure = [name for group in kept for name in group]
    names = [*known, *unsure]
    return {trial.prefix + old: name for name in names for old in trial.renamed.origins[name]}


def _matters(trial: Trial, names: Iterable[str], model: nn.Module) -> bool:
    """Whether the encoder gets less without some names."""
    left_out = set(names)
    without = {name: value for name, value in trial.renamed.state.items() if name not in left_out}
    fitting = fitting_of(filter_like_timm(without, model), trial.wanted)
    return fitting.keys() != trial.fitting.keys()


def _alike(names: Iterable[str]) -> list[list[str]]:
    """Return names in groups of those that differ in numbers alone."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(re.sub(r"\d+", "*", name), []).append(name)
    return list(groups.values())


def _kind_of(name: str, *, own: frozenset[str], attributes: set[str]) -> Kind | None:
    """Return what a name, without prefix and wrappers, is known to be.

    Args:
        name: The name.
        own: First parts of the encoder's own names, where it could be one of them.
        attributes: Of the encoder, as in `Kind.needs`.
    """
    is_own = name.partition(".")[0] in own
    kinds = (
        kind
        for kind in KINDS
        if re.match(kind.pattern, name)
        and (kind.within or not is_own)
        and (kind.needs is None or kind.needs in attributes)
    )
    return next(kinds, None)


def _shared_front(name: str, prefix: str) -> str:
    """Return the part of a prefix, in whole words, that a name begins with too."""
    front = ""
    for word in re.findall(r"[^.]+\.", prefix):
        if not name.startswith(front + word):
            break
        front += word
    return front
