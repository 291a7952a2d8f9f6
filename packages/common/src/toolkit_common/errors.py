"""The one exception that means: the user can mend this."""

import re

from toolkit_common.printable import LONGEST, one_line, shortened

MOST = 2000  # characters of a message
LONGEST_PATH = 1024  # characters: some have as many
# Longer than any file's name, or any path: a value of a file that nobody meant to be read.
ENDLESS = re.compile(rf"[^\s/]{{{LONGEST + len('...')},}}[^\s/,:;)]|\S{{{LONGEST_PATH},}}")


class InputError(ValueError):
    """Bad input or configuration, in one line: what is wrong, where, and what to do.

    The command line prints the line and exits with code 2; anything else that escapes a command,
    but for failures of the outside (`toolkit_common.outside`), is a fault of ours and keeps its
    traceback. Control characters are shown, and what of a value goes on without end is cut.
    """

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(in_one_line(str(argument)) for argument in arguments))


def in_one_line(text: str) -> str:
    """Return a message as a terminal may have it: a line, its values cut."""
    # Cut first: a value may have megabytes.
    line = one_line(text[: 10 * MOST])
    return shortened(ENDLESS.sub(lambda match: f"{match.group()[:LONGEST]}...", line), MOST)
