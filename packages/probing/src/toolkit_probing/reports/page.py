"""A report as one HTML file that needs nothing beside it: tables, and pictures as data."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from toolkit_common.runs.files import write_text
from toolkit_probing.reports.figures import (
    curves_of,
    draw_confusion,
    draw_curves,
    draw_reliability,
    to_png,
)
from toolkit_probing.reports.tables import intervals_told, run_line, sections, subgroup_name
from toolkit_probing.results.rows import format_estimate
from toolkit_probing.results.saved import SavedRun, find_runs
from toolkit_probing.training.steps import training_phrase

CURVE_METRIC = "balanced_accuracy"
MAX_PICTURED = 12  # rows of a run that get pictures of their own
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border-bottom: 1px solid #ccc; padding: .3rem .7rem; text-align: left; vertical-align: top;
  white-space: pre-line; }
td.figure, th.figure { text-align: right; font-variant-numeric: tabular-nums; }
figure { display: inline-block; margin: .5rem; } img { max-width: 100%; }
.scroll { overflow-x: auto; }
"""


def write_html(path: Path, report: dict[str, Any], runs: Sequence[Path]) -> None:
    """Write a report (`toolkit_probing.reports.tables.build_report`) with pictures of its runs."""
    body = [
        "<h1>Probes of frozen encoders</h1>",
        *_paragraphs([run_line(run) for run in report["runs"]]),
        "<p>Means over repeats (&plusmn; standard deviation).</p>",
        *_paragraphs(intervals_told(report)),
        *(
            part
            for title, entries in sections(report["rows"])
            for part in (*([f"<h2>{title}</h2>"] if title else []), _table(report, entries))
        ),
        *(part for run in find_runs(runs) for part in _pictures(run)),
        *_paragraphs(dict.fromkeys(note for run in report["runs"] for note in run["notes"])),
    ]
    write_text(
        path,
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>Probes</title>"
        f"<style>{STYLE}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n",
    )


def _paragraphs(lines: Any) -> list[str]:
    return [f"<p>{escape(line)}</p>" for line in lines]


def _table(report: Mapping[str, Any], entries: Sequence[dict[str, Any]]) -> str:
    told = ["run", "row", "inputs", "images of", "labels", "selected", "picked"]
    headings = [f"<th>{name}</th>" for name in told]
    headings += [
        f"<th class='figure'>{escape(name.replace('_', ' '))}</th>"
        for name in ("images", "groups", *report["metrics"])
    ]
    lines = ["".join(headings)]
    for entry in entries:
        settings = ", ".join(f"{key} {value}" for key, value in entry["settings"].items())
        settings += f"; {training_phrase(entry['training'])}" if entry["training"] else ""
        cells = [
            entry["run"], entry["name"], entry["inputs"], subgroup_name(entry), entry["labels"],
            entry["selected"], f"{settings} ({entry['picked']})",
        ]  # fmt: skip
        figures = [str(entry["num_images"]), str(entry["num_groups"])]
        figures += [format_estimate(entry["metrics"][name]) for name in report["metrics"]]
        lines.append(
            "".join(f"<td>{escape(cell)}</td>" for cell in cells)
            + "".join(f"<td class='figure'>{escape(cell)}</td>" for cell in figures)
        )
    rows = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f"<div class='scroll'><table>{rows}</table></div>"


def _pictures(run: SavedRun) -> Iterator[str]:
    yield f"<h2>{escape(str(run.path))}</h2>"
    for axis in ("layer", "num_train"):
        curves = curves_of(run.results["rows"], axis, CURVE_METRIC)
        if curves:
            yield _image(draw_curves(curves, axis, CURVE_METRIC), f"{CURVE_METRIC} over {axis}")
    rows = list(run.rows.values())
    classes = run.results["data"]["classes"]
    for row in rows[:MAX_PICTURED]:
        if not all(item.is_finite for item in row.predictions):
            yield f"<p>No pictures of {escape(row.name)}: it predicts no finite probabilities.</p>"
            continue
        yield _image(draw_reliability(row.predictions, row.name), f"reliability of {row.name}")
        picture = draw_confusion(row.predictions, classes, row.name)
        yield _image(picture, f"confusion of {row.name}")
    if len(rows) > MAX_PICTURED:
        yield f"<p>Pictures of the first {MAX_PICTURED} of {len(rows)} rows.</p>"


def _image(figure: Figure, title: str) -> str:
    data = base64.b64encode(to_png(figure)).decode()
    return f"<figure><img alt='{escape(title)}' src='data:image/png;base64,{data}'></figure>"
