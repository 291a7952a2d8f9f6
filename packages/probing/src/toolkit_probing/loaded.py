"""What a probe judges, loaded and checked before anything is computed or written."""

from collections.abc import Sequence
from dataclasses import dataclass

from toolkit_common.backbones.contract import Backbone
from toolkit_common.console import console
from toolkit_common.data.dataset import ImageData
from toolkit_common.features.extract import Extracted
from toolkit_common.registry import lookup
from toolkit_common.runs.files import refuse_unwritable
from toolkit_common.scores.metrics import METRICS
from toolkit_common.seen.check import SeenVerdict, check_seen, worse_verdict
from toolkit_probing.methods.checks import refuse_impossible, refuse_unreadable
from toolkit_probing.methods.choose import requested_methods
from toolkit_probing.methods.frozen import published_head
from toolkit_probing.methods.tuned import refuse_untunable
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.encoder import load_probed_backbone, store_folder
from toolkit_probing.task.hiding import TestView
from toolkit_probing.task.metadata import TaskMetadata, read_task_metadata
from toolkit_probing.task.shrunk import refuse_bad_cache
from toolkit_probing.task.subsets import Subset, label_subsets
from toolkit_probing.task.task import (
    Task,
    look_at_images,
    naming_fold,
    read_tasks,
    without_images,
)


@dataclass(frozen=True)
class Loaded:
    """What is judged.

    Attributes:
        task: Images, labels and splits.
        subsets: Amounts of labels to learn from.
        backbone: The encoder.
        metadata: What is read of the metadata; None for images alone.
        seen: Whether the encoder has seen whom it is judged on.
        extracted: Features of the task's rows where another fold has computed them.
    """

    task: Task
    subsets: Sequence[Subset]
    backbone: Backbone
    metadata: TaskMetadata | None
    seen: SeenVerdict
    extracted: Extracted | None = None

    @property
    def views(self) -> Sequence[TestView]:
        """Where the test rows are among the features, one for each share of hidden metadata."""
        if self.metadata is None:
            return [TestView(0.0, self.task.positions("test"))]
        return self.metadata.views

    @property
    def notes(self) -> list[str]:
        """What must be known to read figures, a sentence each."""
        data, of_metadata = self.task.data, [] if self.metadata is None else self.metadata.notes
        seen = [self.seen.message] if self.seen.message else []
        return [*data.choices, *data.sheet.notes, *seen, *of_metadata]


def load(
    parts: Sequence[ProbeSettings],
    *,
    backbone: Backbone | None = None,
    data: ImageData | None = None,
) -> list[Loaded]:
    """Load what is judged; refuse what cannot be done before anything is written.

    Args:
        parts: One, or one a fold: alike but for that. All are checked before this returns.
        backbone: The backbone that they name, where it is loaded already.
        data: The data set that they name, likewise.

    Raises:
        InputError: If the settings, the data or the backbone are at fault; of several folds it
            names the one.
    """
    settings = parts[0]
    lookup(METRICS, settings.select_by, kind="metric")
    if settings.store in ("auto", "disk") and settings.tune == "none":
        refuse_unwritable(store_folder(settings), option="--store-dir")
    # In order of cost: what the labels already refuse needs no encoder, and images come last.
    tasks = read_tasks(parts, data)
    checked = _check(parts, tasks)
    backbone = load_probed_backbone(settings, backbone)
    refuse_unreadable(settings, backbone.info)
    metadata = _read_metadata(parts, tasks)
    refuse_bad_cache(settings, tasks[0], backbone)
    methods = requested_methods(settings)
    refuse_untunable(methods, settings, backbone)
    if settings.head is not None:
        published_head(methods[0], settings, tasks[0], backbone.info)
    first = look_at_images(tasks[0], settings)
    bad = first.bad_files
    # The same rows are in the splits of every fold: they are looked at once.
    tasks = [first, *(without_images(task, bad) for task in tasks[1:])]
    if len(bad):  # fewer rows than were split above
        checked = _check(parts, tasks)
        metadata = _read_metadata(parts, tasks)
    return [
        Loaded(task, subsets, backbone, read, _with_metadata(seen, read))
        for task, (subsets, seen), read in zip(tasks, checked, metadata, strict=True)
    ]


def _read_metadata(
    parts: Sequence[ProbeSettings], tasks: Sequence[Task]
) -> list[TaskMetadata | None]:
    """Read the metadata of every split: what is fitted to them is fitted to its training rows."""
    read = []
    for settings, task in zip(parts, tasks, strict=True):
        with naming_fold(settings, several=len(parts) > 1):
            read.append(read_task_metadata(settings, task))
    return read


def _with_metadata(seen: SeenVerdict, metadata: TaskMetadata | None) -> SeenVerdict:
    """Return the worse of what is known of the encoder, and of the one that extrapolated."""
    if metadata is None or not metadata.seen.message:
        return seen
    console.print(metadata.seen.message, markup=False)
    return worse_verdict(seen, metadata.seen)


def _check(
    parts: Sequence[ProbeSettings], tasks: Sequence[Task]
) -> list[tuple[Sequence[Subset], SeenVerdict]]:
    """Refuse what the labels of a split do not allow, or whom its encoder has seen."""
    checked: list[tuple[Sequence[Subset], SeenVerdict]] = []
    for settings, task in zip(parts, tasks, strict=True):
        with naming_fold(settings, several=len(parts) > 1) as name:
            refuse_impossible(settings, task)
            seen = _check_seen(settings, task, name=name)
            checked.append((label_subsets(settings, task), seen))
    return checked


def _check_seen(settings: ProbeSettings, task: Task, *, name: str) -> SeenVerdict:
    """Refuse to judge an encoder on whom it was trained on; prints what is known of that."""
    if settings.random_init:
        return SeenVerdict()
    seen = check_seen(
        settings.backbone,
        task.data,
        task.splits,
        settings=settings,
        allow_seen=settings.allow_seen,
    )
    if seen.message:
        console.print(f"{name}{seen.message}", markup=False)
    return seen
