"""Progress bars and the console for humans: both on stderr, so that stdout stays for results."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from toolkit_common.command import is_main_process

console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=not is_main_process())


def result_console(*, as_json: bool) -> Console:
    """Return where a result's table goes: stdout, unless stdout is for JSON."""
    return Console(stderr=as_json, highlight=False, quiet=not is_main_process())


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
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=not is_main_process()) as bars:
        task = bars.add_task(title, total=total, note="")

        def advance(count: int = 1, note: str = "") -> None:
            bars.update(task, advance=count)
            if note:
                bars.update(task, note=note)

        yield advance
