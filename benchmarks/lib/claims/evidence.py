"""What the studies of EP's claims have found, as paired contrasts and verdicts; of `ep_claims`.

A contrast is a weighted sum of rows' top-1 accuracies on the same test images: `EP - linear`, or
how much larger that is on one encoder than on another. Its interval resamples images, the same for
all rows. A verdict is a function of intervals alone: nobody writes one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit_common.errors import InputError
from toolkit_common.printable import counted
from toolkit_common.runs.files import read_json
from toolkit_common.scores.metrics import Predictions
from toolkit_common.scores.statistics import estimate_mean
from toolkit_common.study.commands import find_command
from toolkit_common.study.file import read_study
from toolkit_common.study.grid import expand
from toolkit_probing.results.rows import Row
from toolkit_probing.results.saved import SavedRow, SavedRun, read_run

HOLDS, FAILS, OPEN, ABSENT = "holds", "does not hold", "cannot be told at this size", "not run"
POINTS = 100.0  # percentage points of a share
RANDOM = ("random", "random weights")  # how the untrained control may be called
MASKED = "MIM "  # how names of masked-image encoders begin in studies/ep-pretraining.yaml


@dataclass(frozen=True)
class Finding:
    """A figure and its 95 % interval; a claim wants it above 0."""

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """What the interval says of a claim that the figure is above 0."""
        return HOLDS if self.low > 0 else FAILS if self.high < 0 else OPEN

    @property
    def text(self) -> str:
        """The figure as the table has it."""
        # A bound that would read as 0.0 has a second digit: the verdict goes by its sign.
        digits = 2 if any(abs(bound) < 0.05 for bound in (self.low, self.high)) else 1
        return f"{self.value:+.{digits}f} [{self.low:+.{digits}f}, {self.high:+.{digits}f}]"


@dataclass(frozen=True)
class Cell:
    """A finished probe run of a study: its step and axes, and what it holds."""

    step: str
    values: Mapping[str, Any]
    run: SavedRun


@dataclass(frozen=True)
class Studies:
    """The studies' finished cells by name, and the encoder that was pre-trained by masking."""

    folder: Path
    masked: str

    def cells(self, name: str) -> list[Cell]:
        """Return the finished probe runs of a study."""
        return read_cells(self.folder / name)

    def encoders(self, study: str = "ep-pretraining") -> list[str]:
        """Return the encoders that a study has judged, the masked one first, random ones last."""
        names = dict.fromkeys(str(cell.values["encoder"]) for cell in self.cells(study))
        return sorted(names, key=lambda name: (name != self.masked, name in RANDOM, name))

    def data(self, study: str) -> str:
        """Return the data that a study was run on; none where those are the encoders' study's."""
        mine, theirs = (
            {cell.run.results.data.id: cell.run.results.data for cell in self.cells(name)}
            for name in (study, "ep-pretraining")
        )
        return ", ".join(data.title for name, data in mine.items() if name not in theirs)


def verdict_of_all(findings: Iterable[Finding]) -> str:
    """Return the verdict of a claim that every figure is above 0.

    It holds where all are, does not where any is below, and cannot be told otherwise.
    """
    verdicts = {finding.verdict for finding in findings}
    if not verdicts:
        return ABSENT
    return HOLDS if verdicts == {HOLDS} else FAILS if FAILS in verdicts else OPEN


def read_cells(folder: Path) -> list[Cell]:
    """Return the finished probe runs of a study's folder; none where it was not run."""
    if not folder.is_dir():
        return []
    return [
        Cell(cell.step, cell.values, read_run(cell.place))
        for cell in expand(read_study(folder), folder, find_command)
        if cell.words[0] == "probe" and (cell.place / "DONE").exists()
    ]


def read_maps(folder: Path, encoder: str) -> list[dict[str, Any]]:
    """Return the attention statistics of an encoder's heads; none where they were not counted."""
    if not folder.is_dir():
        return []
    cells = expand(read_study(folder), folder, find_command)
    files = [cell.place for cell in cells if cell.words[0] == "attention" and
             cell.values["encoder"] == encoder and cell.place.exists()]  # fmt: skip
    return [head for file in files for head in read_json(file)["heads"]]


def find(cells: Sequence[Cell], encoder: str, method: str, **wanted: Any) -> SavedRow:
    """Return the one row of an encoder and method, and of options, layer or labels where given.

    Raises:
        InputError: If there is none, or several.
    """
    rows = [
        saved
        for cell in cells
        if cell.values["encoder"] == encoder
        for saved in cell.run.rows.values()
        if saved.row.method == method
        and all(field_of(saved.row, name) == value for name, value in wanted.items())
    ]
    if len(rows) != 1:
        raise InputError(f"{len(rows)} rows of {encoder} {method} {wanted}, expected one")
    return rows[0]


def methods_of(cells: Sequence[Cell], encoder: str) -> set[str]:
    """Return the methods that an encoder was judged with."""
    return {
        saved.row.method
        for cell in cells
        if cell.values["encoder"] == encoder
        for saved in cell.run.rows.values()
    }


def sized(name: str, row: SavedRow) -> str:
    """Return on what a row of EP was judged: encoder, labels, seeds of the head, tokens read."""
    return f"{name}, {row.row.num_train[0]:,} labels, {seeded(row)} reads {row.row.source}"


def seeded(row: SavedRow) -> str:
    """Return of how many seeds the heads of a row of EP are; each draw of labels has them all.

    A head in which training gained nothing was judged as it began: how many did is said.
    """
    epochs = np.atleast_1d(row.row.settings.get("epoch", 1))
    untrained, heads = int(np.sum(epochs == 0)), len(row.row.seeds)
    as_begun = f" ({untrained} of {heads} heads judged untrained)" if untrained else ""
    return f"EP of {counted(len({*row.row.seeds}), 'seed')}{as_begun}"


def field_of(row: Row, name: str) -> Any:
    """Return a field of a row, or else an option of its method."""
    return getattr(row, name) if hasattr(row, name) else row.options.get(name)


def score_of(row: Row) -> float:
    """Return a row's score on the selection split; of one without, below all."""
    return float("-inf") if row.select_score is None else row.select_score


def contrast(*terms: tuple[float, SavedRow]) -> Finding:
    """Return a weighted sum of top-1 accuracies in percentage points, over the same test images.

    Raises:
        InputError: If the rows are of different test images or labels, or a head has diverged: the
            most probable of no numbers is no class, and nothing is above it.
    """
    first = terms[0][1]
    values = np.zeros(len(first.image_ids))
    for weight, row in terms:
        values += POINTS * weight * np.mean([part.is_hit for part in _aligned(first, row)], 0)
    estimate = estimate_mean(values, first.groups)
    assert estimate.mean is not None
    assert estimate.ci is not None
    return Finding(estimate.mean, *estimate.ci)


def gain(better: SavedRow, base: SavedRow) -> Finding:
    """Return how far one row's top-1 accuracy is above another's, in percentage points."""
    return contrast((1.0, better), (-1.0, base))


def _aligned(first: SavedRow, other: SavedRow) -> list[Predictions]:
    at = {image: position for position, image in enumerate(other.image_ids)}
    if set(at) != set(first.image_ids):
        raise InputError(f"{first.run} and {other.run} have different test images")
    order = np.array([at[image] for image in first.image_ids])
    parts = [Predictions(part.probabilities[order], part.targets[order]) for part in
             other.predictions]  # fmt: skip
    if np.any(parts[0].targets != first.predictions[0].targets):
        raise InputError(f"{first.run} and {other.run} have different labels of the same images")
    if not all(part.is_finite for part in parts):
        raise InputError(f"{other.run}: {other.row.name} has diverged, run the probe again")
    return parts
