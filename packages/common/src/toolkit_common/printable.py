"""Names of files and cells come from anywhere: what would steer a terminal is shown, not sent."""

import re
import shlex
from collections.abc import Iterable, Sequence
from operator import index
from typing import SupportsIndex

# All that a terminal acts on but newline and tab, which our own text holds; what turns the
# direction of text, so that a name reads as another; and the halves of characters by which Python
# names files that are no UTF-8, which nothing can print.
STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
MARKDOWN = str.maketrans({char: f"\\{char}" for char in "\\`*_{}[]<>#|"})
# An absolute path in a text, of two names or more: one is of no machine, and may be a word of the
# data; and one in an id, where nothing else can stand that holds a slash.
NAME = r"""[^\s/\\?&,;|<>'"()\[\]{}]+"""
PLACE = re.compile(
    rf"""(?:^|(?<=[\s=:,|'"(\[{{]))(?:(?:~[\w.-]*|[A-Za-z]:|file:)[/\\]+|/{NAME}/+|\\\\{NAME}\\+){NAME}(?:[/\\]+{NAME})*[/\\]*"""
)
PLACE_OF_ID = re.compile(r"(?:^|(?<=[:=]))[/~.][^?&]*/")
UNSEEN = re.compile(rf"{STEERING.pattern}|[\n\t]")
UNPRINTABLE = re.compile(rf"{UNSEEN.pattern}|[\\']")  # or not within quotes
SHORT = {"\n": r"\n", "\t": r"\t", "\\": r"\\", "'": r"\'"}
LONGEST = 200  # characters of a value that a message shows


def printable(text: str) -> str:
    r"""Return a text in which control characters but newline and tab stand as `\x1b`."""
    return STEERING.sub(lambda match: ascii(match.group())[1:-1], text)


def one_line(text: str) -> str:
    """Return a name as it can stand within a line: printable, newlines and tabs too."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def counted(count: SupportsIndex, noun: str, plural: str = "") -> str:
    """Return `1 image` and `1,024 images`; a plural that does not end in s is given."""
    number = index(count)  # of numpy's integers too
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def first_of(names: Sequence[str], most: int = 3, between: str = ", ") -> str:
    """Return names in a line, of many the first ones and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{between.join(names[:most])}{more}"


def placeless(text: str) -> str:
    """Return a text in which an absolute path is no more than its last name."""
    return PLACE.sub(lambda match: re.split(r"[/\\]", match.group().rstrip("/\\"))[-1], text)


def placeless_id(identifier: str) -> str:
    """Return an id with the last name alone of each path in it."""
    return PLACE_OF_ID.sub("", identifier)


def placeless_command(words: Iterable[str]) -> str:
    """Return a command to be pasted once PATH, which stands for folders in it, is put right."""
    return shell_line(PLACE_OF_ID.sub("PATH/", word) for word in words)


def shell_line(words: Iterable[str]) -> str:
    r"""Return a command to be pasted, in one line: `$'a\x1bb'` is how bash and zsh take a name."""
    return " ".join(
        "$'" + UNPRINTABLE.sub(_in_shell, word) + "'" if UNSEEN.search(word) else shlex.quote(word)
        for word in words
    )


def _in_shell(match: re.Match[str]) -> str:
    char = match.group()
    if char in SHORT:
        return SHORT[char]
    if "\udc80" <= char <= "\udcff":  # a byte of a name that is no UTF-8
        return f"\\x{ord(char) - 0xDC00:02x}"
    return f"\\x{ord(char):02x}" if char < "\x80" else f"\\u{ord(char):04x}"


def shortened(text: str, most: int = LONGEST) -> str:
    """Return a value as a message shows it: in one line, and cut where it is long."""
    # Cut first: of a value of megabytes only what is shown is looked at.
    line = one_line(text[: most + 1])
    return line if len(line) <= most else f"{line[:most]}..."


def markdown(text: str) -> str:
    """Return a text as Markdown shows it, in one line: no mark-up, no HTML, no cell of a table."""
    return one_line(text).translate(MARKDOWN)
