"""Runs the tutorial and puts in what it prints: `python docs/make/tutorial.py FOLDER`.

A block of `bash` that an `<!-- output -->` follows is run, and what it prints becomes the block
below: all of it, or the lines from and to the first ones with the words given
(`<!-- output: from "A" to "B" -->`). Blocks marked as not run are not; FOLDER holds what they make.
"""

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).parents[1] / "tutorial.md"
COLUMNS = 80
BLOCK = re.compile(
    r"(?P<mark><!-- not run: [^>]+ -->\n)?```bash\n(?P<code>.*?)^```\n"
    r"(?:\n(?P<note><!-- output(?P<part>[^>]*) -->\n)```text\n.*?^```\n)?",
    re.DOTALL | re.MULTILINE,
)
PROGRESS = re.compile(r"^.* \d+/\d+ \d+:\d\d:\d\d$")


def main() -> None:
    """Run the tutorial in a folder and write its page anew."""
    folder = Path(sys.argv[1])
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BLOCK.sub(lambda match: _shown(match, folder), text), encoding="utf-8")


def _shown(match: re.Match[str], folder: Path) -> str:
    if match["mark"]:
        return match[0]
    variables = os.environ | {
        "COLUMNS": str(COLUMNS),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["bash", "-ec", match["code"]],
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    output = done.stdout.replace(f"{folder.resolve()}/", "")  # no machine's path on a page
    sys.stdout.write(output)
    if done.returncode:
        raise SystemExit(f"failed: {match['code']}")
    if not match["note"]:
        return match[0]
    shown = "\n".join(_part(output, match["part"])).strip("\n")
    return f"```bash\n{match['code']}```\n\n{match['note']}```text\n{shown}\n```\n"


def _part(output: str, part: str) -> Iterator[str]:
    """Yield the lines that are shown, none wider than a terminal."""
    words = re.findall(r'(from|to) "([^"]+)"', part)
    begin = next((word for name, word in words if name == "from"), "")
    ends = [word for name, word in words if name == "to"]
    has_begun = False
    for line in output.splitlines():
        has_begun = has_begun or begin in line
        if has_begun and not PROGRESS.match(line):
            yield from _wrapped(line)
        if has_begun and ends and ends[0] in line:
            ends.pop(0)
            if not ends:
                return


def _wrapped(line: str) -> list[str]:
    if len(line) <= COLUMNS:
        return [line.rstrip()]
    return textwrap.wrap(line, COLUMNS, break_on_hyphens=False)


if __name__ == "__main__":
    main()
