"""What results.json of a pre-training holds, as types: written from them, and read strictly.

A run of before opens: what was added since has a default. A file that lacks a key, holds one too
many or a value of another kind is refused by its name and the key's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import ConfigDict

from toolkit_common.backbones.metadata import LEVELS
from toolkit_common.errors import InputError
from toolkit_common.foreign.values import checked
from toolkit_common.images.wide import PixelRange
from toolkit_common.runs.folder import RESULTS_VERSION, RunFolder
from toolkit_common.runs.manifest import RESULTS, read_run_results
from toolkit_common.seen.check import SeenStatus
from toolkit_slimp.training.keep import Outcome
from toolkit_slimp.training.setup import Setup, name_groups

Side = Literal["train", "val"]  # the test split is not read
SIDES: tuple[Side, ...] = ("train", "val")


@dataclass(frozen=True, kw_only=True)
class LearnedData:
    """The data that a run learned from: id, licence, where its splits are from, what was chosen."""

    id: str
    licence: str | None = None
    splits: str
    choices: Sequence[str] = ()
    pixel_range: PixelRange | None = None


@dataclass(frozen=True, kw_only=True)
class Continued:
    """The run that a run continues.

    Attributes:
        run: Where it lay.
        digest: Of its weights and schema.
        train: What of it was trained on.
        trained_groups: Groups of tensors that learned.
        seen: Whether it has seen whom this one holds out.
    """

    run: str
    digest: str = ""
    train: str | None
    trained_groups: Sequence[str] = ()
    seen: SeenStatus = ""

    @classmethod
    def of(cls, setup: Setup) -> "Continued | None":
        """Describe the run that is continued; None where none is."""
        if (adaptation := setup.adaptation) is None or adaptation.parent is None:
            return None
        groups = adaptation.groups().items()
        return cls(
            run=str(setup.model.settings.from_run),
            digest=adaptation.parent.digest,
            train=setup.model.settings.train,
            trained_groups=[group for (group, learns), _ in groups if learns],
            seen=setup.seen.status,
        )


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much there is of a split; lesions where the data tell them apart."""

    images: int
    groups: int
    lesions: int | None = None


@dataclass(frozen=True, kw_only=True)
class Absent:
    """Shares of images without a value of a column, and with the word `unknown`."""

    missing: float
    unknown: float


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Which state was kept: `last`, or the best by a metric; and the updates behind it."""

    by: str
    step: int


@dataclass(frozen=True, kw_only=True)
class Results:
    """All of results.json.

    Attributes:
        version: Of what stands here.
        data: From what it learned.
        label: What it can be judged by.
        encoder: Folder of the export.
        architecture: Of the image encoder.
        start: Where its first weights are from.
        parent: The run that it continues; None where it continues none.
        start_is_random: Whether the image encoder knew nothing; None in results of before.
        seen: Whether the first weights have seen held-out patients.
        people: What groups are.
        sizes: Of each split; empty in results of before, as what follows.
        missing: Column -> split -> shares, as the model reads them: a known value of a patient
            counts for all of its images.
        ancestors: Of each encoder before, how it was trained.
        steps: Updates.
        epochs: Passes over the patients.
        kept: Which state the figures are of; None in results of before, where it is the last.
        held_out: The look at held-out patients, with chance levels.
    """

    # Of reading alone, and for all types within: what we build ourselves, mypy has checked.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False
    )

    version: int = RESULTS_VERSION
    data: LearnedData
    label: str | None = None
    encoder: str = "encoder"
    architecture: str
    start: str
    parent: Continued | None = None
    start_is_random: bool | None = None
    seen: SeenStatus = ""
    people: str = "patients"
    sizes: Mapping[Side, Size] = field(default_factory=dict)
    missing: Mapping[str, Mapping[Side, Absent]] = field(default_factory=dict)
    ancestors: Sequence[Mapping[str, Any]] = ()
    steps: int
    epochs: float
    kept: Kept | None = None
    held_out: Mapping[str, float]

    @property
    def seen_by_start(self) -> SeenStatus:
        """Whether the start had seen held-out patients; runs of before say so of a parent."""
        return self.seen or (self.parent.seen if self.parent is not None else "")

    @property
    def kept_state(self) -> tuple[int, str]:
        """The step of the state that was kept, and which one it was, in words."""
        kept = self.kept or Kept(by="last", step=self.steps)
        return kept.step, "the last" if kept.by == "last" else f"the best by {kept.by}"

    def to_json(self) -> dict[str, Any]:
        """Return what is written."""
        return asdict(self)

    @classmethod
    def of(cls, setup: Setup, outcome: Outcome, *, label: str | None) -> "Results":
        """Describe a run that has trained."""
        data, settings = setup.data, setup.model.settings
        return cls(
            data=LearnedData(
                id=data.id,
                licence=data.sheet.licence,
                splits=setup.splits.origin,
                choices=list(data.choices),
                pixel_range=data.pixel_range,
            ),
            label=label,
            architecture=setup.architecture,
            start=setup.start,
            parent=Continued.of(setup),
            start_is_random=settings.starts_random,
            seen=setup.seen.status,
            people=name_groups(data),
            sizes={side: _size(setup, setup.splits[side]) for side in SIDES},
            missing=_missing(setup),
            ancestors=[dict(step) for step in setup.ancestry.lineage],
            steps=setup.stream.total_steps,
            epochs=setup.stream.num_epochs,
            kept=Kept(by=settings.keep, step=outcome.step),
            held_out=outcome.values,
        )


def read_results(run: RunFolder) -> Results:
    """Read the results.json of a pre-training.

    Raises:
        InputError: If it is not there, damaged, not as the run wrote it, of another kind of run, or
            newer than this code.
    """
    path = run.path / RESULTS
    values = read_run_results(run.path)
    version = values.get("version")
    # Before anything else: a newer file has keys that the types above would call unknown.
    if isinstance(version, int) and version > RESULTS_VERSION:
        raise InputError(
            f"{path}: is of version {version}, this toolkit reads up to {RESULTS_VERSION}: update "
            "it"
        )
    results: Results = checked(Results, values, f"{path} is damaged")
    return results


def _size(setup: Setup, rows: np.ndarray) -> Size:
    data = setup.data
    assert data.groups is not None
    has_lesions = "lesion_id" in data.table
    return Size(
        images=len(rows),
        groups=int(np.unique(data.groups[rows]).size),
        lesions=int(data.table["lesion_id"].iloc[rows].nunique()) if has_lesions else None,
    )


def _missing(setup: Setup) -> dict[str, dict[Side, Absent]]:
    table, shares = setup.stream.table, {}
    for level, encoded in zip(LEVELS, (table.lesions, table.patients), strict=True):
        schema = setup.schema.at(level)
        for at, column in enumerate(schema.columns):
            word = schema.word_owners.index(at)  # the first word of a column is `unknown`
            shares[column.name] = {
                side: Absent(
                    missing=1.0 - _share(encoded.observed[setup.splits[side], at]),
                    unknown=_share(encoded.words[setup.splits[side], word]),
                )
                for side in SIDES
            }
    return shares


def _share(flags: Any) -> float:
    return float(flags.float().mean()) if len(flags) else 0.0
