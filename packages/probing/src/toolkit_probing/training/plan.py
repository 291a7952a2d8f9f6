"""The steps that heads take: batch, steps an epoch and learning rates. Nothing else counts them.

A batch is never larger than the training images (or the subset of their labels), whatever was
requested, and learning rates are scaled by it: results record this, not the request.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from toolkit_common.errors import InputError
from toolkit_common.training.schedules import warmup_cosine
from toolkit_probing.protocols import PROTOCOLS
from toolkit_probing.settings import ENCODER_LR, ProbeSettings

REFERENCE_BATCH = 256  # base learning rates of sgd and lars are given for this batch size
MIN_BATCH, MAX_BATCH, BATCHES_PER_EPOCH = 16, 1024, 32


@dataclass(frozen=True)
class TrainingPlan:
    """How heads are trained on some images.

    Attributes:
        settings: Of the run, whole; what they mean stands there.
        num_train: Images to learn from.
        num_processes: Which share a step.

    Raises:
        InputError: If there are too few images for every process to have one in a step, and two in
            all.
    """

    settings: ProbeSettings
    num_train: int
    num_processes: int = 1

    def __post_init__(self) -> None:
        least = max(2, self.num_processes)  # two: batch norm needs a variance
        if self.batch_size < least:
            raise InputError(
                f"a step of {self.num_processes} processes needs {least} training images, got "
                f"{self.num_train} and batch_size={self.requested_batch}: use fewer processes or "
                "more images"
            )

    @property
    def requested_batch(self) -> int:
        """Images of a step as the settings want it, or about a 32nd of the training images."""
        return self.settings.batch_size or infer_batch_size(self.num_train)

    @property
    def batch_size(self) -> int:
        """Images of a step over all processes, however many these are."""
        return min(self.requested_batch, self.num_train)

    @property
    def rows_per_process(self) -> int:
        """Images of a step on the device that has most of them."""
        return -(-self.batch_size // self.num_processes)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of a pass; what does not fill a step waits for the next shuffle."""
        return self.num_train // self.batch_size

    @property
    def total_steps(self) -> int:
        """Steps of the whole training."""
        return self.settings.epochs * self.steps_per_epoch

    @property
    def warmup_steps(self) -> int:
        """Steps over which the learning rate rises."""
        return int(self.settings.warmup_epochs * self.steps_per_epoch)

    @property
    def encoder_lr(self) -> float:
        """Learning rate of an encoder that is tuned, as it is: not scaled by the batch."""
        return self.settings.encoder_lr or ENCODER_LR.get(self.settings.tune, 0.0)

    @property
    def clip_grad(self) -> float | None:
        """Largest norm of a gradient; only tuning is clipped."""
        # A norm over the many heads of a bank would let one change another's step.
        return None if self.settings.tune == "none" else self.settings.clip_grad

    def lr(self, base_lr: float) -> float:
        """Return the learning rate of a head at the full height of the schedule."""
        # Adam's steps have the size of the rate whatever the batch (docs/protocols.md).
        if self.settings.optimizer == "adamw":
            return base_lr
        return base_lr * self.batch_size / REFERENCE_BATCH

    def factor(self, step: int) -> float:
        """Return the share of its learning rate that a step takes."""
        return warmup_cosine(step, total_steps=self.total_steps, warmup_steps=self.warmup_steps)

    def peak_lr(self, base_lr: float) -> float:
        """Return the largest rate that a head reaches: less than `lr` if warm-up is longer."""
        # Where warm-up outlasts the training, its last step is the highest.
        last_of_rise = min(self.warmup_steps, self.total_steps - 1)
        return self.lr(base_lr) * self.factor(last_of_rise)


def infer_batch_size(num_train: int) -> int:
    """Return a batch size that gives about 32 steps an epoch, a power of two from 16 to 1024."""
    share = max(1, num_train // BATCHES_PER_EPOCH)
    # The power of two at or below.
    return int(min(MAX_BATCH, max(MIN_BATCH, 2 ** (share.bit_length() - 1))))


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
    plans = [TrainingPlan(settings, size, num_processes) for size in sizes]
    return Training(
        effective_batch=[plan.batch_size for plan in plans],
        steps_per_epoch=[plan.steps_per_epoch for plan in plans],
        peak_lr=[plan.peak_lr(base_lr) for plan in plans],
    )


def describe_training(trained: Sequence[Training]) -> str:
    """Return how the heads of some rows were trained, together in one phrase."""
    batch = [value for item in trained for value in item.effective_batch]
    steps = [value for item in trained for value in item.steps_per_epoch]
    peak = [value for item in trained for value in item.peak_lr]
    unit = "step" if max(steps) == 1 else "steps"
    return f"batch {_span(batch)}, {_span(steps)} {unit} an epoch, peak learning rate {_span(peak)}"


@dataclass(frozen=True)
class Shortfall:
    """A batch that is smaller than what was requested.

    Attributes:
        batches: The batch of every subset of the labels.
        requested: What the user or the protocol requested.
        by: Who did.
        scales_rates: Whether learning rates go by the batch.
    """

    batches: Sequence[int]
    requested: int
    by: str
    scales_rates: bool

    @property
    def phrase(self) -> str:
        """In few words."""
        return f"batch {_span(self.batches)} instead of {self.requested}"

    @property
    def note(self) -> str:
        """What must be known to read the figures."""
        rates = "; learning rates are scaled to it" if self.scales_rates else ""
        return (
            f"BATCH {_span(self.batches)}, not the {self.requested} of {self.by}: a step has at "
            f"most the training images{rates}"
        )


def find_shortfall(
    settings: ProbeSettings, sizes: Sequence[int], num_processes: int
) -> Shortfall | None:
    """Return how far the batch of heads is below what was requested, if it is.

    Args:
        settings: How they are trained.
        sizes: Training images of every draw of the labels.
        num_processes: Which share a step.

    Raises:
        InputError: If there are too few images for a step of all processes.
    """
    batches = [TrainingPlan(settings, size, num_processes).batch_size for size in sizes]
    requested = settings.batch_size
    if requested is None or min(batches) >= requested:
        return None
    is_own = PROTOCOLS[settings.protocol].settings.get("batch_size") == requested
    by = f"protocol {settings.protocol}" if is_own else "--batch-size"
    return Shortfall(batches, requested, by, scales_rates=settings.optimizer != "adamw")


def _span(values: Sequence[float]) -> str:
    low, high = (_short(value) for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3g}"
