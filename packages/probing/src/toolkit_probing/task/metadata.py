"""Metadata as an input of probes: embeddings by the encoders that were trained with the backbone.

What must not be read is hidden before anything is encoded: the label that is predicted, every label
of the data set and every column on its list of leaks count as missing, as do columns that the data
set lacks. All of it is printed, and recorded in the results.

Shapes: n rows of the task and versions of its test rows, k metadata width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toolkit_common.backbones.ids import parse_backbone_id
from toolkit_common.backbones.metadata import LEVELS, MetadataEncoders, load_metadata_encoders
from toolkit_common.console import console
from toolkit_common.data.dataset import ImageData
from toolkit_common.errors import InputError
from toolkit_common.features.codec import keep
from toolkit_common.features.contract import Features
from toolkit_common.features.extract import Extracted
from toolkit_common.features.finite import refuse_not_finite, row_names
from toolkit_common.features.store import MemoryStore
from toolkit_common.runs.files import sha256_of_text
from toolkit_common.seen.check import SeenVerdict
from toolkit_probing.heads.inputs import NO_LAYER
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.beside import CropsBeside, SourceBeside
from toolkit_probing.task.hiding import TestView, hide_at_test, percent
from toolkit_probing.task.metadata_file import TaskFile, read_for_task
from toolkit_probing.task.plain import PlainMetadata
from toolkit_probing.task.task import Task

NOT_LOOKED_AT = SeenVerdict()


@dataclass(frozen=True)
class TaskMetadata:
    """Metadata embeddings of a task's rows.

    Attributes:
        vectors: Level -> `(n, k)`, in the order of the task's rows, then of versions of test rows.
        origins: Which of the task's rows each of them is of `(n,)`.
        views: Where the test rows are, one for each share of metadata that is hidden.
        digest: Hash of the encoders and their schema, and of a file of extrapolated metadata.
        facts: What results record: columns read, absent, hidden (and why), words never seen.
        is_all: Whether they are all that is read.
        extrapolated: The data set with extrapolated metadata in place of its own, if they are.
        seen: Whether the encoder that extrapolated has seen whom is judged on.
        note: What must be known to read figures on extrapolated metadata.
    """

    vectors: Mapping[str, Tensor]
    origins: np.ndarray
    views: Sequence[TestView]
    digest: str
    facts: Mapping[str, Any]
    is_all: bool
    extrapolated: ImageData | None = None
    seen: SeenVerdict = NOT_LOOKED_AT
    note: str = ""

    @property
    def notes(self) -> list[str]:
        """What must be known to read figures on them."""
        shares = [percent(view.share) for view in self.views if view.share]
        hidden = (
            f"METADATA HIDDEN AT TEST: the same heads, with {', '.join(shares)} of the known cells "
            "of each column taken from test rows; what is hidden at one share is hidden at more"
        )
        return [*filter(None, [self.note]), *([hidden] if shares else [])]

    def beside(self, extracted: Extracted) -> Extracted:
        """Put the embeddings beside the features of the images."""
        source = SourceBeside(extracted.source, self.vectors, self.origins)
        crops = extracted.crops
        return replace(
            extracted,
            source=source,
            crops=None if crops is None else CropsBeside(crops, self.vectors),
        )

    def alone(self) -> Extracted:
        """Return the embeddings as all that there is to read: no image is encoded."""
        # A store like any other, so that no method need know of encoders of metadata.
        store = MemoryStore(keep({NO_LAYER: Features(self.vectors, None, (0, 0))}, "fp32"))
        return Extracted(store, "memory", was_cached=False, seconds=0.0, key=self.digest)


def read_task_metadata(settings: ProbeSettings, task: Task) -> TaskMetadata | None:
    """Encode the metadata that `--inputs` names; None for images alone.

    Raises:
        InputError: If the backbone has no such encoders or the data none of their columns, a value
            cannot be one of its column's, or a file of extrapolated metadata lacks rows, is of
            other images, or was made by an encoder that has seen whom is judged on.
    """
    if settings.inputs == "image":
        return None
    hidden = _hidden(task)
    given = None if settings.metadata is None else read_for_task(settings, task, hidden=hidden)
    encoders = _encoders(settings, task, given)
    data = task.data if given is None else given.data
    requested = (settings.inputs,) if settings.inputs in LEVELS else LEVELS
    known = [name for level in LEVELS for name in encoders.columns[level]]
    absent = [name for name in known if name not in data.table and name not in hidden]
    levels = [level for level in requested if set(encoders.columns[level]) - {*hidden, *absent}]
    if not levels:
        _refuse(settings, task, encoders, requested=requested, hidden=hidden)
    # Before anything is encoded, so that nothing of it can reach a vector.
    shown = data.table.drop(columns=list(hidden), errors="ignore").iloc[task.rows]
    if given is not None:  # each row for itself: nobody's value is another row's
        shown = shown.drop(columns="group", errors="ignore")
    of = {name: level for level in levels for name in encoders.columns[level]}
    less = hide_at_test(task, shown, of, shares=settings.hide_metadata, seed=settings.seed)
    encoded = {level: encoders.encode(shown, level) for level in levels}
    # Also of a level of which nothing is left to read.
    read = [name for level in requested for name in encoders.columns[level]]
    facts = {
        "columns": {level: list(encoders.columns[level]) for level in levels},
        "absent": [name for name in absent if name in read],
        "hidden": {name: why for name, why in hidden.items() if name in read},
        "unseen": {k: count for item in encoded.values() for k, count in item.unseen.items()},
        "encoders": encoders.digest,
        "hidden_at_test": less.facts(),
    }
    _show(facts, task.data if given is None else given.path)
    vectors: dict[str, Tensor] = {
        level: torch.cat([item.vectors, *(encoders.encode(x, level).vectors for x in less.tables)])
        for level, item in encoded.items()
    }
    metadata = TaskMetadata(
        vectors, less.origins(task), less.views, encoders.digest, facts,
        is_all=not settings.reads_images,
    )  # fmt: skip
    _refuse_not_finite(metadata, task)
    return metadata if given is None else _with_file(metadata, given, known)


def _refuse_not_finite(metadata: TaskMetadata, task: Task) -> None:
    at_fault = "look at the weights of the run's metadata encoders, and at these rows"
    names = row_names(task.data, task.rows[metadata.origins])
    refuse_not_finite(metadata.vectors, names, remedy=at_fault)


def _with_file(metadata: TaskMetadata, given: TaskFile, known: Sequence[str]) -> TaskMetadata:
    """Return the metadata with what must be known of the file that they are from."""
    unread = [column.name for column in given.data.sheet.columns if column.name not in known]
    if unread:
        console.print(
            f"metadata: the encoder has no input for {', '.join(unread)}: not read", markup=False
        )
    console.print(given.note, markup=False)
    return replace(
        metadata,
        digest=sha256_of_text(metadata.digest + given.sha256),
        facts={**metadata.facts, "extrapolated": {**given.facts, "not_read": unread}},
        extrapolated=given.data,
        seen=given.seen,
        note=given.note,
    )


def _encoders(settings: ProbeSettings, task: Task, given: TaskFile | None) -> MetadataEncoders:
    """Return what encodes metadata: the export's encoders, or plain ones of a file's columns."""
    parsed = None if settings.backbone is None else parse_backbone_id(settings.backbone)
    is_export = parsed is not None and parsed.source == "exported"
    if given is None or (is_export and not settings.random_init):
        return load_metadata_encoders(_export_of(settings))
    console.print(
        "metadata: the encoder has no input for any: numbers are standardised, words one-hot"
    )
    return PlainMetadata(given.data.sheet.columns, given.data.table.iloc[task.splits.train])


def _export_of(settings: ProbeSettings) -> Path:
    if settings.random_init:
        raise InputError(
            f"--inputs {settings.inputs} reads trained metadata encoders, and --random-init asks "
            "for an untrained control: drop one of them"
        )
    parsed = None if settings.backbone is None else parse_backbone_id(settings.backbone)
    if parsed is None or parsed.source != "exported":
        raise InputError(
            f"--inputs {settings.inputs} needs metadata encoders: give --backbone the run of a "
            f"toolkit pretrain slimp, not {settings.backbone or 'none'}"
        )
    return Path(parsed.name)


def _hidden(task: Task) -> dict[str, str]:
    """Return what must not be read of a data set, and why."""
    sheet = task.data.sheet
    hidden = dict.fromkeys(sheet.labels, "a label of the data set")
    # The last of several reasons is told: what is predicted weighs most.
    return {**hidden, **sheet.leaks, task.labels.name: "what is predicted"}


def _refuse(
    settings: ProbeSettings,
    task: Task,
    encoders: MetadataEncoders,
    *,
    requested: tuple[str, ...],
    hidden: Mapping[str, str],
) -> None:
    columns = [name for level in LEVELS if level in requested for name in encoders.columns[level]]
    if not columns:
        raise InputError(
            f"--inputs {settings.inputs}: {settings.backbone} was trained with no such metadata"
        )
    apart = ", ".join(f"{name} ({hidden.get(name, 'absent')})" for name in columns)
    raise InputError(
        f"--inputs {settings.inputs}: data set {task.data.id!r} has no column to read: {apart}"
    )


def _show(facts: Mapping[str, Any], source: ImageData | Path) -> None:
    name = source if isinstance(source, Path) else source.id
    lines = [f"{level} metadata: {', '.join(names)}" for level, names in facts["columns"].items()]
    if facts["absent"]:
        lines.append(f"metadata: {name} has no {', '.join(facts['absent'])}: read as missing")
    lines += [
        f"metadata: {name} is read as missing: {why}" for name, why in facts["hidden"].items()
    ]
    lines += [
        f"metadata: {name} has {count} values that pre-training never saw, read as missing"
        for name, count in facts["unseen"].items()
    ]
    lines += [
        f"metadata: hidden at test: {percent(item['share'])}, {item['cells']} of {item['of']} cells"
        for item in facts["hidden_at_test"]
    ]
    for line in lines:
        console.print(line)
