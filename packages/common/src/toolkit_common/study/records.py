"""What cells have found: the rows of their results.json, read by the documented format alone.

A result without rows (of pre-training, say) is one record of all its numbers, by dotted key. Of
cells that give a file those are read that count attention maps (`toolkit attention --stats`).
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from toolkit_common.config import flatten
from toolkit_common.errors import InputError
from toolkit_common.foreign.values import checked
from toolkit_common.outside import is_of_machine, reason_of
from toolkit_common.runs.files import read_json
from toolkit_common.runs.manifest import RESULTS, read_run_results
from toolkit_common.study.file import Scalar, written
from toolkit_common.study.grid import Cell

FIELDS = ("method", "layer", "source", "labels", "inputs", "hidden_metadata", "tune", "name")
SEEN = {"seen": "SEEN", "unknown": "SEEN?"}
COUNTS = ("num_parameters", "flops", "num_queries")
OPTION = re.compile(r"[a-z0-9]+\.[a-z_]+")  # a method's, such as ep.num_queries: a field as well
RANDOM = "RANDOM WEIGHTS"


@dataclass(frozen=True)
class Record:
    """Figures of one row of a cell's results.

    Attributes:
        cell: The cell.
        fields: Axis or field of the row -> value.
        metrics: Name -> value, None if undefined.
        intervals: Name -> its own 95 % interval, None without one.
        counts: Name -> whole number, of `COUNTS` those that it has.
        selected: How it was selected; empty of a result that does not say.
        marks: What must stand beside every figure.
        remarks: What must be known to trust it.
        classes: Of what its predictions are.
        test_to_train: Test rows over training rows; None of a result that does not say.
        predictions: File of its predictions, if there is one.
        is_baseline: Whether it read no image.
        groups: What intervals draw: `images` where no patient or lesion has two of them.
        kept: Ids of the test images that it is judged on; None of all that it was tested on.
    """

    cell: Cell
    fields: Mapping[str, Scalar]
    metrics: Mapping[str, float | None]
    intervals: Mapping[str, tuple[float, float] | None]
    counts: Mapping[str, int] = field(default_factory=dict)
    selected: str = ""
    marks: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    test_to_train: float | None = None
    predictions: Path | None = None
    is_baseline: bool = False
    groups: str = "patients"
    kept: frozenset[str] | None = None


class _Part(BaseModel):
    """What is read of results, strictly: tables count and sort it."""

    # Keys that are not read may be anything: kinds of results have others.
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class _Metric(_Part):
    mean: float | None
    ci: tuple[float, float] | None = None


class _Retrieval(_Part):
    metrics: Mapping[str, _Metric]


class _Row(_Part):
    method: str = ""
    metrics: Mapping[str, _Metric]
    retrieval: _Retrieval | None = None
    options: Mapping[str, Any] = {}
    hidden_metadata: float = 0.0
    selected: str = ""
    seen: str = ""
    remarks: Sequence[str] = ()
    predictions: str | None = None
    num_parameters: int = 0
    flops: int = 0
    num_queries: int = 0


class _Head(_Part):
    method: str = ""
    statistics: Mapping[str, _Metric]
    options: Mapping[str, Any] = {}


class _Data(_Part):
    classes: Sequence[str] = ()
    sizes: Mapping[str, int] = {}
    num_test_groups: int | None = None


class _Backbone(_Part):
    random_weights: bool = False


class _Results(_Part):
    rows: Sequence[_Row] = ()
    baselines: Sequence[_Row] = ()
    heads: Sequence[_Head] = ()
    data: _Data = _Data()
    backbone: _Backbone = _Backbone()


def read_records(cell: Cell) -> Iterator[Record]:
    """Yield what a cell that is done has found; nothing of one that gives another file.

    Raises:
        InputError: If its results cannot be read, or are not as it wrote them.
    """
    path = cell.place / RESULTS if cell.makes_folder else cell.place
    if path.suffix != ".json":
        return
    own = read_run_results(cell.place) if cell.makes_folder else None
    try:
        results = read_json(path) if own is None else own
        if "rows" in results or not cell.makes_folder:  # else numbers alone are read
            checked(_Results, results, "its figures")
        if not cell.makes_folder:
            yield from (_head(cell, results, head) for head in results.get("heads", ()))
            return
        if "rows" not in results:
            yield _whole(cell, results)
            return
        for key in ("rows", "baselines"):
            for row in results.get(key, ()):
                yield _row(cell, results, row, is_baseline=key == "baselines")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, OSError) and is_of_machine(error):
            raise  # nothing follows for the result
        reason = error if isinstance(error, InputError) else reason_of(error)
        raise InputError(f"cannot read {path} ({reason}); run it again") from None


def _whole(cell: Cell, results: Mapping[str, Any]) -> Record:
    numbers = {
        key: float(value)
        for key, value in flatten(results)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    }
    return Record(cell, dict(cell.values), numbers, {})


def _head(cell: Cell, results: Mapping[str, Any], head: Mapping[str, Any]) -> Record:
    """Return statistics of one head's maps."""
    fields = {name: head[name] for name in FIELDS if name in head}
    options = _options(head)
    return Record(
        cell=cell,
        fields={**fields, **options, **cell.values},
        metrics={name: item["mean"] for name, item in head["statistics"].items()},
        intervals={name: _pair(item["ci"]) for name, item in head["statistics"].items()},
        counts=_counts(head),
        marks=(RANDOM,) if results["random_weights"] else (),
        groups=_groups(results["num_groups"], results["num_images"]),
    )


def _options(row: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return the options of a row's method as fields, such as `ep.num_queries`."""
    options = row.get("options", {})
    return {f"{row['method']}.{key}": written(value) for key, value in options.items()}


def _groups(num_groups: int | None, num_images: int | None) -> str:
    return "images" if num_groups is not None and num_groups == num_images else "patients"


def _pair(ci: Any) -> tuple[float, float] | None:
    return None if ci is None else (ci[0], ci[1])


def _counts(row: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(row[name]) for name in COUNTS if name in row}


def _row(
    cell: Cell, results: Mapping[str, Any], row: Mapping[str, Any], *, is_baseline: bool
) -> Record:
    data = results.get("data", {})
    metrics = {**row["metrics"], **(row.get("retrieval") or {}).get("metrics", {})}
    marks = [SEEN[row["seen"]]] if row.get("seen") in SEEN else []
    if results.get("backbone", {}).get("random_weights") and not is_baseline:
        marks.append(RANDOM)
    sizes = data.get("sizes", {})
    share = sizes["test"] / sizes["train"] if sizes.get("train") and "test" in sizes else None
    fields = {name: row[name] for name in FIELDS if name in row}
    fields |= _options(row)
    fields["hidden_metadata"] = f"{100 * row.get('hidden_metadata', 0.0):g} %"
    return Record(
        cell=cell,
        # An axis wins: a study may call `inputs` what it likes.
        fields={**fields, **cell.values},
        metrics={name: item["mean"] for name, item in metrics.items()},
        intervals={name: _pair(item.get("ci")) for name, item in metrics.items()},
        counts=_counts(row),
        selected=row.get("selected", ""),
        marks=tuple(marks),
        remarks=tuple(row.get("remarks", ())),
        classes=tuple(data.get("classes", ())),
        test_to_train=share,
        predictions=cell.place / row["predictions"] if row.get("predictions") else None,
        is_baseline=is_baseline,
        groups=_groups(data.get("num_test_groups"), sizes.get("test")),
    )
