"""Leaderboards as a page: who is first and by how much, a figure, and the table to sort."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from toolkit_common.pages import charts
from toolkit_common.pages.page import render
from toolkit_common.pages.rank_charts import standings
from toolkit_common.runs.files import write_text
from toolkit_common.scores.metrics import metric_name
from toolkit_probing.leaderboard.boards import Board
from toolkit_probing.leaderboard.first import entries_of, say_first
from toolkit_probing.leaderboard.show import cells, lines_below
from toolkit_probing.leaderboard.standings import Standing
from toolkit_probing.published.beside import CAPTION
from toolkit_probing.reports.claim import warnings
from toolkit_probing.results.names import method_heading

MOST_DRAWN = 60  # encoders of a figure; the table has all
MOST_METHODS = len(charts.HUES)  # of a figure: a ninth would have the hue of the first


@dataclass(frozen=True)
class _Shown:
    """A board of the page."""

    id: str
    title: str
    facts: str
    claim: str
    warnings: Sequence[str]
    figure: Markup
    heads: Sequence[tuple[str, bool]]
    rows: Sequence[Sequence[tuple[str, bool]]]
    notes: Sequence[str]


def write_page(path: Path, boards: Sequence[Board], missing: Sequence[str]) -> None:
    """Write leaderboards as one page.

    Args:
        path: Of the page.
        boards: The leaderboards, that which leads first.
        missing: A line on the cells that a study lacks.

    Raises:
        InputError: If nothing draws its figures, or predictions cannot be read.
    """
    shown = [_shown(number, board) for number, board in enumerate(boards, 1)]
    lines = [f"{line}." for line in missing]
    text = render(
        "toolkit_probing.leaderboard",
        "page.html",
        title="Leaderboard" if len(boards) == 1 else f"{len(boards)} leaderboards",
        missing=lines,
        boards=shown,
    )
    write_text(path, text)


def _shown(number: int, board: Board) -> _Shown:
    heads, rows = cells(board)
    return _Shown(
        id=f"board-{number}",
        title=board.title,
        facts=board.facts,
        claim=say_first(board),
        warnings=list(_warnings(board)),
        figure=_figure(board),
        heads=heads,
        rows=rows,
        notes=lines_below(board),
    )


def _warnings(board: Board) -> Iterator[str]:
    own = [item for item in board.standings if item.judged is not None]
    runs = {run.path: run for item in own if item.judged for run in item.judged.runs}
    yield from warnings(list(runs.values()), entries_of(own, board))


def _figure(board: Board) -> Markup:
    drawn, methods = board.standings[:MOST_DRAWN], board.methods[:MOST_METHODS]
    rows = [
        {
            "name": _name(item), "method": method_heading(method), "value": figure.value,
            "low": figure.interval and figure.interval[0],
            "high": figure.interval and figure.interval[1],
            "origin": f"{item.origin}*" if item.stochastic else item.origin,
        }
        for item in drawn
        for method, figure in ((name, item.figures.get(name)) for name in methods)
        if figure is not None and figure.value is not None
    ]  # fmt: skip
    name = metric_name(board.metric)
    caption = CAPTION if board.has_published else "Lines: 95 % intervals by bootstrap over groups."
    if len(drawn) < len(board.standings):
        caption += f" The first {len(drawn)} of {len(board.standings)}."
    if len(methods) < len(board.methods):
        caption += f" By the first {len(methods)} of {len(board.methods)} methods."
    label = f"{name} of {len(drawn)} encoders by {', '.join(map(method_heading, methods))}"
    return charts.figure(standings(rows, x=name), label=label, caption=caption)


def _name(item: Standing) -> str:
    return f"{item.encoder} (untrained)" if item.is_random else item.encoder
