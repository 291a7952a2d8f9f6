"""Tables of figures as wide as there is room: a row a name, a cell a figure and its interval.

What does not fit beside the names goes on in a part of its own below, so that no figure is ever
broken over lines or left out.
"""

from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from toolkit_common.console import plain_table
from toolkit_common.printable import printable
from toolkit_common.scores.metrics import LOWER_IS_BETTER
from toolkit_common.scores.statistics import UNDEFINED, Estimate

GAP = 2  # between columns
NO_INTERVAL = "no interval"
PAIR = "[{:{form}}, {:{form}}]"  # of an interval


@dataclass(frozen=True)
class Column:
    """A column: its heading, and a text a row; of `bold` rows it stands out."""

    heading: str
    cells: Sequence[str]
    bold: Collection[int] = ()

    @property
    def width(self) -> int:
        """Characters that it needs where cells keep their lines, and the heading its words."""
        lines = [line for cell in self.cells for line in printable(cell).splitlines()]
        return max(map(len, [*lines, *printable(self.heading).split()]), default=0)

    def at(self, row: int) -> Text:
        """Return a cell as it is shown."""
        return Text(printable(self.cells[row]), style="bold" if row in self.bold else "")


def print_columns(
    out: Console,
    names: Sequence[Column],
    figures: Sequence[Column],
    *,
    breaks: Collection[int] = (),
) -> None:
    """Print a table, in as many parts below each other as the width makes of it.

    Args:
        out: Where.
        names: What names a row; words may break over lines.
        figures: What is known of it; none breaks.
        breaks: Rows above which an empty line stands.
    """
    widths = _widths_of_names(names, out.width)
    room = _room(out, widths)
    for number, part in enumerate(_parts(figures, room)):
        if number:
            out.print()
        _print_part(out, names, part, widths=widths, breaks=breaks)


def with_room_for(
    out: Console, names: Sequence[Column], figures: Sequence[Column], *, more: Sequence[Column]
) -> list[Column]:
    """Return figures, and what else of them has room without making another part."""
    room = _room(out, _widths_of_names(names, out.width))
    columns = list(figures)
    for column in more:
        if len(list(_parts([*columns, column], room))) == len(list(_parts(columns, room))):
            columns.append(column)
    return columns


def best_rows(
    values: Sequence[float | None], kinds: Sequence[Hashable], metric: str
) -> Iterator[int]:
    """Yield the best row of each kind that has several, and what is shown as equal to it."""
    shown = [None if value is None else round(value, 3) for value in values]
    best: Callable[[list[float]], float] = min if metric in LOWER_IS_BETTER else max
    for kind in dict.fromkeys(kinds):
        known = [
            (value, row)
            for row, value in enumerate(shown)
            if kinds[row] == kind and value is not None
        ]
        if len(known) > 1:
            top = best([value for value, _ in known])
            yield from (row for value, row in known if value == top)


def show_estimate(metric: Estimate) -> str:
    """Show a metric, its sd over repeats or folds, and the interval of it or of all folds together.

    Undefined is a word, never 0.
    """
    if metric.mean is None and metric.pooled is None:
        return UNDEFINED
    text = UNDEFINED if metric.mean is None else f"{metric.mean:.3f}"
    if metric.sd is not None:
        text += f" \u00b1 {metric.sd:.3f}"
    if metric.pooled is not None:
        text += f"\npooled {metric.pooled:.3f}"
    if metric.ci:
        return f"{text} {PAIR.format(*metric.ci, form='.2f')}"
    return f"{text} {NO_INTERVAL}" if metric.why_no_ci else text


def _widths_of_names(names: Sequence[Column], width: int) -> list[int]:
    """Return the widths of names: as wide as they are, up to a share of the table's width."""
    share = {1: 0.30, 2: 0.24}.get(len(names), 0.16)
    most, most_of_word = int(share * width), int(0.35 * width)
    widths = []
    for column in names:
        texts = [printable(text) for text in (column.heading, *column.cells)]
        word = max((len(part) for text in texts for part in text.split()), default=0)
        widths.append(min(max(most, min(word, most_of_word)), max(map(len, texts))))
    return widths


def _room(out: Console, widths: Sequence[int]) -> int:
    return out.width - sum(widths) - GAP * (len(widths) - 1)


def _parts(figures: Sequence[Column], room: int) -> Iterator[list[Column]]:
    part: list[Column] = []
    left = room
    for column in figures:
        if part and column.width + GAP > left:
            yield part
            part, left = [], room
        part.append(column)
        left -= column.width + GAP
    yield part


def _print_part(
    out: Console,
    names: Sequence[Column],
    figures: Sequence[Column],
    *,
    widths: Sequence[int],
    breaks: Collection[int],
) -> None:
    table = plain_table()
    for column, width in zip(names, widths, strict=True):
        table.add_column(Text(printable(column.heading)), overflow="fold", width=width)
    for column in figures:
        table.add_column(Text(printable(column.heading)), justify="right", width=column.width)
    for row in range(len(names[0].cells)):
        if not any(column.cells[row] for column in figures):  # of a matrix, half of which is empty
            continue
        if row in breaks and table.row_count:
            table.add_row()
        table.add_row(*(column.at(row) for column in [*names, *figures]))
    out.print(table)
