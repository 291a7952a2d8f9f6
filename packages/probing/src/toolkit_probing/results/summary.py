"""What results.json says of a run beside its figures, and what of it all is shown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from toolkit_common.backbones.contract import BackboneInfo
from toolkit_common.cli.command import Invocation
from toolkit_common.console import result_console
from toolkit_common.data.labels import LABEL, label_map
from toolkit_common.runs.folder import RunFolder
from toolkit_probing.methods.baselines import BASELINES_READ
from toolkit_probing.methods.tuned import describe_tuning
from toolkit_probing.protocols import describe_protocol, protocol_line
from toolkit_probing.results.rows import (
    SHOWN,
    Outcome,
    result_row,
    results_table,
    why_no_intervals,
)
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.task import Task
from toolkit_probing.training.steps import Shortfall, training_lines

WHOLE_DRAW = "all-draw0"  # part of the log of heads that learned from all labels


def describe_run(
    settings: ProbeSettings, task: Task, info: BackboneInfo, *, shortfall: Shortfall | None
) -> dict[str, Any]:
    """Return what was judged, on what, how."""
    return {
        "protocol": describe_protocol(settings, unmet=shortfall.phrase if shortfall else None),
        "data": {
            "id": task.data.id,
            "label": task.labels.name,
            "classes": list(task.labels.classes),
            "label_map": label_map(task.data) if task.labels.name == LABEL else {},
            "splits": task.splits.origin,
            "sizes": {name: len(task.splits[name]) for name in ("train", "val", "test")},
            "num_test_groups": int(np.unique(task.groups_of("test")).size),
            "licence": task.data.sheet.licence,
        },
        "backbone": {
            "id": info.id,
            "facts": asdict(info.facts),
            "card": asdict(info.card),
            "preprocess": asdict(info.preprocess),
            "weights": asdict(info.receipt),
            "random_weights": info.receipt.is_random,
        },
        "notes": [*task.data.sheet.notes, *([shortfall.note] if shortfall else [])],
        "tuning": describe_tuning(settings, len(task.splits.train)),
    }


def judged_rows(
    outcomes: Sequence[Outcome], task: Task, *, selected_on: str, inputs: str
) -> list[dict[str, Any]]:
    """Return the entries of results.json of some outcomes.

    Args:
        outcomes: Predictions for the task's test split.
        task: The task.
        selected_on: The split that picked.
        inputs: What was read.
    """
    targets, groups = task.targets_of("test"), task.groups_of("test")
    rows = [result_row(item, targets, groups, selected_on=selected_on) for item in outcomes]
    return [{**row, "inputs": inputs} for row in rows]


def diverged_heads(run: RunFolder, metric: str) -> dict[str, int]:
    """Return the heads that in the end predicted no finite probability, and from which epoch on.

    Args:
        run: Its metrics.jsonl tells.
        metric: By which heads were picked: undefined since then.
    """
    found: dict[str, int] = {}
    log = run.path / "metrics.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    for line in map(json.loads, lines):
        draw = line["part"].partition("/")[0]
        for key, value in line[metric].items():
            name = key if draw == WHOLE_DRAW else f"{key} ({draw})"
            if value is None:
                found.setdefault(name, line["epoch"])
            else:
                found.pop(name, None)
    return found


def _diverged_line(heads: Mapping[str, int]) -> str:
    told = ", ".join(f"{name} from epoch {epoch}" for name, epoch in heads.items())
    count = "1 head" if len(heads) == 1 else f"{len(heads)} heads"
    return (
        f"DIVERGED: {count} ended without finite probabilities; the best epoch before is judged, "
        f"and a head without one is undefined (lower --lr): {told}"
    )


def show_results(
    results: Mapping[str, Any], run: RunFolder, invocation: Invocation[ProbeSettings]
) -> dict[str, Any]:
    """Show a run's results as a table, with what must be known to read it; return them."""
    data, out = results["data"], result_console(as_json=invocation.as_json)
    out.print(
        f"{results['backbone']['id']} on {data['id']} ({data['label']}): "
        f"{data['sizes']['test']} test images of {data['num_test_groups']} groups, "
        f"{protocol_line(results['protocol'])}, {results['rows'][0]['selected']}, 95 % intervals "
        "by bootstrap over groups",
        soft_wrap=True,
    )
    shown = [*results["rows"], *results["baselines"]]
    out.print(results_table(shown))
    for line in why_no_intervals(row["metrics"][name] for row in shown for name in SHOWN):
        out.print(line, soft_wrap=True)
    for line in training_lines(results["rows"]):
        out.print(line, soft_wrap=True)
    if results["baselines"]:
        out.print(BASELINES_READ)
    if results.get("tuning"):  # runs from before there was any have none
        told = ", ".join(f"{key} {value}" for key, value in results["tuning"].items())
        out.print(f"TUNED ENCODERS ({told}): tuning, not to be ranked with probes", soft_wrap=True)
    if results.get("diverged"):
        out.print(_diverged_line(results["diverged"]), soft_wrap=True)
    if results["backbone"]["random_weights"]:
        out.print("RANDOM WEIGHTS: the figures judge no trained encoder")
    for note in results["notes"]:
        out.print(note, soft_wrap=True)
    out.print(f"run folder: {run.path}", soft_wrap=True)
    return {**results, "run": str(run.path)}
