"""Texts as they were looked at and found good, a file each beside the tests."""

import os
from pathlib import Path

WRITE = "TOOLKIT_WRITE_SNAPSHOTS"  # set it to write them anew, then look at every difference


def assert_snapshot(text: str, path: Path) -> None:
    """Assert that a text is the one in the file; spaces at the ends of lines do not count."""
    lines = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    if os.environ.get(WRITE):
        path.write_text(lines, encoding="utf-8")
    assert lines == path.read_text(encoding="utf-8"), f"{path} differs; {WRITE}=1 writes it anew"


def assert_fits(text: str, width: int, *, rule: str = "\u2500") -> None:
    """Assert that no line of a table is longer: from the line before each rule to an empty one."""
    lines = text.splitlines()
    heads = [at for at, line in enumerate(lines) if line.startswith(rule * 3)]
    assert heads
    for at in heads:
        for line in lines[at - 1 :]:
            if not line:
                break
            assert len(line.rstrip()) <= width, line
