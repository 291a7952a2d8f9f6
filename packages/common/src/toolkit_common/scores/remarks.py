"""What must be known to trust figures, in as few lines as say it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from toolkit_common.printable import first_of

NUMBER = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"
NUMBERS = re.compile(rf"(?:folds? )?{NUMBER}(?:, {NUMBER})*")  # one, or several: `folds 0, 3`


@dataclass(frozen=True)
class Remark:
    """One of them.

    Attributes:
        text: What must be known.
        rows: Which rows it is about; empty: the whole table.
    """

    text: str
    rows: Sequence[str] = ()

    def __str__(self) -> str:
        """What must be known, behind the rows that it is about."""
        return f"{first_of(self.rows)}: {self.text}" if self.rows else self.text


def remarks_of(pairs: Iterable[tuple[str, str]]) -> list[Remark]:
    """Return each remark once, with the rows that it is about.

    Args:
        pairs: Row and remark on it.
    """
    about: dict[str, dict[str, None]] = {}
    for row, text in pairs:
        about.setdefault(text, {})[row] = None
    return [Remark(text, tuple(rows)) for text, rows in about.items()]


def alike(remarks: Iterable[Remark]) -> list[Remark]:
    """Return one of those on rows that differ in numbers alone: each row has its own."""
    kinds: dict[str, list[Remark]] = {}
    for remark in remarks:
        kind = NUMBERS.sub("0", remark.text) if remark.rows else remark.text
        kinds.setdefault(kind, []).append(remark)
    return [
        known[0]
        if len(known) == 1
        else Remark(
            f"{known[0].text}; so {len(known)} times, with other numbers",
            tuple(dict.fromkeys(row for remark in known for row in remark.rows)),
        )
        for known in kinds.values()
    ]
