"""Names of files and cells come from anywhere: what would steer a terminal is shown, not sent."""

import re

# All that a terminal acts on but newline and tab, which our own text holds; and the halves of
# characters by which Python names files that are no UTF-8, which nothing can print.
STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return a text in which control characters but newline and tab stand as `\x1b`."""
    return STEERING.sub(lambda match: ascii(match.group())[1:-1], text)


def one_line(text: str) -> str:
    """Return a name as it can stand within a line: printable, newlines and tabs too."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")
