"""The data sheet of a data set: where it comes from, what its columns mean, what must not be read.

A lesion data set's file in `sources/lesions/` *is* its sheet; folders and tables of the user's own
get a bare one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Level = Literal["patient", "lesion"]
Kind = Literal["numeric", "angle", "categorical", "boolean", "multi"]

ANSWER_SEPARATOR = ";"  # between the answers in a cell of a `multi` column


@dataclass(frozen=True)
class Column:
    """A metadata column that may be an input.

    Attributes:
        name: As in the file.
        level: Whether it describes the patient or the lesion.
        kind: `numeric`, `angle` (degrees, an axis: 180 is 0), `categorical`, `boolean`, or
            `multi` (several answers in a cell, separated by `;`).
        unit: Of a numeric column.
        low: Smallest plausible value.
        high: Largest plausible value.
        unknown: Spellings of "not known", which is another value than an empty cell.
    """

    name: str
    level: Level
    kind: Kind
    unit: str = ""
    low: float | None = None
    high: float | None = None
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class BinaryLabel:
    """A label of two answers that sums up the classes of another one.

    Attributes:
        name: The label, also its positive answer; empty if there is no such label.
        of: The label whose classes it sums up.
        positive: Classes that are positive; empty where the file itself holds the answer.
        either: Classes that a user may count either way.
        either_name: What those are called, as in `--NAME-as`.
    """

    name: str = ""
    of: str = ""
    positive: frozenset[str] = frozenset()
    either: frozenset[str] = frozenset()
    either_name: str = ""


@dataclass(frozen=True)
class Sheet:
    """What is known about a data set beyond its rows.

    Attributes:
        title: Name for humans.
        source: Citation.
        doi: Digital object identifier of the data.
        licence: Licence with its restrictions.
        labels: Columns that can be the label, the default first.
        counts: Expected numbers of `images`, `lesions`, `patients`, of images of a split
            (`train`), a class (its code) or an answer (its name), of `undiagnosed` images, and
            of patients with an answer (`NAME patients`).
        lesion_counts: Expected numbers of lesions of a class (its code).
        classes: Code of a diagnosis -> its name.
        binary: The label that sums up the classes in two answers.
        columns: Metadata columns that may be inputs.
        leaks: Column -> why it must never be an input.
        suspects: Column -> why it may be a leak: what other data sets call so, where columns are
            those of the user's own table.
        acquisition: Column -> why it is left out unless requested (site, device).
        unread: Column of a user's own table -> why it is no metadata.
        empty_words: Column of a user's own table -> words in it that were read as missing, and how
            often: nobody has said that they are none of its classes.
        spellings_differ: The user has said that spellings which look alike are not one.
        notes: What every user should know, a line each.
    """

    title: str
    source: str = ""
    doi: str = ""
    licence: str = "unknown"
    labels: tuple[str, ...] = ("label",)
    counts: Mapping[str, int] = field(default_factory=dict)
    lesion_counts: Mapping[str, int] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)
    binary: BinaryLabel = BinaryLabel()
    columns: tuple[Column, ...] = ()
    leaks: Mapping[str, str] = field(default_factory=dict)
    suspects: Mapping[str, str] = field(default_factory=dict, repr=False)  # long, of any table
    acquisition: Mapping[str, str] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    empty_words: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    spellings_differ: bool = False
    notes: tuple[str, ...] = ()
