"""The steps that heads really take: batch, steps an epoch and peak learning rate.

A batch is never larger than the training split (or the subset of its labels), whatever was asked
for, and learning rates are scaled by it: what a result says of its training is this, not the wish.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from toolkit_common.training.schedules import warmup_cosine
from toolkit_probing.heads.head import VECTOR_METHODS
from toolkit_probing.probes import POOLS
from toolkit_probing.protocols import PROTOCOLS
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.subsets import Subset
from toolkit_probing.training.loop import REFERENCE_BATCH, step_size


@dataclass(frozen=True)
class Steps:
    """How some heads are trained on some images.

    Attributes:
        effective_batch: Images of a step over all processes.
        steps_per_epoch: Steps of a pass; what does not fill a step waits for the next shuffle.
        peak_factor: Share of its learning rate that a head reaches: 1 unless warm-up is longer.
    """

    effective_batch: int
    steps_per_epoch: int
    peak_factor: float

    def peak_lr(self, base_lr: float) -> float:
        """Return the largest learning rate of a head."""
        return base_lr * self.effective_batch / REFERENCE_BATCH * self.peak_factor


def count_steps(settings: ProbeSettings, num_train: int, num_processes: int) -> Steps:
    """Return the steps that heads take on `num_train` images.

    Raises:
        InputError: If there are too few images for a step of all processes.
    """
    from toolkit_probing.methods.frozen import training_plan  # which reads `results`, above us

    plan = training_plan(settings, num_train)
    size = step_size(plan, num_train, num_processes)
    per_epoch = num_train // size
    total, warmup = plan.epochs * per_epoch, int(plan.warmup_epochs * per_epoch)
    last_of_rise = min(warmup, total - 1)  # as `train_bank` counts them
    factor = warmup_cosine(last_of_rise, total_steps=total, warmup_steps=warmup)
    return Steps(size, per_epoch, factor)


@dataclass(frozen=True)
class Shortfall:
    """A batch that is smaller than what was asked for.

    Attributes:
        batches: The batch of every subset of the labels.
        asked: What the user or the protocol asked for.
        by: Who did.
    """

    batches: Sequence[int]
    asked: int
    by: str

    @property
    def phrase(self) -> str:
        """In few words."""
        return f"batch {_span(self.batches)} instead of {self.asked}"

    @property
    def note(self) -> str:
        """What must be known to read the figures."""
        return (
            f"BATCH {_span(self.batches)}, not the {self.asked} of {self.by}: a step has at most "
            "the training images; learning rates are scaled to it"
        )


def find_shortfall(
    settings: ProbeSettings, subsets: Sequence[Subset], num_processes: int
) -> Shortfall | None:
    """Return how far the batch is below what was asked for, if heads are trained and it is.

    Raises:
        InputError: If there are too few images for a step of all processes.
    """
    trained = any(method in POOLS or method in VECTOR_METHODS for method in settings.method)
    if settings.head is not None or not trained:
        return None
    sizes = [size for subset in subsets for size in subset.sizes]
    batches = [count_steps(settings, size, num_processes).effective_batch for size in sizes]
    asked = settings.batch_size
    if asked is None or min(batches) >= asked:
        return None
    is_own = PROTOCOLS[settings.protocol].settings.get("batch_size") == asked
    by = f"protocol {settings.protocol}" if is_own else "--batch-size"
    return Shortfall(batches, asked, by)


@dataclass(frozen=True, kw_only=True)
class Training:
    """How the heads of a row were trained, a value for each draw of the labels.

    Attributes:
        effective_batch: Images of a step over all processes.
        steps_per_epoch: Steps of a pass.
        peak_lr: The largest learning rate.
    """

    effective_batch: Sequence[int]
    steps_per_epoch: Sequence[int]
    peak_lr: Sequence[float]


def training_of(
    settings: ProbeSettings, sizes: Sequence[int], *, base_lr: float | None, num_processes: int
) -> Training | None:
    """Return how heads were trained on draws of so many images; None without a learning rate."""
    if base_lr is None:
        return None
    draws = [count_steps(settings, size, num_processes) for size in sizes]
    return Training(
        effective_batch=[draw.effective_batch for draw in draws],
        steps_per_epoch=[draw.steps_per_epoch for draw in draws],
        peak_lr=[draw.peak_lr(base_lr) for draw in draws],
    )


def describe_training(trained: Sequence[Training]) -> str:
    """Return how the heads of some rows were trained, together in one phrase."""
    batch = [value for item in trained for value in item.effective_batch]
    steps = [value for item in trained for value in item.steps_per_epoch]
    peak = [value for item in trained for value in item.peak_lr]
    unit = "step" if max(steps) == 1 else "steps"
    return f"batch {_span(batch)}, {_span(steps)} {unit} an epoch, peak learning rate {_span(peak)}"


def _span(values: Sequence[float]) -> str:
    low, high = (_short(value) for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3g}"
