"""Leaderboards in a terminal, as Markdown, LaTeX, CSV and JSON."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from toolkit_common.console import Column, print_columns
from toolkit_common.pages.paste import Bold, latex, latex_table, markdown_table
from toolkit_common.printable import markdown
from toolkit_common.scores.statistics import UNDEFINED
from toolkit_common.seen.check import mark
from toolkit_probing.leaderboard.boards import Board
from toolkit_probing.leaderboard.standings import Figure, Standing
from toolkit_probing.results.layout import PAIR, best_rows
from toolkit_probing.results.names import method_heading

ABSENT = "-"


@dataclass(frozen=True)
class _Text:
    """A column of words or numbers: its heading, and whether it holds numbers."""

    heading: str
    cells: Sequence[str]
    bold: frozenset[int] = frozenset()
    is_number: bool = False


def show_boards(boards: Sequence[Board], out: Console) -> None:
    """Print leaderboards for humans, in as many parts as the width makes of each."""
    for number, board in enumerate(boards):
        if number:
            out.print()
        out.print(board.title, soft_wrap=True)
        out.print(board.facts, soft_wrap=True)
        out.print()
        first, *others = _columns(board)
        figures = [
            Column(
                item.heading, item.cells, item.bold, justify="right" if item.is_number else "left"
            )
            for item in others
        ]
        print_columns(out, [Column(first.heading, first.cells)], figures)
        out.print()
        for line in lines_below(board):
            out.print(line, soft_wrap=True)


def to_markdown(boards: Sequence[Board]) -> str:
    """Return leaderboards as Markdown, a heading and a table each."""
    return "\n".join("\n".join(_markdown(board)) + "\n" for board in boards)


def _markdown(board: Board) -> Iterator[str]:
    yield f"### {markdown(board.title)}\n"
    yield f"{markdown(board.facts)}.\n"
    columns = _columns(board)
    yield markdown_table([item.heading for item in columns], _rows(columns), align=_align(columns))
    lines = lines_below(board)
    if lines:
        yield ""
        yield from (f"- {markdown(line)}" for line in lines)


def to_latex(boards: Sequence[Board]) -> str:
    """Return leaderboards as LaTeX tables (booktabs)."""
    return "\n".join(_latex(board) for board in boards)


def _latex(board: Board) -> str:
    columns = _columns(board)
    lines = [board.title, board.facts, *lines_below(board)]
    return latex_table(
        [item.heading for item in columns],
        _rows(columns),
        caption=" ".join(latex(f"{line}.") for line in lines),
        align=_align(columns),
    )


def to_csv(boards: Sequence[Board]) -> str:
    """Return a line for each encoder and method."""
    entries = [entry for board in boards for entry in _entries(board)]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(entries[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(entries)
    return buffer.getvalue()


def to_json(boards: Sequence[Board]) -> list[dict[str, Any]]:
    """Return all that leaderboards hold."""
    return [
        {
            "title": board.title,
            "facts": board.facts,
            "metric": board.metric,
            "rows": list(_entries(board)),
            "baselines": {name: _numbers(figure) for name, figure in board.baselines},
            "notes": list(board.notes),
        }
        for board in boards
    ]


FORMATS: Mapping[str, Callable[[Sequence[Board]], str]] = {
    "md": to_markdown,
    "csv": to_csv,
    "latex": to_latex,
}


def _columns(board: Board) -> list[_Text]:
    """Return a board's columns: whose, figures, and what is known of it."""
    rows = board.standings
    columns = [_Text("encoder", [_name(item) for item in rows])]
    if board.has_published:
        columns.append(_Text("measured", [_origin(item) for item in rows]))
    kinds = [(item.origin, item.is_random) for item in rows]
    for method in board.methods:
        figures = [item.figures.get(method) for item in rows]
        values = [None if figure is None else figure.value for figure in figures]
        seen = ["" if figure is None else figure.seen for figure in figures]
        best = best_rows(values, list(zip(kinds, seen, strict=True)), board.metric)
        cells = [_cell(figure, board) for figure in figures]
        columns.append(_Text(method_heading(method), cells, frozenset(best), is_number=True))
    columns += [
        _Text("architecture", [item.architecture for item in rows]),
        _Text("family", [item.family for item in rows]),
        _Text("pre-training", [item.pretraining for item in rows]),
    ]
    for method in board.methods:
        counts = [item.figures[method].parameters if method in item.figures else 0 for item in rows]
        if any(counts):
            cells = [f"{count:,}" if count else ABSENT for count in counts]
            columns.append(_Text(f"{method_heading(method)} parameters", cells, is_number=True))
    if len(board.selected) > 1:
        columns.append(_Text("selected", [_selected(item) for item in rows]))
    return columns


def cells(
    board: Board,
) -> tuple[list[tuple[str, bool]], list[list[tuple[str, bool]]]]:
    """Return headings, with whether each is of numbers, and rows, with whether each is bold."""
    columns = _columns(board)
    heads = [(item.heading, item.is_number) for item in columns]
    return heads, [[(str(text), isinstance(text, Bold)) for text in row] for row in _rows(columns)]


def lines_below(board: Board) -> list[str]:
    """Return what stands below a board: what reads no image, and what must be known."""
    return [*_baselines(board), *board.notes]


def _rows(columns: Sequence[_Text]) -> Iterator[list[str]]:
    """Yield the cells of each row, on one line each."""
    for row in range(len(columns[0].cells)):
        cells = [item.cells[row].replace("\n", " ") for item in columns]
        yield [Bold(text) if row in item.bold else text
               for text, item in zip(cells, columns, strict=True)]  # fmt: skip


def _align(columns: Sequence[_Text]) -> str:
    return "".join("r" if item.is_number else "l" for item in columns)


def _name(item: Standing) -> str:
    return f"{item.encoder}\nRANDOM WEIGHTS" if item.is_random else item.encoder


def _origin(item: Standing) -> str:
    return f"{item.origin}*" if item.stochastic else item.origin


def _cell(figure: Figure | None, board: Board) -> str:
    if figure is None:
        return ABSENT
    # Beside published figures, of which none has an interval, it stands below its own.
    text = _value(figure, digits=4, between="\n") if board.has_published else _value(figure)
    return mark(text, figure.seen)


def _value(figure: Figure, *, digits: int = 3, between: str = " ") -> str:
    if figure.value is None:
        return UNDEFINED
    text = f"{figure.value:.{digits}f}"
    if figure.interval is None:
        return text
    return f"{text}{between}{PAIR.format(*figure.interval, form=f'.{digits - 1}f')}"


def _selected(item: Standing) -> str:
    ways: dict[str, list[str]] = {}
    for method, figure in item.figures.items():
        ways.setdefault(figure.selected, []).append(method_heading(method))
    if len(ways) == 1:
        return next(iter(ways))
    return "\n".join(f"{', '.join(methods)}: {way}" for way, methods in ways.items())


def _baselines(board: Board) -> Iterator[str]:
    if board.baselines:
        each = ", ".join(f"{name} {_value(figure)}" for name, figure in board.baselines)
        yield f"read no image, beside it: {each}"


def _entries(board: Board) -> Iterator[dict[str, Any]]:
    for place, item in enumerate(board.standings, 1):
        for method in board.methods:
            if method in item.figures:
                yield {
                    "board": board.title,
                    "facts": board.facts,
                    "metric": board.metric,
                    "place": place,
                    "encoder": item.encoder,
                    "measured": item.origin,
                    "family": item.family,
                    "pretraining": item.pretraining,
                    "architecture": item.architecture,
                    "method": method,
                    **_numbers(item.figures[method]),
                    "random_weights": item.is_random,
                    "stochastic": item.stochastic,
                    "runs": " ".join(map(str, item.runs)),
                }


def _numbers(figure: Figure) -> dict[str, Any]:
    low, high = figure.interval or (None, None)
    return {
        "value": figure.value,
        "low": low,
        "high": high,
        "parameters": figure.parameters,
        "selected": figure.selected,
        "seen": figure.seen,
    }
