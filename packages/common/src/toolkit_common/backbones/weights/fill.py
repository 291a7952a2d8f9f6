"""A state dict into an encoder, with a receipt of what was filled and what of the file was used.

A file that fills the encoder is not yet the encoder's: a deeper network, one with LayerScale, with
registers or adapters fills it too and computes something else. So what is left over must be known
to be harmless (`toolkit_common.backbones.weights.layouts`).
"""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from toolkit_common.backbones.contract import Receipt
from toolkit_common.backbones.weights.layouts import find_layout
from toolkit_common.backbones.weights.left_over import LeftOver, find_left_over
from toolkit_common.backbones.weights.state_dicts import (
    State,
    choose_state_dict,
    read_state_dicts,
)
from toolkit_common.backbones.weights.trials import Trial, try_prefixes
from toolkit_common.errors import InputError

HALF = 0.5  # of an encoder: what fills less lies elsewhere
SHOWN = 5
KERNEL = 4  # dimensions of a convolution's weights


@dataclass(frozen=True)
class Reading:
    """How a state dict is read.

    Attributes:
        source: What the receipt says about where it came from.
        key: Where in the file it lies.
        prefix: What stands before the encoder's names; found when not given.
        allow_partial: Accept weights that do not fill the model, of which something is left over
            that may belong to an encoder, or whose kernels are of another size.
    """

    source: str
    key: str = ""
    prefix: str | None = None
    allow_partial: bool = False


def load_weights_file_(
    model: nn.Module,
    path: Path,
    *,
    key: str | None = None,
    prefix: str | None = None,
    allow_partial: bool = False,
) -> Receipt:
    """Load a weights file into `model`.

    Args:
        model: Where the weights go; left as it was when they do not fit.
        path: The file.
        key: Which of its state dicts; the preferred one of those that fit best when not given.
        prefix: As in `Reading`.
        allow_partial: As in `Reading`.

    Raises:
        InputError: If the file cannot be read, or as `load_weights_`.
    """
    states = read_state_dicts(path)
    best = [key] if key is not None else list(states)
    if len(best) > 1:
        fits = {name: len(try_prefixes(model, states[name], prefix)[0].fitting) for name in best}
        best = [name for name in best if fits[name] == max(fits.values())]
    state = choose_state_dict(states, best[0], where=str(path))
    receipt = load_weights_(
        model, state, Reading(str(path), best[0], prefix, allow_partial=allow_partial)
    )
    if len(best) == 1:
        return receipt
    others = ", ".join(f"&key={name}" for name in best[1:])
    note = f"taken is {best[0]!r} of the {len(best)} state dicts that fit; others: {others}"
    return replace(receipt, notes=(note, *receipt.notes))


def load_weights_(model: nn.Module, state: State, reading: Reading) -> Receipt:
    """Load `state` into `model`, adapting names and position tables, and return what fitted.

    Args:
        model: Where the weights go; left as it was when they do not fit.
        state: Tensors by name.
        reading: How they are read.

    Raises:
        InputError: If the weights are not exactly the model's, unless it allows for that.
    """
    trial, receipt = judge_weights(model, state, reading)
    # Not strict: counters of batches, and with allow_partial what is missing, stay as they are.
    model.load_state_dict(trial.fitting, strict=False)
    return receipt


def judge_weights(model: nn.Module, state: State, reading: Reading) -> tuple[Trial, Receipt]:
    """Return what would be loaded; arguments and errors as `load_weights_`."""
    trials = try_prefixes(model, state, reading.prefix)
    trial = trials[0]
    twins = [other.prefix for other in trials[1:] if not other.missing]
    left_over = find_left_over(trial, model, twins=twins)
    receipt = _receipt(trial, source=reading.source, left_over=left_over)
    if trial.missing and not (reading.allow_partial and trial.fitting):
        raise InputError(_describe_misfit(receipt, trial, left_over))
    if not reading.allow_partial:
        _refuse_left_over(receipt, left_over)
        _refuse_resized_kernels(receipt, trial)
    return trial, replace(receipt, notes=tuple(_notes(trial, reading.key, twins=twins)))


def _receipt(trial: Trial, *, source: str, left_over: LeftOver) -> Receipt:
    wanted, state = trial.wanted, trial.state
    filled = sum(wanted[name].numel() for name in trial.fitting)
    missing = sum(wanted[name].numel() for name in trial.missing)
    unused = sum(state[name].numel() for name in left_over.kinds)
    known = left_over.describe_known()
    unknown = [f"UNKNOWN ({left_over.describe_unknown()})"] if left_over.unknown else []
    return Receipt(
        source=source,
        loaded=filled / (filled + missing),
        used=1.0 - unused / max(sum(value.numel() for value in state.values()), 1),
        missing=trial.missing,
        unexpected=tuple(left_over.kinds),
        left_over=(*unknown, *known),
        resized=tuple(
            f"{name} {_size(given)} to {_size(value)}"
            for name, value in trial.fitting.items()
            if (given := trial.given(name)) is not None and _size(given) != _size(value)
        ),
    )


def _notes(trial: Trial, key: str, *, twins: list[str]) -> list[str]:
    layout = find_layout(key, trial.prefix)
    notes = []
    if twins:
        others = ", ".join(f"&prefix={twin}" for twin in twins)
        by = f", as {layout.code} judges it" if layout else ""
        notes.append(
            f"the encoder lies in the file {len(twins) + 1} times, taken is "
            f"{trial.prefix!r}{by}; others: {others}"
        )
    elif trial.prefix:
        notes.append(f"names of the file behind {trial.prefix!r}")
    if trial.renamed.library:
        notes.append(f"names converted from those of {trial.renamed.library}")
    return notes


def _describe_misfit(receipt: Receipt, trial: Trial, left_over: LeftOver) -> str:
    wanted, given = trial.wanted, trial.converted
    parts = [f"{receipt.source} fills {receipt.loaded:.1%} of the encoder's weights"]
    misshapen = sorted(name for name in trial.missing if name in given)
    if misshapen:
        name = misshapen[0]
        shapes = f"{tuple(given[name].shape)}, the encoder wants {tuple(wanted[name].shape)}"
        parts.append(f"{len(misshapen)} of another shape (first: {name} is {shapes})")
    absent = [name for name in trial.missing if name not in misshapen]
    if absent:
        parts.append(f"{len(absent)} missing (first: {absent[0]})")
    if left_over.unknown:
        parts.append(f"{len(left_over.unknown)} unexpected: {left_over.describe_unknown()}")
    way_out = "name the architecture they belong to, or add --allow-partial"
    if receipt.loaded < HALF and (fronts := _beginnings(trial.state)):
        parts.append(f"names in it begin with {', '.join(fronts)} (&prefix=)")
        way_out += " (toolkit backbones --inspect FILE shows what it holds)"
    return f"{'; '.join(parts)}: {way_out}"


def _beginnings(state: State) -> list[str]:
    """Return what most names begin with, up to the second dot."""
    fronts = Counter(".".join(name.split(".")[:2]) for name in state if "." in name)
    return [f"{front}." for front, _ in fronts.most_common(SHOWN)]


def _refuse_left_over(receipt: Receipt, left_over: LeftOver) -> None:
    if count := len(left_over.unknown):
        raise InputError(
            f"{receipt.source} fills the encoder, which has no place for {count} more "
            f"tensor{'s' if count > 1 else ''} of it and would compute something else: "
            f"{left_over.describe_unknown()}: name the architecture that has them, or add "
            "--allow-partial to leave them out"
        )


def _refuse_resized_kernels(receipt: Receipt, trial: Trial) -> None:
    kernels = [name for name, value in trial.fitting.items() if value.ndim == KERNEL]
    for text in receipt.resized:
        if text.partition(" ")[0] in kernels:
            raise InputError(
                f"{receipt.source} is of another patch size: {text}: name the architecture it "
                "belongs to, or add --allow-partial to resample the kernel"
            )


def _size(tensor: Tensor) -> str:
    """Return a kernel's or a square table of positions' height and width, else the shape."""
    shape = tuple(tensor.shape)
    if len(shape) == KERNEL:
        return f"{shape[2]}x{shape[3]}"
    tokens = shape[1] if len(shape) == 3 else 0
    for count in (tokens, tokens - 1):  # with the class token's position, or without
        side = round(max(count, 0) ** 0.5)
        if side and side * side == count:
            return f"{side}x{side}"
    return str(shape)
