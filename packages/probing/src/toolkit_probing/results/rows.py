"""A method's outcome on the test split, and the row of results.json that comes of it.

Two types, for they hold different things: an `Outcome` has what only this process has (every
probability, which images were learned from), a `Row` what is written and read for years.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from toolkit_common.scores.metrics import Predictions
from toolkit_common.scores.statistics import Estimate, estimate
from toolkit_common.seen.check import SeenStatus
from toolkit_probing.results.remarks import Picked, log_loss_of_frequencies, remarks_on
from toolkit_probing.results.retrieved import Retrieval, Values, summarise
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.subsets import Subset
from toolkit_probing.task.task import Task
from toolkit_probing.training.plan import Training, training_of

ROW_VERSION = 4  # rises with every change of a row's keys or of what they mean


@dataclass(frozen=True)
class Outcome:
    """What one variant did on the test split.

    Attributes:
        method: Its method.
        layer: Layer of the backbone, or `NO_LAYER`.
        source: What it read there.
        variant: Names it among the run's other outcomes of the same labels.
        subset: The labels it learned from.
        settings: What was picked (learning rate and epochs, or k and temperature) and its options.
        picked: What was picked, and by which metric.
        select_score: Mean score on the selection split.
        seeds: Seed of each repeat.
        draws: Draw of the labels of each repeat.
        probabilities: `(n, c)` a repeat; of several versions of the test rows one below the other,
            until `of_views` takes them apart.
        num_parameters: Trained parameters.
        flops: Floating-point operations of one image's forward pass through the head.
        selected: How it was selected, where no split did that.
        tune: How the encoder was trained with the head, `none` where it was not.
        options: All options of its method, defaults included.
        grid: The score of every setting that was tried; of heads, metrics.jsonl has every epoch's.
        shown: Balanced accuracy on the selection split of every C, the mean over repeats.
        hidden_metadata: Share of the known metadata cells that was hidden from the test rows.
        retrieved: How well each test row has found training rows of its class, a mapping a repeat;
            empty of what searches nothing.
    """

    method: str
    layer: int
    source: str
    variant: str
    subset: Subset
    settings: Mapping[str, Any]
    picked: str
    select_score: float
    seeds: Sequence[int]
    draws: Sequence[int]
    probabilities: Sequence[np.ndarray]
    num_parameters: int
    flops: int
    selected: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    grid: Sequence[Mapping[str, Any]] = ()
    shown: Mapping[float, float] = field(default_factory=dict)
    tune: str = "none"
    hidden_metadata: float = 0.0
    retrieved: Sequence[Values] = ()

    @property
    def name(self) -> str:
        """Names its row and its files."""
        return "-".join(
            filter(None, (self.variant + hidden_slug(self.hidden_metadata), self.subset.slug))
        )

    def of_views(self, shares: Sequence[float]) -> "list[Outcome]":
        """Return the outcome of each version of the test rows, which hide so much of metadata."""
        count = len(shares)
        return [
            replace(
                self,
                hidden_metadata=share,
                probabilities=[np.split(values, count)[number] for values in self.probabilities],
                retrieved=[
                    {name: np.split(values, count)[number] for name, values in repeat.items()}
                    for repeat in self.retrieved
                ],
            )
            for number, share in enumerate(shares)
        ]


# `kw_only`, so that fields with a default can stand where they belong.
@dataclass(frozen=True, kw_only=True)
class Row:
    """An entry of results.json: one variant's figures, and all that is needed to read them.

    What is not named here is as in `Outcome`. A field with a default is one that rows of before do
    not have.

    Attributes:
        name: Unique in its run.
        labels: The amount of labels it learned from.
        num_train: Training images of each draw of the labels.
        selected: How it was selected.
        select_score: As in `Outcome`; None where it is not finite.
        metrics: Every metric on the test split.
        predictions: File of its predictions, in the run folder.
        inputs: What was read: images, metadata, or both.
        hidden_metadata: As in `Outcome`.
        seen: Whether the encoder's pre-training has seen patients or images of test or validation;
            empty where nobody looked: of encoders that are no export, and of before.
        retrieval: How well its test images find training images of their label; of k-NN alone.
        training: How its heads were trained; None where nothing was, or that was not recorded.
        log_loss_of_frequencies: On test, of predicting the class frequencies of its training rows.
        remarks: What must be known to trust it, a sentence each.
        version: Of what these fields mean.
    """

    name: str
    method: str
    layer: int
    source: str
    tune: str = "none"
    labels: str
    num_train: Sequence[int]
    settings: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    selected: str
    picked: str
    select_score: float | None
    grid: Sequence[Mapping[str, Any]] = ()
    seeds: Sequence[int]
    draws: Sequence[int]
    num_parameters: int
    flops: int
    metrics: Mapping[str, Estimate]
    predictions: str
    inputs: str = "image"
    hidden_metadata: float = 0.0
    seen: SeenStatus = ""
    retrieval: Retrieval | None = None
    training: Training | None = None
    log_loss_of_frequencies: float | None = None
    remarks: Sequence[str] = ()
    version: int = 1  # of rows that do not say

    @property
    def is_tuned(self) -> bool:
        """Whether the encoder was trained with the head: such a row is not ranked with probes."""
        return self.tune != "none"

    @property
    def head_name(self) -> str:
        """The name of the row of its heads: the same ones judge however much is hidden."""
        return self.name.replace(hidden_slug(self.hidden_metadata), "")

    @property
    def described(self) -> dict[str, Any]:
        """What it is of, as reports and comparisons print it for `--json`."""
        names = (
            "name", "inputs", "hidden_metadata", "seen", "tune", "labels", "selected", "picked",
            "settings",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}


def hidden_slug(share: float) -> str:
    """Return what names a share of hidden metadata in names of rows; nothing where none is."""
    return "" if share == 0.0 else f"-hidden{100 * share:g}pct".replace(".", "p")


def build_rows(
    outcomes: Sequence[Outcome],
    task: Task,
    settings: ProbeSettings,
    *,
    inputs: str,
    num_processes: int,
    seen: SeenStatus = "",
) -> list[Row]:
    """Return the rows of some outcomes: figures, intervals, how they were selected and trained.

    Args:
        outcomes: Predictions for the task's test split.
        task: The task.
        settings: How it was judged.
        inputs: What was read.
        num_processes: Over how many the heads were trained.
        seen: Whether the encoder has seen whom it is judged on.
    """
    targets, groups = task.targets_of("test"), task.groups_of("test")
    rows = []
    for outcome in outcomes:
        parts = [Predictions(part.astype(float), targets) for part in outcome.probabilities]
        metrics = estimate(parts, groups)
        row = _build_row(outcome, settings, metrics, num_processes=num_processes)
        of_frequencies = _of_frequencies(outcome.subset, task)
        remarks = remarks_on(
            Picked(outcome.settings, outcome.grid, outcome.shown),
            settings,
            log_loss=metrics["log_loss"].mean,
            of_frequencies=of_frequencies,
        )
        rows.append(
            replace(
                row,
                inputs=inputs,
                seen=seen,
                retrieval=summarise(
                    outcome.retrieved, targets, groups, classes=task.labels.classes
                ),
                log_loss_of_frequencies=of_frequencies,
                remarks=remarks,
            )
        )
    return rows


def _build_row(
    outcome: Outcome,
    settings: ProbeSettings,
    metrics: Mapping[str, Estimate],
    *,
    num_processes: int,
) -> Row:
    return Row(
        name=outcome.name,
        method=outcome.method,
        layer=outcome.layer,
        source=outcome.source,
        tune=outcome.tune,
        labels=outcome.subset.name,
        num_train=outcome.subset.sizes,
        settings=dict(outcome.settings),
        options=dict(outcome.options),
        selected=outcome.selected or f"selected on {settings.select_on}",
        picked=outcome.picked,
        select_score=_finite(outcome.select_score),
        grid=[{**item, "select_score": _finite(item["select_score"])} for item in outcome.grid],
        hidden_metadata=outcome.hidden_metadata,
        seeds=list(outcome.seeds),
        draws=list(outcome.draws),
        num_parameters=outcome.num_parameters,
        flops=outcome.flops,
        metrics=metrics,
        predictions=f"predictions/{outcome.name}.parquet",
        version=ROW_VERSION,
        training=training_of(
            settings,
            outcome.subset.sizes,
            base_lr=outcome.settings.get("lr"),
            num_processes=num_processes,
        ),
    )


def _of_frequencies(subset: Subset, task: Task) -> float | None:
    """Return the log-loss on test of the class frequencies of the training rows, if there are."""
    if not min(subset.sizes):
        return None
    test, count = task.targets_of("test"), len(task.labels.classes)
    losses = [log_loss_of_frequencies(task.targets[draw], test, count) for draw in subset.draws]
    return float(np.mean(losses))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
