"""What results.json holds, as types: written from them, and read into them strictly.

A run of today or of before opens: what was added since has a default. A file that lacks a key,
holds one too many or a value of another kind is refused by its name and the key's, and one of a
version that is not known yet is refused too, so that no figure is read for what it is not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import ConfigDict

from toolkit_common.audit.describe import grouped_by
from toolkit_common.backbones.contract import BackboneInfo
from toolkit_common.data.dataset import SPLITS
from toolkit_common.data.labels import label_map
from toolkit_common.errors import InputError
from toolkit_common.foreign.values import checked
from toolkit_common.images.wide import PixelRange
from toolkit_common.runs.files import read_log
from toolkit_common.runs.folder import RESULTS_VERSION
from toolkit_common.runs.manifest import RESULTS, read_run_results
from toolkit_probing.protocols import UsedProtocol
from toolkit_probing.results.rows import ROW_VERSION, Row
from toolkit_probing.task.task import Task

GROUPS = {"patient_id": "patient", "lesion_id": "lesion"}  # column -> what a group of it is
WHOLE_DRAW = "all-draw0"  # part of the log of heads that learned from all labels


@dataclass(frozen=True, kw_only=True)
class JudgedData:
    """The data that a run judged on.

    Attributes:
        id: The data set.
        label: What was predicted.
        classes: Its classes, in the order of the probabilities.
        label_map: Answer -> diagnosis -> images, where a rule made the label.
        splits: Where the splits are from.
        sizes: Images of each split.
        num_test_groups: Groups (patients) of the test split.
        grouped_by: What they are: patient, lesion or group; empty where each image is its own, and
            in results of before.
        num_groups: Groups of each split.
        class_counts: Split -> images of each class; empty in results of before.
        title: The data set's name for humans.
        source: Whom to cite for it.
        doi: Of the data.
        licence: The data's licence.
        pixel_range: Values that become black and white; None where images hold 8 bits.
    """

    id: str
    label: str
    classes: Sequence[str]
    label_map: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    splits: str
    sizes: Mapping[str, int]
    num_test_groups: int
    grouped_by: str = ""
    num_groups: Mapping[str, int] = field(default_factory=dict)
    class_counts: Mapping[str, Sequence[int]] = field(default_factory=dict)
    title: str = ""
    source: str = ""
    doi: str = ""
    licence: str | None = None
    pixel_range: PixelRange | None = None

    @classmethod
    def of(cls, task: Task) -> "JudgedData":
        """Describe a task's data."""
        is_binary = task.labels.name == task.data.sheet.binary.name
        num_groups = {name: int(np.unique(task.groups_of(name)).size) for name in SPLITS}
        return cls(
            id=task.data.id,
            label=task.labels.name,
            classes=list(task.labels.classes),
            label_map=label_map(task.data.table, task.data.sheet) if is_binary else {},
            splits=task.splits.origin,
            sizes={name: len(task.splits[name]) for name in SPLITS},
            num_test_groups=num_groups["test"],
            grouped_by=_group_word(task),
            num_groups=num_groups,
            class_counts={
                name: np.bincount(
                    task.targets_of(name), minlength=len(task.labels.classes)
                ).tolist()
                for name in SPLITS
            },
            title=task.data.sheet.title,
            source=task.data.sheet.source,
            doi=task.data.sheet.doi,
            licence=task.data.sheet.licence,
            pixel_range=task.data.pixel_range,
        )


def _group_word(task: Task) -> str:
    if task.data.groups is None:
        return ""
    return GROUPS.get(grouped_by(task.data) or "", "group")


@dataclass(frozen=True, kw_only=True)
class JudgedBackbone:
    """The encoder that a run judged; `facts` to `weights` are for people to read.

    Attributes:
        id: Builds it again.
        name: What it is called where it is shown, its short name or its id; empty in results of
            before.
        facts: Shapes.
        card: What is read of it.
        preprocess: What its images are made of.
        weights: How much of it a file filled.
        random_weights: Whether none did: such figures judge no trained encoder.
    """

    id: str
    facts: Mapping[str, Any]
    card: Mapping[str, Any]
    preprocess: Mapping[str, Any]
    weights: Mapping[str, Any]
    random_weights: bool
    name: str = ""

    @property
    def shown(self) -> str:
        """What it is called in tables and pages."""
        return self.name or self.id

    @classmethod
    def of(cls, info: BackboneInfo) -> "JudgedBackbone":
        """Describe a backbone."""
        return cls(
            id=info.id,
            name=info.name,
            facts=asdict(info.facts),
            card=asdict(info.card),
            preprocess=asdict(info.preprocess),
            weights=asdict(info.receipt),
            random_weights=info.receipt.is_random,
        )


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What judging took, extraction apart.

    Attributes:
        seconds: Of all methods.
        peak_memory_bytes: The most that was held at once: of the GPU, or of the process.
    """

    seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class Results:
    """All of results.json.

    Attributes:
        version: Of what stands beside the rows.
        protocol: The named settings behind the figures.
        data: On what.
        backbone: Of what.
        notes: What must be known to read the figures.
        tuning: How the encoder was tuned; None where it stayed frozen.
        features: Where they lie, what they cost and how exact they are.
        inputs: What was read, and what of the metadata.
        images: What a cache of images changed.
        diverged: Heads that ended without finite probabilities, and the epoch that began it.
        cost: Of the run.
        rows: One a variant.
        baselines: Rows of what reads no image.
        folds: Folders of the runs of single folds, where these are figures of all of them.
    """

    # Of reading alone, and for all types within: what we build ourselves, mypy has checked.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False
    )

    version: int = RESULTS_VERSION
    protocol: UsedProtocol
    data: JudgedData
    backbone: JudgedBackbone
    notes: Sequence[str]
    tuning: Mapping[str, Any] | None = None
    features: Mapping[str, Any]
    inputs: Mapping[str, Any] = field(default_factory=dict)
    images: Mapping[str, Any] = field(default_factory=dict)
    diverged: Mapping[str, int] = field(default_factory=dict)
    cost: Cost
    rows: Sequence[Row]
    baselines: Sequence[Row] = ()
    folds: Sequence[str] = ()

    @property
    def rows_of_heads(self) -> Mapping[str, str]:
        """The row that each name of heads is of: with metadata hidden, the one that hides least."""
        return {row.head_name: row.name for row in reversed(self.rows)}

    def to_json(self) -> dict[str, Any]:
        """Return what is written."""
        return asdict(self)


def diverged_heads(run: Path, metric: str) -> dict[str, int]:
    """Return the heads that in the end predicted no finite probability, and from which epoch on.

    Args:
        run: The run's folder, whose metrics.jsonl tells; lines of it that are none are passed over.
        metric: By which heads were picked, as it is called there: undefined since then.
    """
    diverged: dict[str, int] = {}
    for line in read_log(run):
        part, scores, epoch = (line.get(key) for key in ("part", metric, "epoch"))
        if not isinstance(scores, dict) or not isinstance(epoch, int):  # a disk spoilt it
            continue
        # The draw stands in front of the pass.
        draw = str(part).partition("/")[0]
        for key, value in scores.items():
            name = key if draw == WHOLE_DRAW else f"{key} ({draw})"
            # A score that is not finite is no JSON: it was logged as null.
            if value is None:
                diverged.setdefault(name, epoch)
            else:
                # Who recovers has not diverged in the end.
                diverged.pop(name, None)
    return diverged


def read_results(folder: Path) -> Results:
    """Read the results.json of a run.

    Raises:
        InputError: If it is not there, damaged, not as the run wrote it, of another kind of run, or
            newer than this code.
    """
    return results_of(read_run_results(folder), folder / RESULTS)


def results_of(values: Mapping[str, Any], path: Path) -> Results:
    """Return what a file of results holds as its types.

    Args:
        values: What `read_run_results` gave.
        path: Of the file.

    Raises:
        InputError: If it is damaged, of another kind of run, or newer than this code.
    """
    # Before anything else: a newer file has keys that the types below would call unknown.
    for what, version, known in _versions(values):
        if isinstance(version, int) and version > known:
            raise InputError(
                f"{path}: {what} of version {version}, this toolkit reads up to {known}: update it"
            )
    try:
        results: Results = checked(Results, values, path)
    except InputError as error:
        raise InputError(f"{error}; no probe wrote it so, run it again") from None
    return results


def _versions(contents: Mapping[str, Any]) -> Iterator[tuple[str, Any, int]]:
    """Yield what has a version, which, and the highest one that this code knows."""
    yield "is", contents.get("version"), RESULTS_VERSION
    rows = contents.get("rows")
    for row in rows if isinstance(rows, list) else ():
        yield "has rows", row.get("version") if isinstance(row, dict) else None, ROW_VERSION
