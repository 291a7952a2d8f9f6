"""`toolkit report`: metrics of finished runs from their predictions, also by subgroup, no model."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from toolkit_common.console import result_console
from toolkit_common.errors import InputError
from toolkit_common.scores.metrics import Predictions, confusion_matrix, find_metric
from toolkit_common.scores.statistics import UNDEFINED, estimate
from toolkit_probing.protocols import protocol_line
from toolkit_probing.results.rows import format_estimate, why_no_intervals
from toolkit_probing.results.saved import SavedRow, SavedRun, find_runs

MAX_VALUES = 10  # distinct numbers up to which each is a subgroup of its own; else quarters
MISSING = "missing"
CONFUSION = "confusion"  # counts, no metric: report alone has it
MAX_PRINTED_CLASSES = 12  # of a confusion; JSON has all
TUNED = "TUNING (encoders trained with the head; not to be ranked with probes)"


def build_report(
    paths: Sequence[Path], *, metrics: Sequence[str], by: Sequence[str] = ()
) -> dict[str, Any]:
    """Return metrics of every row of some runs, of all test images and of subgroups.

    Args:
        paths: Run folders, or folders that hold some.
        metrics: Which metrics; `confusion` adds counts (true classes x predicted, one matrix a
            repeat).
        by: Columns of the data set; numbers with many values are cut into quarters.

    Raises:
        InputError: If a run is not finished, or a metric or column is unknown.
    """
    figures = [metric for metric in metrics if metric != CONFUSION]
    for metric in figures:
        try:
            find_metric(metric)
        except InputError as error:
            raise InputError(f"{error}, {CONFUSION}") from None
    runs = find_runs(paths)
    return {
        "metrics": figures,
        "by": list(by),
        "runs": [_run_facts(run) for run in runs],
        "rows": [
            entry
            for run in runs
            for row in (*run.rows.values(), *run.baselines.values())
            for entry in _entries(run, row, figures, by, with_confusion=CONFUSION in metrics)
        ],
    }


def show_report(report: dict[str, Any], *, as_json: bool) -> None:
    """Print a report for humans."""
    out = result_console(as_json=as_json)
    several = len(report["runs"]) > 1
    headings = [*(["run"] if several else []), "row", *(["images of"] if report["by"] else [])]
    for run in report["runs"]:
        out.print(run_line(run), soft_wrap=True)
    for title, entries in sections(report["rows"]):
        table = Table(show_lines=True)
        for heading in headings:
            table.add_column(heading, overflow="fold")
        for heading in ("images", "groups", *report["metrics"]):
            table.add_column(heading.replace("_", " "), justify="right")
        for entry in entries:
            figures = [format_estimate(entry["metrics"][name]) for name in report["metrics"]]
            label = [*([entry["run"]] if several else []), entry["name"]]
            label += [subgroup_name(entry)] if report["by"] else []
            table.add_row(*label, str(entry["num_images"]), str(entry["num_groups"]), *figures)
        if title:
            out.print(title, soft_wrap=True)
        out.print(table)
        for entry in entries:
            _show_confusion(out, entry, report["runs"])
    for line in intervals_told(report) if report["metrics"] else ():
        out.print(line, soft_wrap=True)


def _show_confusion(out: Console, entry: dict[str, Any], runs: Sequence[dict[str, Any]]) -> None:
    """Print counts of true and predicted classes, means over the repeats that have some."""
    if CONFUSION not in entry:
        return
    classes = next(run["classes"] for run in runs if run["run"] == entry["run"])
    name = f"{entry['name']}, {subgroup_name(entry)}" if entry["column"] else entry["name"]
    known = [counts for counts in entry[CONFUSION] if counts is not None]
    if not known or len(classes) > MAX_PRINTED_CLASSES:
        why = f"{len(classes)} classes are too many to print, --json has it" if known else UNDEFINED
        out.print(f"confusion of {name}: {why}", soft_wrap=True)
        return
    out.print(f"confusion of {name}: true classes down, predicted across", soft_wrap=True)
    table = Table()
    table.add_column("")
    for label in classes:
        table.add_column(str(label), justify="right")
    for label, counts in zip(classes, np.mean(known, axis=0), strict=True):
        table.add_row(str(label), *(f"{count:.4g}" for count in counts))
    out.print(table)


def intervals_told(report: dict[str, Any]) -> list[str]:
    """Return how intervals were made, and why some figures have none."""
    found = [item for entry in report["rows"] for item in entry["metrics"].values()]
    return ["95 % intervals by bootstrap over groups", *why_no_intervals(found)]


def sections(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield probing and tuning apart, each with its title: they are never ranked together."""
    tuned = [entry for entry in rows if entry["tune"] != "none"]
    probed = [entry for entry in rows if entry["tune"] == "none"]
    if probed:
        yield "PROBING (frozen encoders)" if tuned else "", probed
    if tuned:
        yield TUNED, tuned


def run_line(run: dict[str, Any]) -> str:
    """Return a run in one line: what was probed, on what, under which protocol."""
    random = "; RANDOM WEIGHTS" if run["random_weights"] else ""
    return (
        f"{run['run']}: {run['backbone']} on {run['data']} ({run['label']}), "
        f"inputs {', '.join(run['inputs'])}, {protocol_line(run['protocol'])}, "
        f"{', '.join(run['selected'])}{random}"
    )


def subgroup_name(entry: dict[str, Any]) -> str:
    """Return which images an entry is about."""
    return "all" if entry["column"] is None else f"{entry['column']}: {entry['value']}"


def subgroups(values: pd.Series) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name and the mask of each subgroup; rows without a value are one of them."""
    known = values.notna().to_numpy()
    as_numbers = pd.to_numeric(values, errors="coerce")  # a table's columns are text
    if as_numbers.notna().to_numpy().sum() == known.sum():
        values = as_numbers
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > MAX_VALUES:
        edges = np.unique(np.quantile(values[known], [0.0, 0.25, 0.5, 0.75, 1.0]))
        numbers = values.to_numpy(float)
        for low, high in pairwise(edges):
            is_last = high == edges[-1]
            inside = (numbers >= low) & ((numbers <= high) if is_last else (numbers < high))
            yield f"{low:g} to {'' if is_last else 'below '}{high:g}", inside
    else:
        for value in sorted(values[known].unique()):
            name = f"{value:g}" if isinstance(value, float) else str(value)
            yield name, (values == value).to_numpy(bool)
    if not known.all():
        yield MISSING, ~known


def _run_facts(run: SavedRun) -> dict[str, Any]:
    results = run.results
    return {
        "run": str(run.path),
        "backbone": results["backbone"]["id"],
        "random_weights": results["backbone"]["random_weights"],
        "data": results["data"]["id"],
        "label": results["data"]["label"],
        "classes": results["data"]["classes"],
        "protocol": results["protocol"],
        "inputs": sorted({row.inputs for row in run.rows.values()}),
        "selected": sorted({row["selected"] for row in results["rows"]}),
        "notes": results["notes"],
    }


def _entries(
    run: SavedRun,
    row: SavedRow,
    metrics: Sequence[str],
    by: Sequence[str],
    *,
    with_confusion: bool,
) -> Iterator[dict[str, Any]]:
    parts = partial(_figures, row, metrics=metrics, with_confusion=with_confusion)
    told: dict[str, Any] = {
        "run": str(run.path),
        "name": row.name,
        "inputs": row.inputs,
        "tune": row.tune,
    }
    told |= {key: row.row[key] for key in ("labels", "selected", "picked", "settings")}
    told["training"] = row.row.get("training")
    everything = np.ones(len(row.image_ids), bool)
    yield {**told, "column": None, "value": None, **parts(everything)}
    for column in by:
        for value, mask in subgroups(run.column(column, row.image_ids)):
            yield {**told, "column": column, "value": value, **parts(mask)}


def _figures(
    row: SavedRow, mask: np.ndarray, *, metrics: Sequence[str], with_confusion: bool
) -> dict[str, Any]:
    parts = [Predictions(run.probabilities[mask], run.targets[mask]) for run in row.predictions]
    groups = row.groups[mask]
    found = estimate(parts, groups, names=metrics)
    return {
        **({CONFUSION: [_confusion(part) for part in parts]} if with_confusion else {}),
        "num_images": int(mask.sum()),
        "num_groups": int(np.unique(groups).size),
        "metrics": {name: asdict(value) for name, value in found.items()},
    }


def _confusion(predictions: Predictions) -> list[list[int]] | None:
    if not predictions.is_finite:
        return None
    found: list[list[int]] = confusion_matrix(predictions).tolist()
    return found
