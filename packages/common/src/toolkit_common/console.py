"""Progress bars, the console for humans, and tables as wide as there is room.

Bars and the console are on stderr, so that stdout stays for results.
"""

import io
import os
import re
import sys
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from rich import box
from rich.console import Console, ConsoleOptions, NewLine, RenderableType
from rich.control import Control
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from toolkit_common.launched import is_main_process
from toolkit_common.printable import printable

WIDTH_OF_FILES = 120  # of tables, where no terminal says how wide it is
TEXT_LOG = "log.txt"  # of a run folder
LOG_WIDTH = 160
COMMAND = re.compile(r"\btoolkit [a-z]")
HANGING = "  "  # before what goes on of a line
GAP = 2  # between columns of a table
MOST_EARLY = 1000  # lines before a run folder begins


class PrintableConsole(Console):
    """A console that shows control characters, and in a terminal breaks prose between words.

    In a file a line stays one, for grep; so does a command everywhere, to be copied.
    """

    @override
    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)

    @override
    def print(self, *objects: Any, **options: Any) -> None:
        is_prose = options.get("soft_wrap", self.soft_wrap) and not options.get("markup")
        if is_prose and self.is_terminal:
            objects = tuple(_between_words(item, self.width) for item in objects)
        super().print(*objects, **options)


class LoggedConsole(PrintableConsole):
    """A console whose lines a run folder keeps too: those before it began, and until it ends.

    What moves, as a bar does, is not kept.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._early: list[str] = []
        self._logs: list[Path] = []

    def begin_log(self, folder: Path) -> None:
        """Keep lines in a folder's log too: those since `forget`, and those to come."""
        self._logs.append(folder.resolve() / TEXT_LOG)
        self._keep("".join(self._early))
        self._early.clear()

    def end_log(self, folder: Path) -> None:
        """Keep no more lines there."""
        self._logs = [log for log in self._logs if log != folder.resolve() / TEXT_LOG]

    def forget(self) -> None:
        """Keep what is printed from now on for the next log, and nothing from before."""
        self._early.clear()

    @override
    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*objects, **options)
        if self.quiet or any(isinstance(item, Control | NewLine) for item in objects):
            return
        text = io.StringIO()
        plain = PrintableConsole(
            file=text,
            width=LOG_WIDTH,
            color_system=None,
            highlight=False,
            markup=False,
            emoji=False,
            soft_wrap=True,
        )
        plain.print(*objects, **options)
        if self._logs:
            self._keep(text.getvalue())
        elif len(self._early) < MOST_EARLY:
            self._early.append(text.getvalue())

    def _keep(self, text: str) -> None:
        for log in self._logs if text else ():
            with log.open("a", encoding="utf-8") as file:
                file.write(text)


# On stderr, as stdout is for results; of several processes one speaks.
# Brackets and colons in names are no markup: who wants some says `markup=True`.
console = LoggedConsole(
    stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True,
    quiet=not is_main_process(),
)  # fmt: skip


def result_console(*, as_json: bool) -> Console:
    """Return where a result's table goes: stdout, unless stdout is for JSON.

    What users name is shown as it is: brackets and colons are no markup.
    """
    stream = sys.stderr if as_json else sys.stdout
    known = stream.isatty() or "COLUMNS" in os.environ
    return PrintableConsole(
        stderr=as_json,
        highlight=False,
        markup=False,
        emoji=False,
        quiet=_is_quiet(),
        # A file is no narrower where the terminal that its command was typed in is.
        width=None if known else WIDTH_OF_FILES,
    )


def _between_words(item: Any, width: int) -> Any:
    """Return a text whose long lines are broken between words; all else as it is."""
    text = item.plain if isinstance(item, Text) and not item.spans else item
    if not isinstance(text, str) or "\x1b" in text:
        return item
    lines = [
        line
        if len(line) <= width or COMMAND.search(line)
        else textwrap.fill(
            line, width, subsequent_indent=HANGING, break_long_words=False,
            break_on_hyphens=False, replace_whitespace=False, expand_tabs=False,
        )
        for line in text.split("\n")
    ]  # fmt: skip
    broken = "\n".join(lines)
    return Text(broken, style=item.style) if isinstance(item, Text) else broken


def plain_table() -> Table:
    """Return a table without lines but the one below its headings: narrow, and good to copy."""
    return Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0),
        header_style="",
    )  # fmt: skip


def after_marks(text: str, width: int) -> str:
    """Return an id in lines of at most a width, each ended by a mark where it can be."""
    lines = [""]
    for part in _marked(text):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


@dataclass(frozen=True)
class Ids:
    """Ids below each other in a cell, broken after their marks where the column has no room."""

    ids: Sequence[str]

    def __rich_measure__(self, _: Console, options: ConsoleOptions) -> Measurement:
        widest = max((len(text) for text in self.ids), default=0)
        part = max((len(part) for text in self.ids for part in _marked(text)), default=0)
        return Measurement(part, widest).with_maximum(options.max_width)

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterator[Text]:
        for text in self.ids:
            yield Text(after_marks(printable(text), options.max_width), overflow="fold")


@dataclass(frozen=True)
class Column:
    """A column: its heading, and a text a row; of `bold` rows it stands out."""

    heading: str
    cells: Sequence[str]
    bold: Collection[int] = ()
    justify: Literal["left", "right"] = "right"  # words on the left, figures on the right

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
    parts = list(_parts(figures, _room(out, widths)))
    widths = _widened(names, widths, spare=_room(out, widths) - max(map(_needed, parts)))
    for number, part in enumerate(parts):
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


@contextmanager
def quieted(wanted: bool) -> Iterator[None]:
    """Print nothing for a while, where that is wanted: of calls from Python."""
    before, console.quiet = console.quiet, console.quiet or wanted
    try:
        yield
    finally:
        console.quiet = before


def _is_quiet() -> bool:
    return console.quiet or not is_main_process()


class _Bars(Progress):
    """Bars with the note below, where it squeezes no bar and may be longer than a line."""

    @override
    def get_renderables(self) -> Iterable[RenderableType]:
        for task in self.tasks:
            yield self.make_tasks_table([task])
            if note := task.fields["note"]:
                yield Text(note, no_wrap=False, overflow="fold")


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[..., None]]:
    """Show a bar; yields `advance(count=1, note="")`.

    Where stderr is no terminal (a log file, CI) one line at the end stands for the bar.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    is_drawn = not _is_quiet() and console.is_terminal
    with _Bars(*columns, console=console, disable=not is_drawn) as bars:
        number = bars.add_task(title, total=total, note="")

        def advance(count: int = 1, note: str = "") -> None:
            bars.update(number, advance=count)
            if note:
                bars.update(number, note=note)

        try:
            yield advance
        finally:
            if not is_drawn and not _is_quiet():
                (task,) = bars.tasks
                took = timedelta(seconds=int(task.elapsed or 0))
                line = f"{title} {task.completed:g}/{total} {took} {task.fields['note']}"
                console.print(line.rstrip(), markup=False)


def _marked(text: str) -> list[str]:
    return re.findall(r"[^?&:/_-]*[?&:/_-]|[^?&:/_-]+", text)


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


def _widened(names: Sequence[Column], widths: Sequence[int], *, spare: int) -> list[int]:
    """Return widths of names that break over fewer lines, where figures leave room for that."""
    wider = []
    for column, width in zip(names, widths, strict=True):
        longest = max(len(printable(text)) for text in (column.heading, *column.cells))
        more = min(spare, longest - width)
        wider.append(width + more)
        spare -= more
    return wider


def _needed(figures: Sequence[Column]) -> int:
    return sum(column.width + GAP for column in figures)


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
        table.add_column(
            Text(printable(column.heading)), justify=column.justify, width=column.width
        )
    for row in range(len(names[0].cells)):
        if not any(column.cells[row] for column in figures):  # of a matrix, half of which is empty
            continue
        if row in breaks and table.row_count:
            table.add_row()
        table.add_row(*(column.at(row) for column in [*names, *figures]))
    out.print(table)
