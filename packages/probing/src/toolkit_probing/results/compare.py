"""`toolkit compare`: is one probe better than another on the same test images, or is it chance?"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from toolkit_common.console import result_console
from toolkit_common.errors import InputError
from toolkit_common.scores.metrics import Predictions, find_metric
from toolkit_common.scores.statistics import UNDEFINED, adjust_holm, estimate_difference
from toolkit_probing.heads.inputs import place_name
from toolkit_probing.reports.tables import CONFUSION, TUNED
from toolkit_probing.results.rows import NO_INTERVAL, why_no_intervals
from toolkit_probing.results.saved import SavedRow, SavedRun, choose_row, read_run

MIXED = "TUNED AGAINST FROZEN: what the tuning changes; it ranks no encoders or probes"

Pair = tuple[SavedRow, SavedRow]


def compare_runs(
    paths: Sequence[Path], *, rows: Sequence[str], metrics: Sequence[str]
) -> dict[str, Any]:
    """Compare variants of one run, or those of one name of two runs.

    Args:
        paths: One or two run folders.
        rows: Names of the two variants to compare (the first in the first run, the second in the
            last); none: all of one run against its first, or every variant that two runs share.
        metrics: By which metrics.

    Raises:
        InputError: If a run or variant is not there, there is nothing to compare, or test images,
            classes, patients or targets differ.
    """
    if CONFUSION in metrics:
        raise InputError(f"{CONFUSION} is no number to compare: toolkit report shows it")
    for metric in metrics:
        find_metric(metric)
    if len(paths) not in (1, 2):
        raise InputError(f"compare takes one run or two, got {len(paths)}")
    runs = [read_run(path) for path in paths]
    if len(runs) == 2:
        _refuse_other_task(*runs)
    entries = []
    for first, second in _pairs(runs, rows):
        other = _aligned(first, second)
        found = estimate_difference(first.predictions, other, first.groups, names=metrics)
        entries += [
            {
                "first_row": _label(first),
                "second_row": _label(second),
                "metric": metric,
                **asdict(difference),
            }
            for metric, difference in found.items()
        ]
    for _, section in _sections(entries):
        adjusted = adjust_holm([entry["p"] for entry in section])
        for entry, value in zip(section, adjusted, strict=True):
            entry["p_holm"] = value
    example = next(iter(runs[0].rows.values()))
    return {
        "num_images": len(example.image_ids),
        "num_groups": int(np.unique(example.groups).size),
        "comparisons": entries,
    }


def show_comparison(found: dict[str, Any], *, as_json: bool) -> None:
    """Print a comparison for humans."""
    out = result_console(as_json=as_json)
    out.print(
        f"{found['num_images']} test images of {found['num_groups']} groups; 95 % intervals and "
        "two-sided p by paired bootstrap over groups, Holm over all rows of a table",
        soft_wrap=True,
    )
    for title, entries in _sections(found["comparisons"]):
        if title:
            out.print(title, soft_wrap=True)
        out.print(_table(entries))
    for line in why_no_intervals(found["comparisons"]):
        out.print(line, soft_wrap=True)
    ways = {
        entry[side]["selected"]
        for entry in found["comparisons"]
        for side in ("first_row", "second_row")
    }
    if len(ways) > 1:
        out.print(f"NOT SELECTED ALIKE: {', '.join(sorted(ways))}", soft_wrap=True)


def _sections(
    entries: Sequence[dict[str, Any]],
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield comparisons of probes, of tuned encoders, and of one with the other, apart."""
    found: dict[int, list[dict[str, Any]]] = {0: [], 1: [], 2: []}
    for entry in entries:
        is_tuned = [entry[side]["tune"] != "none" for side in ("first_row", "second_row")]
        found[0 if not any(is_tuned) else 1 if all(is_tuned) else 2].append(entry)
    for title, section in zip(("", TUNED, MIXED), found.values(), strict=True):
        if section:
            yield title, section


def _table(entries: Sequence[dict[str, Any]]) -> Table:
    table = Table(show_lines=True)
    for heading in ("first", "second", "metric"):
        table.add_column(heading, overflow="fold")
    for heading in ("first", "second", "second - first", "p", "p (Holm)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for entry in entries:
        difference = _number(entry["difference"], "+.3f")
        if entry["ci"]:
            difference += "\n{:+.3f} to {:+.3f}".format(*entry["ci"])
        elif entry["difference"] is not None:
            difference += f"\n{NO_INTERVAL}"
        missing = UNDEFINED if entry["difference"] is None else "not computed"
        table.add_row(
            *(_told(entry[side]) for side in ("first_row", "second_row")),
            entry["metric"],
            _number(entry["first"]),
            _number(entry["second"]),
            difference,
            _number(entry["p"], missing=missing),
            _number(entry["p_holm"], missing=missing),
        )
    return table


def _pairs(runs: Sequence[SavedRun], rows: Sequence[str]) -> list[Pair]:
    first, last = runs[0], runs[-1]
    if rows:
        if len(rows) != 2:
            raise InputError(f"--rows takes two names, got {len(rows)}: {', '.join(rows)}")
        return [(choose_row(first, rows[0]), choose_row(last, rows[1]))]
    if len(runs) == 1:
        reference, *others = first.rows.values()
        if not others:
            raise InputError(f"{first.path} has one row, {reference.name!r}: name a second run")
        return [(reference, other) for other in others]
    if len(first.rows) == len(last.rows) == 1:
        return [(next(iter(first.rows.values())), next(iter(last.rows.values())))]
    for key in (_name, _name_without_place):
        mine, theirs = ({key(row): row for row in run.rows.values()} for run in (first, last))
        unique = len(mine) == len(first.rows) and len(theirs) == len(last.rows)
        shared = [name for name in mine if name in theirs]
        if unique and shared:
            return [(mine[name], theirs[name]) for name in shared]
    raise InputError(
        f"no row of {first.path} ({', '.join(first.rows)}) has its like in {last.path} "
        f"({', '.join(last.rows)}): choose two with --rows"
    )


def _name(row: SavedRow) -> str:
    return row.name


def _name_without_place(row: SavedRow) -> str:
    """Two encoders differ in depth, and in what their cards say is read."""
    return row.name.replace(f"-{place_name(row.row['layer'], row.row['source'])}", "")


def _refuse_other_task(first: SavedRun, second: SavedRun) -> None:
    one, other = first.results["data"], second.results["data"]
    for key, what in (("label", "the labels"), ("classes", "the classes")):
        if one[key] != other[key]:
            raise InputError(
                f"{first.path} and {second.path} cannot be compared: {what} differ: {one[key]} "
                f"against {other[key]}"
            )


def _aligned(first: SavedRow, second: SavedRow) -> list[Predictions]:
    """Return the second's predictions in the first's order of images."""
    problem = _difference(first, second)
    if problem:
        raise InputError(f"{first.run} and {second.run} cannot be compared: {problem}")
    at = {image: position for position, image in enumerate(second.image_ids)}
    order = np.array([at[image] for image in first.image_ids])
    return [Predictions(run.probabilities[order], run.targets[order]) for run in second.predictions]


def _difference(first: SavedRow, second: SavedRow) -> str | None:
    ids, others = set(first.image_ids), set(second.image_ids)
    if ids != others:
        parts = [
            f"{len(only)} test images only in {run} (such as {min(only)!r})"
            for only, run in ((ids - others, first.run), (others - ids, second.run))
            if only
        ]
        return "their test images differ: " + ", ".join(parts)
    for what, values in (("class", "targets"), ("group", "groups")):
        mine, theirs = (
            dict(zip(row.image_ids, _column(row, values), strict=True)) for row in (first, second)
        )
        if what == "group" and len(set(mine.values())) == len(set(theirs.values())) == len(mine):
            continue  # no groups on either side: each image stands for itself
        differing = [image for image in mine if mine[image] != theirs[image]]
        if differing:
            image = differing[0]
            return (
                f"the {what} of {len(differing)} test images differs, such as {image!r}: "
                f"{mine[image]} against {theirs[image]}"
            )
    return None


def _column(row: SavedRow, name: str) -> np.ndarray:
    return row.groups if name == "groups" else row.predictions[0].targets


def _label(row: SavedRow) -> dict[str, Any]:
    told = ("name", "labels", "selected", "picked", "settings")
    read = {"inputs": row.inputs, "tune": row.tune}
    return {"run": str(row.run), **read, **{key: row.row[key] for key in told}}


def _told(side: dict[str, Any]) -> str:
    return f"{side['name']}\n{side['run']}\ninputs {side['inputs']}, {side['selected']}"


def _number(value: float | None, form: str = ".3f", *, missing: str = UNDEFINED) -> str:
    return missing if value is None else format(value, form)
