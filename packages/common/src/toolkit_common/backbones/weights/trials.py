"""Behind which prefix of a state dict's names the encoder lies: tried, the best fit first."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from torch import Tensor, nn

from toolkit_common.backbones.weights.layouts import rank
from toolkit_common.backbones.weights.names import (
    Renamed,
    filter_like_timm,
    rename,
    speaks_dialect,
)
from toolkit_common.backbones.weights.state_dicts import State
from toolkit_common.errors import InputError

COUNTER = ".num_batches_tracked"  # older files lack it, and a frozen batch norm does not read it
WRAPPER = r"(?:module|model|encoder|backbone|visual|trunk|_orig_mod)\."
MOST_TRIED = 8  # prefixes whose names are converted: each may resample a position table
OFFERED = 6


@dataclass(frozen=True)
class Trial:
    """What a state dict gives the encoder when its names are read behind one prefix."""

    state: State
    prefix: str
    renamed: Renamed
    converted: State
    wanted: Mapping[str, Tensor]

    @cached_property
    def fitting(self) -> State:
        """The encoder's tensors that it has in the right shape."""
        return fitting_of(self.converted, self.wanted)

    def given(self, name: str) -> Tensor | None:
        """Return what the file has under a name of the encoder's, before timm adapted it."""
        return self.renamed.state.get(name)

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """The encoder's names that it has not."""
        lacking = (name for name in self.wanted if name not in self.fitting)
        return tuple(sorted(name for name in lacking if not name.endswith(COUNTER)))


def try_prefixes(model: nn.Module, state: State, prefix: str | None) -> list[Trial]:
    """Return what the state gives behind each prefix that may be it, the best one first."""
    wanted = model.state_dict()
    if prefix is not None:
        prefix = prefix if not prefix or prefix.endswith(".") else f"{prefix}."
        if not any(name.startswith(prefix) for name in state):
            seen = sorted({name.partition(".")[0] for name in state})
            raise InputError(
                f"no tensor's name begins with {prefix!r} (&prefix=); names begin with: "
                f"{', '.join(seen[:OFFERED])}"
            )
    prefixes = _prefixes(state, wanted)
    trials = [_try(model, state, item, wanted=wanted) for item in prefixes]
    if trials[0].missing:
        # Names that timm alone can tell: behind the wrappers that there are.
        done = {trial.prefix for trial in trials}
        trials += [
            _try(model, state, item, wanted=wanted) for item in _wrappers(state) if item not in done
        ]
    # Some of timm's filters find a prefix themselves: then the narrower one says where all lies.
    narrowest = [trial for trial in trials if not any(_holds(trial, other) for other in trials)]
    # Of two copies the one that its authors evaluate.
    trials = sorted(narrowest, key=lambda trial: (-len(trial.fitting), rank(trial.prefix)))
    if prefix is None:
        return trials
    requested = _try(model, state, prefix, wanted=wanted)
    return [requested, *(trial for trial in trials if trial.prefix != prefix)]


def _holds(wide: Trial, narrow: Trial) -> bool:
    """Whether all that one prefix gives lies behind a longer one."""
    is_longer = len(narrow.prefix) > len(wide.prefix) and narrow.prefix.startswith(wide.prefix)
    return is_longer and len(narrow.fitting) >= len(wide.fitting)


def _try(model: nn.Module, state: State, prefix: str, *, wanted: Mapping[str, Tensor]) -> Trial:
    renamed = rename(under(prefix, state), model)
    return Trial(state, prefix, renamed, filter_like_timm(renamed.state, model), wanted)


def _prefixes(state: State, wanted: Iterable[str]) -> list[str]:
    """Return what stands before names of the encoder's own, or before a dialect's sign."""
    own, votes, signs = set(wanted), {"": 0}, []
    for name in state:
        for at in (0, *(match.end() for match in re.finditer(r"\.", name))):
            prefix, rest = name[:at], name[at:]
            if rest in own:
                votes[prefix] = votes.get(prefix, 0) + 1
            elif speaks_dialect(rest):
                signs.append(prefix)
    most = max(votes.values())
    often = sorted(
        (prefix for prefix in votes if votes[prefix] * 2 > most), key=lambda p: -votes[p]
    )
    return list(dict.fromkeys([*signs, *often, ""]))[:MOST_TRIED]


def _wrappers(state: State) -> list[str]:
    """Return the wrappers' prefixes that occur: of `module.encoder.x` these are two."""
    prefixes = {""}
    for name in state:
        wrappers = re.match(f"(?:{WRAPPER})*", name)
        prefixes |= set(accumulate(re.findall(r"\w+\.", wrappers[0] if wrappers else "")))
    return sorted(prefixes)[:MOST_TRIED]


def under(prefix: str, state: State) -> State:
    """Return what lies behind a prefix, without it."""
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }


def fitting_of(state: State, wanted: Mapping[str, Tensor]) -> State:
    """Return the tensors that an encoder has under the same name, in the same shape."""
    return {
        name: value
        for name, value in state.items()
        if name in wanted and value.shape == wanted[name].shape
    }
