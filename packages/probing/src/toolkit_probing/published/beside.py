"""Published rows beside one's own: of runs of the same data under their protocol, and no others."""

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Any

from markupsafe import Markup

from toolkit_common.pages import charts
from toolkit_common.pages.rank_charts import standings
from toolkit_common.printable import counted
from toolkit_common.scores.metrics import metric_name
from toolkit_probing.published.rows import METHODS, Published, read_published
from toolkit_probing.results.names import encoder_name, method_heading, short_names
from toolkit_probing.results.rows import Row
from toolkit_probing.results.saved import SavedRun, names_of
from toolkit_probing.task.subsets import ALL

PUBLISHED_METRIC = "top1"
CAPTION = (
    "Filled: measured here, with 95 % intervals. Hollow: published, not measured here, of one "
    "training each; published* of encoders of which layers were random while heads trained."
)


def is_beside(run: SavedRun, published: Published) -> bool:
    """Return whether a run is of a frozen encoder, the data and the protocol of published rows."""
    results = run.results
    if results.folds:  # of which none is the published split
        return False
    protocol, data = results.protocol, results.data
    is_own = not protocol.overridden and protocol.unmet is None
    sizes = {"train": data.sizes["train"], "test": data.sizes["test"]}
    differs = published.data.differs_in(classes=len(data.classes), **sizes)
    is_whole = all(
        row.inputs == "image" and row.labels == ALL and not row.is_tuned for row in results.rows
    )
    return protocol.name == published.protocol and is_own and is_whole and not differs


def preferred_rows(rows: Sequence[Row]) -> dict[str, Row]:
    """Return the row of each method that the selection split prefers, the first of those alike."""
    return {
        method: max(
            (row for row in rows if row.method == method),
            key=lambda row: -inf if row.select_score is None else row.select_score,
        )
        for method in dict.fromkeys(row.method for row in rows)
    }


def name_preferred(
    run: SavedRun, rows: Sequence[Row], preferred: Mapping[str, Row]
) -> Iterator[str]:
    """Yield which row stands for a method, of those that have several."""
    name = encoder_name(run.results.backbone.shown)
    shown = {row.name: short for row, short in zip(rows, short_names(rows), strict=True)}
    for method, row in preferred.items():
        count = sum(other.method == method for other in rows)
        if count > 1:
            yield f"{name}: {shown[row.name]}, of {count} variants the one {row.selected}"


def beside_published(runs: Sequence[SavedRun], published: Published | None = None) -> list[Markup]:
    """Return a figure and a table of runs beside published rows; nothing where none may stand so.

    Args:
        runs: The runs of a page.
        published: The rows; those of Efficient Probing without it.
    """
    rows = published or read_published()
    mine = [run for run in runs if is_beside(run, rows)]
    if not mine:
        return []
    points = sorted([*_own(mine), *_published(rows)], key=lambda item: -item["value"])
    order = {name: at for at, name in enumerate(_by_ep(points))}
    points.sort(key=lambda item: order[item["name"]])
    name = metric_name(PUBLISHED_METRIC)
    label = f"{name} of {counted(len(mine), 'run')} beside {len(rows.rows)} published rows"
    figure = charts.figure(standings(points, x=name), label=label, caption=CAPTION)
    chosen = [line for run in mine for line in name_preferred(
        run, run.results.rows, preferred_rows(run.results.rows))]  # fmt: skip
    source = f"Published: {rows.citation}; {'; '.join(rows.notes)}"
    return [figure, _table(points, label, "; ".join([source, *chosen]))]


def _own(runs: Sequence[SavedRun]) -> Iterator[dict[str, Any]]:
    for run, name in zip(runs, names_of(runs), strict=True):
        for method, row in preferred_rows(run.results.rows).items():
            estimate = row.metrics[PUBLISHED_METRIC]
            if method in METHODS and estimate.mean is not None:
                low, high = estimate.ci or (None, None)
                yield _point(name, method, estimate.mean, origin="here") | {
                    "low": low,
                    "high": high,
                }


def _published(published: Published) -> Iterator[dict[str, Any]]:
    for row in published.rows.values():
        origin = "published*" if row.stochastic else "published"
        for method in METHODS:
            yield _point(row.title, method, row.top1(method) / 100, origin=origin)


def _point(name: str, method: str, value: float, *, origin: str) -> dict[str, Any]:
    return {
        "name": name, "method": method_heading(method), "value": value, "origin": origin,
        "low": None, "high": None,
    }  # fmt: skip


def _by_ep(points: Sequence[dict[str, Any]]) -> list[str]:
    """Return names, those of the best EP first, then those without EP by what they have."""
    of_ep = [item["name"] for item in points if item["method"] == method_heading("ep")]
    return list(dict.fromkeys([*of_ep, *(item["name"] for item in points)]))


def _table(points: Sequence[dict[str, Any]], label: str, source: str) -> Markup:
    methods = [method_heading(method) for method in METHODS]
    lines = dict.fromkeys((item["name"], item["origin"]) for item in points)
    values = {(item["name"], item["origin"], item["method"]): item for item in points}
    head = Markup("").join(Markup('<th scope="col" class="n">{}</th>').format(m) for m in methods)
    body = Markup("").join(
        Markup("<tr><td>{}</td><td>{}</td>{}</tr>").format(
            *line,
            Markup("").join(
                Markup('<td class="n">{}</td>').format(_cell(values.get((*line, method))))
                for method in methods
            ),
        )
        for line in lines
    )
    return Markup(
        '<div><div class="scroll" tabindex="0" role="region" aria-label="Table: {}">'
        '<table data-sortable><thead><tr><th scope="col">encoder</th><th scope="col">measured</th>'
        '{}</tr></thead><tbody>{}</tbody></table></div><p class="note">{}.</p></div>'
    ).format(label, head, body, source)


def _cell(item: dict[str, Any] | None) -> str:
    if item is None:
        return "-"
    interval = "" if item["low"] is None else " [{low:.3f}, {high:.3f}]".format(**item)
    return f"{item['value']:.4f}{interval}"
