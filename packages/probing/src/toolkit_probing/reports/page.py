"""A report as one page that needs nothing beside it: the answer first, then what it rests on.

How it looks stands in `page.html`, its figures in `toolkit_probing.reports.evidence`; what it shows
is put together here.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from toolkit_common.data.dataset import ImageData
from toolkit_common.errors import InputError
from toolkit_common.pages.page import render
from toolkit_common.pages.provenance import command_of, origin
from toolkit_common.runs.files import read_json, write_text
from toolkit_common.scores.metrics import metric_name
from toolkit_common.seen.check import mark
from toolkit_probing.attention.mistakes import Mistakes, OpenImages, show_mistakes
from toolkit_probing.methods import METHODS
from toolkit_probing.reports import evidence, trends
from toolkit_probing.reports.claim import claim, warnings
from toolkit_probing.reports.data.card import data_cards
from toolkit_probing.reports.entries import (
    Differences,
    Entry,
    differences_of,
    entries_of,
    most_labels,
)
from toolkit_probing.reports.recomputed import Recomputed, Report, selected_in
from toolkit_probing.reports.tables import interval_lines, sections
from toolkit_probing.results.layout import show_estimate
from toolkit_probing.results.names import encoder_name
from toolkit_probing.results.rows import Row
from toolkit_probing.results.saved import SavedRun
from toolkit_probing.training.plan import describe_training

HEADLINE = ("auroc", "balanced_accuracy")  # the first that a report has leads its page

Section = tuple[str, str, list[Markup]]


def write_html(
    path: Path,
    report: Report,
    *,
    data: ImageData | None = None,
    open_images: OpenImages | None = None,
    pictures: bool = True,
) -> None:
    """Write a report as a page.

    Args:
        path: Of the page.
        report: What it shows.
        data: The data of its runs, where they are loaded already.
        open_images: Gives a run's test images, for the worst mistakes; None for none of these.
        pictures: Whether the page may show images at all.

    Raises:
        InputError: If it has no metric, or nothing draws its figures.
    """
    entries, metric = entries_of(report), headline(report)
    differences = differences_of(entries, metric)
    encoders = dict.fromkeys(encoder_name(run.results.backbone.shown) for run in report.runs)
    text = render(
        "toolkit_probing.reports",
        "page.html",
        title=f"Probes of {', '.join(encoders)}",
        claim=claim(entries, differences, metric),
        warnings=list(warnings(report.runs, entries)),
        facts=list(dict.fromkeys(_facts(report))),
        sections=[
            section
            for section in _sections(report, entries, differences=differences, metric=metric)
            if section[2]
        ],
        mistakes=pictures
        and open_images
        and _mistakes(report, entries, metric, open_images=open_images),
        notes=interval_lines(report),
        tables=_tables(report, entries),
        metrics=[metric_name(name) for name in report.metrics],
        by=report.by,
        runs=[
            _run(run, card)
            for run, card in zip(
                report.runs, data_cards(report.runs, data, pictures=pictures), strict=True
            )
        ],
        citations=list(_citations(report)),
    )
    write_text(path, text)


def headline(report: Report) -> str:
    """Return the metric that leads a report.

    Raises:
        InputError: If it has none.
    """
    if not report.metrics:
        raise InputError("a page needs a metric besides confusion: add one to --metric")
    return next((name for name in HEADLINE if name in report.metrics), report.metrics[0])


def _facts(report: Report) -> Iterator[str]:
    for run in report.runs:
        data, protocol = run.results.data, run.results.protocol
        yield (
            f"{data.id}, {data.label}: {data.sizes['test']} test images of {data.num_test_groups} "
            f"groups, {len(data.classes)} classes; {most_labels(run)}; {protocol.line}; "
            f"{', '.join(selected_in(run))}."
        )


def _sections(
    report: Report, entries: Sequence[Entry], *, differences: Differences | None, metric: str
) -> Iterator[Section]:
    first = [evidence.forest(entries, metric)]
    if differences is not None:
        first.append(evidence.difference_matrix(differences, metric))
    yield "methods", "Methods", first
    front = evidence.pareto(entries, metric)
    yield "parameters", "Accuracy against parameters", [front] if front else []
    classes = [str(name) for name in report.runs[0].results.data.classes]
    # Runs of other classes have no panel in common.
    alike = [item for item in entries if _classes(report, item) == classes]
    yield "roc", "ROC and precision-recall", list(evidence.roc_and_pr(alike, classes))
    yield "calibration", "Calibration", list(evidence.calibration(entries))
    yield "retrieval", "Retrieval", list(evidence.retrieval(entries))
    yield "confusion", "Confusion", list(evidence.confusions(alike, classes))
    recalls = evidence.recalls(alike, classes)
    yield "recall", "Recall of each class", [recalls] if recalls else []
    yield "subgroups", "Subgroups", list(trends.subgroups(report, entries, metric))
    curves = [figure for run in report.runs for figure in trends.curves(report, run, metric)]
    yield "curves", "Few labels, layers, hidden metadata", curves
    learning = [figure for run in report.runs for figure in trends.learning(run, entries)]
    yield "learning", "Learning curves", learning


def _mistakes(
    report: Report, entries: Sequence[Entry], metric: str, *, open_images: OpenImages
) -> Mistakes | None:
    """Return the mistakes of the probe that the forest plot has first of those that read images."""
    best = next(
        (
            item
            for item in evidence.ranked(entries, metric)
            if item.kind == "probe" and item.row.inputs.startswith("image")
        ),
        None,
    )
    if best is None:
        return None
    (run,) = (run for run in report.runs if run.path == best.saved.run)
    return show_mistakes(run, best.saved, name=best.name, open_images=open_images)


def _classes(report: Report, item: Entry) -> list[str]:
    (run,) = (run for run in report.runs if run.path == item.saved.run)
    return [str(name) for name in run.results.data.classes]


def _tables(report: Report, entries: Sequence[Entry]) -> list[tuple[str, list[dict[str, Any]]]]:
    names = {(item.saved.run, item.row.name): item.name for item in entries}
    return [
        (title, [_line(report, item, names.get((item.run, item.row.name))) for item in rows])
        for title, rows in sections(report.rows)
    ]


def _line(report: Report, item: Recomputed, name: str | None) -> dict[str, Any]:
    run = f" \u00b7 {item.run.name}" if len(report.runs) > 1 else ""
    return {
        "name": mark(name or f"{item.row.name}{run}", item.row.seen, between=" "),
        "images": item.images,
        "figures": [
            (
                item.metrics[key].mean if item.metrics[key].mean is not None else "",
                mark(_one_line(item, key), item.row.seen, between=" "),
            )
            for key in report.metrics
        ],
        "num_parameters": item.row.num_parameters,
        "labels": item.row.labels,
        "picked": _picked(item.row),
        "num_images": item.num_images,
        "num_groups": item.num_groups,
    }


def _one_line(item: Recomputed, key: str) -> str:
    return show_estimate(item.metrics[key]).replace("\n", ", ")


def _picked(row: Row) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in row.settings.items())
    if row.training is not None:
        settings += f"; {describe_training([row.training])}"
    return f"{settings} ({row.picked})"


def _run(run: SavedRun, card: Markup) -> dict[str, Any]:
    results, facts = run.results, read_json(run.path / "run.json")
    seeds = dict.fromkeys(str(seed) for row in results.rows for seed in row.seeds)
    return {
        "name": run.path.name,
        "card": card,
        "notes": results.notes,
        "selection": [
            ("protocol", results.protocol.line),
            ("selected", ", ".join(selected_in(run))),
            ("picked", "; ".join(dict.fromkeys(row.picked for row in results.rows))),
            ("seeds", ", ".join(seeds)),
        ],
        "provenance": [*_cost(run), *origin(facts)],
        "command": command_of(facts),
    }


def _cost(run: SavedRun) -> Iterator[tuple[str, str]]:
    backbone, cost = run.results.backbone, run.results.cost
    yield "encoder", backbone.id
    source = str(backbone.weights.get("source", ""))
    yield "weights", "random" if backbone.random_weights else source
    seconds = run.results.features.get("seconds")
    apart = f", features {seconds:.0f} s" if isinstance(seconds, float | int) else ""
    yield "time", f"all methods {cost.seconds:.0f} s{apart}"
    yield "peak memory", f"{cost.peak_memory_bytes / 2**30:.2f} GiB"


def _citations(report: Report) -> Iterator[tuple[str, str]]:
    methods = dict.fromkeys(row.method for run in report.runs for row in run.results.rows)
    for name in methods:
        if name in METHODS and METHODS[name].source:
            yield METHODS[name].title, METHODS[name].source
