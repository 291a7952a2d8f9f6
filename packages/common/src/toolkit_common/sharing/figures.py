"""Figures for a model card, of finished probe runs that judged this very encoder, frozen.

Read without the package that wrote them, so that one without it can publish; strictly, as a figure
that is read for what it is not is worse than none.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from toolkit_common.errors import InputError
from toolkit_common.foreign.values import checked
from toolkit_common.runs.folder import RunFolder
from toolkit_common.runs.manifest import RESULTS, read_run_results
from toolkit_common.sharing.provenance import public_data

SHOWN = ("balanced_accuracy", "auroc", "log_loss")  # as far as a run has them
READ = "image"  # rows that read metadata need encoders that are not published
Score = Field(ge=-1e6, le=1e6)


class _Part(BaseModel):
    # Keys that are not read may be anything: other versions have others.
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class _Metric(_Part):
    mean: float | None = Score
    ci: list[float] | None = Field(None, min_length=2, max_length=2)
    pooled: float | None = None


class _Row(_Part):
    method: str = Field(max_length=200)
    labels: str = Field(max_length=200)
    selected: str = Field(max_length=200)
    inputs: str = READ
    tune: str = "none"
    seen: Literal["", "unseen", "seen", "unknown"] = ""
    metrics: dict[str, _Metric]


class _Data(_Part):
    id: str
    sizes: dict[str, int]
    num_test_groups: int
    licence: str | None = None


class _Protocol(_Part):
    name: str = Field(max_length=200)
    version: int
    overridden: dict[str, Any]
    unmet: str | None = None


class _Backbone(_Part):
    random_weights: bool


class _Results(_Part):
    version: int
    protocol: _Protocol
    data: _Data
    backbone: _Backbone
    rows: list[_Row] = Field(min_length=1, max_length=10_000)


@dataclass(frozen=True)
class Figures:
    """What one probe run found of an encoder.

    Attributes:
        data: The reader of the data that it was judged on.
        sizes: Images of the test split, and groups (patients) in it.
        protocol: The named settings behind the figures.
        rows: Method -> metric -> value with its interval, as they are shown.
        seen: Of each method, whether the encoder was trained on whom it is judged on.
    """

    data: str
    sizes: tuple[int, int]
    protocol: str
    rows: Mapping[str, Mapping[str, str]]
    seen: Mapping[str, Literal["", "unseen", "seen", "unknown"]]


def read_figures(path: Path, fingerprint: str) -> Figures:
    """Read what a probe run found of an encoder's images.

    Args:
        path: The run's folder.
        fingerprint: Of the encoder's weights.

    Raises:
        InputError: If the run is not done or damaged, judged another encoder, or has no row of
            frozen features of images.
    """
    run = RunFolder(path)
    if not run.is_done:
        raise InputError(f"--probed {path} is no finished probe run: it has no DONE")
    if run.facts().get("encoder") != fingerprint:
        raise InputError(
            f"--probed {path} judged another encoder than the one to share (or the same with other "
            "weights): its figures are not this one's"
        )
    results: _Results = checked(_Results, read_run_results(path), path / RESULTS)
    rows = [row for row in results.rows if row.inputs == READ and row.tune == "none"]
    if not rows or results.backbone.random_weights:
        raise InputError(f"--probed {path} has no figure of this encoder's images, frozen")
    names = [f"{row.method}, {row.labels}, {row.selected}" for row in rows]
    return Figures(
        data=public_data(results.data.id),
        sizes=(results.data.sizes.get("test", 0), results.data.num_test_groups),
        protocol=_describe(results.protocol),
        rows={_unique(names, at): dict(_shown(row)) for at, row in enumerate(rows)},
        seen={_unique(names, at): row.seen for at, row in enumerate(rows)},
    )


def _describe(protocol: _Protocol) -> str:
    # Names of settings alone: a value may be a place or a name of the data.
    changed = f", changed: {', '.join(sorted(protocol.overridden))}" if protocol.overridden else ""
    unmet = ", not all of it met" if protocol.unmet else ""
    return f"{protocol.name} (version {protocol.version}{changed}{unmet})"


def _unique(names: list[str], at: int) -> str:
    return names[at] if names.count(names[at]) == 1 else f"{names[at]} ({at + 1})"


def _shown(row: _Row) -> Iterator[tuple[str, str]]:
    for name in SHOWN:
        if name not in row.metrics:
            continue
        metric = row.metrics[name]
        value = metric.mean if metric.pooled is None else metric.pooled
        interval = "" if metric.ci is None else f" [{metric.ci[0]:.2f}, {metric.ci[1]:.2f}]"
        yield name, "undefined" if value is None else f"{value:.3f}{interval}"
