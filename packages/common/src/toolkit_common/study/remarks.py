"""What must be known to trust a table's rows, in as few lines as say it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from toolkit_common.study.figures import Group, Key

MOST_NAMED = 3  # rows of one remark
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class Remark:
    """One of them.

    Attributes:
        text: What must be known.
        rows: Which rows it is about; empty: the table.
    """

    text: str
    rows: tuple[str, ...] = ()

    def __str__(self) -> str:
        """What must be known, behind the rows that it is about."""
        return f"{_listed(self.rows)}: {self.text}" if self.rows else self.text


def remarks_on(groups: Mapping[Key, Group]) -> list[Remark]:
    """Return what results say of themselves, each once with the rows that it is about."""
    about: dict[str, dict[str, None]] = {}
    for key, group in groups.items():
        for record in group.records.values():
            for text in record.remarks:
                about.setdefault(text, {})[" ".join(key)] = None
    return [Remark(text, tuple(rows)) for text, rows in about.items()]


def alike(remarks: Iterable[Remark]) -> list[Remark]:
    """Return one of those on rows that differ in numbers alone: each cell of a row has its own."""
    kinds: dict[str, list[Remark]] = {}
    for remark in remarks:
        kind = NUMBER.sub("0", remark.text) if remark.rows else remark.text
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


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"
