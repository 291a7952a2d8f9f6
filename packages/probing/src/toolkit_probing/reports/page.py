"""A report as one page that needs nothing beside it: the answer first, then what it rests on.

How it looks stands in `page.html`, its figures in `toolkit_probing.reports.evidence`; what it shows
is put together here.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from toolkit_common.data.dataset import ImageData
from toolkit_common.pages.page import render
from toolkit_common.pages.provenance import command_of, origin
from toolkit_common.printable import counted
from toolkit_common.runs.files import write_text
from toolkit_common.scores.metrics import metric_name
from toolkit_common.seen.check import mark
from toolkit_common.study.show import notes as study_notes
from toolkit_common.study.show import to_cells
from toolkit_common.study.table import build_table, pick_tables
from toolkit_probing.arms.find import Arms
from toolkit_probing.attention.mistakes import Mistakes, OpenImages, show_mistakes
from toolkit_probing.methods import METHODS
from toolkit_probing.published.beside import beside_published
from toolkit_probing.reports import evidence, trends
from toolkit_probing.reports.answer import Answer
from toolkit_probing.reports.claim import warnings
from toolkit_probing.reports.data.card import data_cards
from toolkit_probing.reports.entries import NO_IMAGE, Entry, most_labels
from toolkit_probing.reports.recomputed import Recomputed, Report, inputs_of, selected_in
from toolkit_probing.reports.tables import interval_lines, names_of_rows, sections
from toolkit_probing.results.layout import show_estimate
from toolkit_probing.results.names import encoder_name, short_data
from toolkit_probing.results.rows import Row
from toolkit_probing.results.saved import SavedRun
from toolkit_probing.training.plan import describe_training

Section = tuple[str, str, list[Markup]]


def write_html(
    path: Path,
    report: Report,
    answer: Answer,
    *,
    data: ImageData | None = None,
    open_images: OpenImages | None = None,
    pictures: bool = True,
) -> None:
    """Write a report as a page.

    Args:
        path: Of the page.
        report: What it shows.
        answer: What it leads with.
        data: The data of its runs, where they are loaded already.
        open_images: Gives a run's test images, for the worst mistakes; None for none of these.
        pictures: Whether the page may show images at all.

    Raises:
        InputError: If nothing draws its figures.
    """
    entries, metric, study = answer.entries, answer.metric, report.arms.study
    encoders = dict.fromkeys(encoder_name(run.results.backbone.shown) for run in report.runs)
    text = render(
        "toolkit_probing.reports",
        "page.html",
        title=study.spec.question if study else f"Probes of {', '.join(encoders)}",
        claim=answer.text,
        warnings=list(warnings(report.runs, entries, report.arms.missing)),
        study_tables=list(_study_tables(report.arms)),
        facts=list(dict.fromkeys(_facts(report))),
        sections=[section for section in _sections(report, answer) if section[2]],
        mistakes=pictures
        and open_images
        and _mistakes(report, entries, metric, open_images=open_images),
        notes=interval_lines(report),
        tables=_tables(report, entries),
        shared=_shared(report),
        metrics=[metric_name(name) for name in report.metrics],
        by=report.by,
        cards=data_cards(
            {report.names[run.path]: run for run in report.runs}, data, pictures=pictures
        ),
        runs=[_run(run, report.names[run.path]) for run in report.runs],
        citations=list(_citations(report)),
    )
    write_text(path, text)


def _facts(report: Report) -> Iterator[str]:
    for run in report.runs:
        data, protocol = run.results.data, run.results.protocol
        group = f"{data.grouped_by or 'group'}s"
        yield (
            f"{short_data(data.id)}, {data.label}: {counted(data.sizes['test'], 'test image')} of "
            f"{data.num_test_groups:,} {group}{_of_folds(run)}, {len(data.classes)} classes; "
            f"{most_labels(run)}; {protocol.line}; "
            f"{', '.join(selected_in(run))}."
        )


def _of_folds(run: SavedRun) -> str:
    count = len(run.results.folds)
    return f", each tested once in {count} folds" if count else ""


def _sections(report: Report, answer: Answer) -> Iterator[Section]:
    entries, metric, differences = answer.entries, answer.metric, answer.differences
    first = [evidence.forest(entries, metric)]
    if differences is not None:
        first.append(evidence.difference_matrix(differences, metric))
    yield "methods", "Methods", first
    yield "published", "Beside published rows", beside_published(report.runs)
    front = evidence.pareto(entries, metric)
    yield "parameters", "Accuracy against parameters", [front] if front else []
    classes = [str(name) for name in report.runs[0].results.data.classes]
    # Where there is no room for all, what was learned comes before random weights.
    random = {run.path for run in report.runs if run.results.backbone.random_weights}
    learned_first = sorted(entries, key=lambda item: item.saved.run in random)
    # Runs of other classes have no panel in common.
    alike = [item for item in learned_first if _classes(report, item) == classes]
    some = evidence.how_many(alike)
    yield "roc", f"ROC and precision-recall{some}", list(evidence.roc_and_pr(alike, classes))
    reliable = f"Calibration{evidence.how_many(entries)}"
    yield "calibration", reliable, list(evidence.calibration(learned_first))
    yield "retrieval", "Retrieval", list(evidence.retrieval(entries))
    yield "confusion", f"Confusion{some}", list(evidence.confusions(alike, classes))
    recalls = evidence.recalls(alike, classes)
    yield "recall", f"Recall of each class{some}", [recalls] if recalls else []
    yield "subgroups", "Subgroups", list(trends.subgroups(report, entries, metric))
    curves = [figure for run in report.runs for figure in trends.curves(report, run, metric)]
    yield "curves", "Few labels, layers, hidden metadata", curves
    learning = [figure for run in report.runs for figure in trends.learning(run, entries)]
    yield "learning", "Learning curves", learning


def _mistakes(
    report: Report, entries: Sequence[Entry], metric: str, *, open_images: OpenImages
) -> Mistakes | None:
    """Return the mistakes of the probe that the forest plot has first of those that read images.

    Of a tuned encoder where nothing else was judged.
    """
    ranked = evidence.ranked(entries, metric)
    best = next(
        (
            item
            for item in sorted(ranked, key=lambda item: item.kind != "probe")
            if item.kind != NO_IMAGE and item.row.inputs.startswith("image")
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
    names = names_of_rows(report) | {(item.saved.run, item.row.name): item.name for item in entries}
    return [
        (title, [_line(report, item, names[item.run, item.row.name]) for item in rows])
        for title, rows in sections(report.shown_rows)
    ]


def _shared(report: Report) -> dict[str, str]:
    """Return what all rows share, so that no column repeats it."""
    rows = report.rows
    labels = {item.row.labels for item in rows}
    sizes = {(item.num_images, item.num_groups) for item in rows}
    shared = {}
    if len(labels) == 1:
        shared["labels"] = min(labels)
    if len(sizes) == 1:
        images, groups = sizes.pop()
        shared["num_images"] = f"{counted(images, 'test image')} of {counted(groups, 'group')}"
    return shared


def _line(report: Report, item: Recomputed, name: str) -> dict[str, Any]:
    return {
        "name": mark(name, item.row.seen, between=" "),
        "images": item.images,
        "figures": [
            (
                item.metrics[key].mean if item.metrics[key].mean is not None else "",
                mark(show_estimate(item.metrics[key]), item.row.seen, between=" "),
            )
            for key in report.metrics
        ],
        "num_parameters": item.row.num_parameters,
        "labels": item.row.labels,
        "picked": _picked(item.row),
        "num_images": item.num_images,
        "num_groups": item.num_groups,
    }


def _picked(row: Row) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in row.settings.items())
    if row.training is not None:
        settings += f"; {describe_training([row.training])}"
    return f"{settings} ({row.picked})"


def _study_tables(arms: Arms) -> Iterator[tuple[str, list[str], list[list[str]], list[str]]]:
    """Yield the tables of a study: title, headings, cells, and what must be known to read them."""
    if arms.study is None:
        return
    for name in pick_tables(arms.study, None, arms.cells):
        table = build_table(arms.study, name, arms.cells, statuses=arms.statuses or {})
        title = table.spec.title or arms.study.spec.question
        yield title, *to_cells(table), study_notes(arms.study, table)


def _run(run: SavedRun, name: str) -> dict[str, Any]:
    results, facts = run.results, run.recorded
    seeds = dict.fromkeys(str(seed) for row in results.rows for seed in row.seeds)
    return {
        "name": name,
        "notes": results.notes,
        "selection": [
            ("read", ", ".join(inputs_of(run))),
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
