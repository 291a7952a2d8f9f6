"""Progress bars and the console for humans: both on stderr, so that stdout stays for results."""

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, NewLine, RenderableType
from rich.control import Control
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from toolkit_common.launched import is_main_process
from toolkit_common.printable import printable

WIDTH_OF_FILES = 120  # of tables, where no terminal says how wide it is
LOG = "log.txt"  # of a run folder
LOG_WIDTH = 160
MOST_EARLY = 1000  # lines before a run folder begins


class PrintableConsole(Console):
    """A console that shows control characters instead of sending them."""

    @override
    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


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
        self._logs.append(folder.resolve() / LOG)
        self._keep("".join(self._early))
        self._early.clear()

    def end_log(self, folder: Path) -> None:
        """Keep no more lines there."""
        self._logs = [log for log in self._logs if log != folder.resolve() / LOG]

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
            file=text, width=LOG_WIDTH, color_system=None, highlight=False, soft_wrap=True
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
console = LoggedConsole(stderr=True, highlight=False, soft_wrap=True, quiet=not is_main_process())


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


def plain_table() -> Table:
    """Return a table without lines but the one below its headings: narrow, and good to copy."""
    return Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0),
        header_style="",
    )  # fmt: skip


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
