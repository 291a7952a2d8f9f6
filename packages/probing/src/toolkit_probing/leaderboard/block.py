"""A leaderboard in a Markdown file of others' words: between two markers, and nowhere else."""

from itertools import zip_longest
from pathlib import Path

from toolkit_common.errors import InputError
from toolkit_common.foreign.values import refuse_pipe
from toolkit_common.outside import reason_of
from toolkit_common.printable import one_line
from toolkit_common.runs.files import write_text

BEGIN, END = "<!-- leaderboard -->", "<!-- /leaderboard -->"
MADE_BY = "<!-- written by toolkit report --leaderboard: what stands here is replaced -->"
MOST_SHOWN = 60  # characters of a line that differs


def read_block(path: Path) -> tuple[str, str, str]:
    """Return what stands before, between and behind the markers of a file.

    Raises:
        InputError: If it is no Markdown file that can be read, or does not have both markers once.
    """
    if path.suffix not in (".md", ".markdown"):
        raise InputError(f"--into {path}: give a Markdown file, .md")
    try:
        refuse_pipe(path)
        text = path.read_bytes().decode("utf-8")  # with the ends of lines that it has
    except FileNotFoundError:
        raise InputError(
            f"--into {path}: no such file; make one with the lines {BEGIN} and {END}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--into {path}: cannot be read: {reason_of(error)}") from None
    counts = [text.count(marker) for marker in (BEGIN, END)]
    if counts != [1, 1] or text.index(BEGIN) > text.index(END):
        raise InputError(
            f"--into {path}: it must have the line {BEGIN} once and {END} once behind it, and has "
            f"them {counts[0]} and {counts[1]} times"
            f"{' the other way round' if counts == [1, 1] else ''}: the table goes between"
        )
    before, _, rest = text.partition(BEGIN)
    inside, _, behind = rest.partition(END)
    return before, inside, behind


def write_block(path: Path, table: str) -> bool:
    """Put a table between a file's markers; returns whether that changed the file."""
    before, inside, behind = read_block(path)
    wanted = _framed(table, before)
    if inside != wanted:
        write_text(path, f"{before}{BEGIN}{wanted}{END}{behind}")
    return inside != wanted


def out_of_date(path: Path, table: str) -> str:
    """Return in one line how the table in a file differs from what it should be; else nothing."""
    before, inside, _ = read_block(path)
    wanted = _framed(table, before)
    if inside == wanted:
        return ""
    # Lines with their ends: a file whose ends alone differ is out of date too.
    pairs = zip_longest(
        inside.splitlines(keepends=True), wanted.splitlines(keepends=True), fillvalue=""
    )
    first = before.count("\n") + 1
    at, old, new = next((at, *pair) for at, pair in enumerate(pairs, first) if pair[0] != pair[1])
    return (
        f"{path}, line {at}: the leaderboard is out of date: {_shown(old)} should be {_shown(new)}"
    )


def _framed(table: str, before: str) -> str:
    """Return what stands between the markers, its lines ending as those before them do."""
    text = f"\n{MADE_BY}\n\n{table.strip()}\n\n"
    return text.replace("\n", "\r\n") if "\r\n" in before else text


def _shown(line: str) -> str:
    text = one_line(line.strip())
    return f"{text[:MOST_SHOWN]}..." if len(text) > MOST_SHOWN else text or "nothing"
