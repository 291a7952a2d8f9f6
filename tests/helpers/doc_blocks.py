"""The shell blocks of pages, and which commands bash makes of them.

A page's blocks are run by bash itself, one after the other, with functions in the place of the
programs: they write down what they are given. So quotes, variables, functions, continued lines and
here-documents are those of a shell. `<!-- not run: REASON -->` above a block says that its commands
are looked at and not carried out.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^>]+?) -->\n+)?^```bash\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
FENCE = re.compile(r"^ *```(\w*)", re.MULTILINE)
NOTED = ("toolkit", "make", "pip", "torchrun", "accelerate", "pre-commit")
PRELUDE = """set -euo pipefail
note() { printf '%s\\x1f' "$BLOCK" "$@" >> "$RECORD"; printf '\\x1e' >> "$RECORD"; }
srun() { "$@"; }
scontrol() { echo node1; }
export SLURM_JOB_NODELIST=node SLURM_NNODES=2 SLURM_JOB_ID=1
"""


@dataclass(frozen=True)
class Block:
    """A block: its code, the line of its page that it begins on, and why it is not run."""

    code: str
    line: int
    reason: str | None


@dataclass(frozen=True)
class Call:
    """A command of a page, as words, and the block that it is of."""

    block: Block
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"line {self.block.line}: {shlex.join(self.words)}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(match["code"], text[: match.start("code")].count("\n"), match["reason"])
        for match in BLOCK.finditer(text)
    ]


def fences(page: Path) -> list[str]:
    """Return the languages of a page's fenced blocks, "" of one that names none."""
    return FENCE.findall(page.read_text(encoding="utf-8"))[::2]


def calls(page: Path, folder: Path) -> list[Call]:
    """Return what a page's blocks call, in their order, when they are run in a folder."""
    found = blocks(page)
    record = folder / ".calls"
    record.write_text("")
    noted = "\n".join(f'{name}() {{ note {name} "$@"; }}' for name in NOTED)
    parts = [f"BLOCK={at}\n{block.code}" for at, block in enumerate(found)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", "\n".join([PRELUDE, noted, *parts])],
        cwd=folder,
        env=os.environ | {"RECORD": str(record), "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{page}: {done.stderr}"
    return list(_read(record, found))


def _read(record: Path, found: list[Block]) -> Iterator[Call]:
    for entry in record.read_text().split("\x1e")[:-1]:
        at, *words = entry.split("\x1f")[:-1]
        yield Call(found[int(at)], tuple(words))
