"""Types the columns of a table that has no sheet: by their names, and by what they hold.

Whatever is not read as metadata is named with the reason.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from toolkit_common.data.cells import (
    BOOLEANS,
    UNKNOWN,
    UNKNOWN_WORDS,
    Merge,
    Numbers,
    is_quantity,
    read_numbers,
    unify,
)
from toolkit_common.data.sheet import ANSWER_SEPARATOR, Column, Kind, Level
from toolkit_common.printable import counted

MAX_CATEGORIES = 64
FEW_WORDS = 12  # up to which numbers among words are words too, such as skin types 1, 2, 3-4
MOST_DIFFERENT = 0.5  # of the rows: more words than that are names
MAX_SHOWN = 3
YES_AND_NO = {word for word in BOOLEANS if word.isalpha()}  # 0 and 1 may be codes
PERSONAL = re.compile(  # what a person has, whatever lesion is looked at
    r"age(_(approx|years))?|sex|gender|(fitz?patrick|skin)(_?(skin)?_?(type|tone))?|ethnicity|race|"
    r"smok(e|er|ing)|drink(ing)?|bmi|height|weight|(skin_cancer|cancer|family|personal)_h(istory|x).*"
)
AGES = ("age", "age_approx", "age_years")


@dataclass(frozen=True)
class Typed:
    """A table whose columns are typed.

    Attributes:
        frame: Its cells, alike where they say the same; numbers as `float` reads them, with their
            unit behind them where they have one.
        columns: Those that can be read as metadata.
        unread: The others, and why.
        differing: Column that is personal by its name -> patients who have two values: it is the
            lesion's.
    """

    frame: pd.DataFrame
    columns: tuple[Column, ...]
    unread: dict[str, str]
    differing: dict[str, int]


def type_columns(
    frame: pd.DataFrame,
    names: Sequence[str],
    *,
    patients: pd.Series | None = None,
    merge: Merge = "error",
) -> Typed:
    """Type some columns of a table.

    Args:
        frame: The table; its cells are words, or numbers where a column holds nothing else.
        names: Columns that may be metadata.
        patients: The patient of each row: what is constant in every one is the patient's.
        merge: What to do about spellings that may be one, see `unify`.

    Raises:
        InputError: If a column of words has such spellings and nobody has said what they are.
    """
    typed: dict[str, pd.Series] = {}
    columns: list[Column] = []
    unread, differing = {}, {}
    for name in names:
        read = _read_column(frame[name], merge)
        typed[name] = read.values
        why = read.why if read.kind is None else _useless(read.values, read.kind)
        if read.kind is None or why:
            unread[name] = why
        else:
            is_personal = _is_personal(name)
            level = guess_level(read.values, patients, is_personal=is_personal)
            if is_personal and level == "lesion" and patients is not None:
                differing[name] = count_several(read.values, patients)
            columns.append(_column(name, read.kind, read, level=level))
    return Typed(frame.assign(**typed), tuple(columns), unread, differing)


def guess_level(
    values: pd.Series, patients: pd.Series | None, *, is_personal: bool = False
) -> Level:
    """Whether a column is the patient's: one value in each, seen more than once in most.

    A lesion's column with few values has one in a patient as well, and nothing to compare it with;
    what is personal by its name needs none, but that no patient has two.
    """
    if patients is None:
        return "lesion"
    by_patient = values.replace(UNKNOWN, np.nan).groupby(patients)
    counts, sizes = by_patient.count(), by_patient.size()
    counts = counts[(sizes > 1) & (counts > 0)]
    is_seen_twice = bool((counts > 1).mean() > 0.5)
    is_constant = count_several(values, patients) == 0
    return "patient" if is_constant and (is_seen_twice or is_personal) else "lesion"


def count_several(values: pd.Series, patients: pd.Series) -> int:
    """Return how many patients have two values; unknown for one lesion contradicts no other."""
    by_patient = values.replace(UNKNOWN, np.nan).groupby(patients)
    return int((by_patient.nunique() > 1).sum())


def _is_personal(name: str) -> bool:
    return PERSONAL.fullmatch(re.sub(r"[\s\-]+", "_", name).lower()) is not None


@dataclass(frozen=True)
class _Read:
    """The cells of a column, what they are, and if they are nothing why."""

    values: pd.Series
    kind: Kind | None = None
    unit: str = ""
    unknown: tuple[str, ...] = ()
    why: str = ""


def _read_column(values: pd.Series, merge: Merge) -> _Read:
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return _Read(values, "numeric")
    texts = values.astype(object).map(str, na_action="ignore")
    words = [str(word) for word in texts.dropna().unique()]
    unknown = {word for word in words if word.casefold() in UNKNOWN_WORDS}
    known = [word for word in words if word not in unknown]
    answers = {word: BOOLEANS[word.lower()] for word in known if word.lower() in YES_AND_NO}
    numbers = read_numbers(known)
    if isinstance(numbers, str):
        return _Read(values, why=numbers)
    if numbers is None and len(answers) == len(known):
        read = _Read(texts.map(answers | dict.fromkeys(unknown, UNKNOWN)), "boolean")
    else:
        texts = texts.map(lambda word: UNKNOWN if word in unknown else word, na_action="ignore")
        read = _as_words(texts, known, merge) if numbers is None else _as_numbers(texts, numbers)
    return replace(read, unknown=tuple(sorted(unknown - {UNKNOWN})))


def _as_numbers(texts: pd.Series, numbers: Numbers) -> _Read:
    distinct = {float(number) for number in numbers.spelled.values()}
    behind = f" {numbers.unit}" if numbers.unit else ""
    # Two of them are rather codes of a yes and no: 1 and 1.0 must then be one word.
    spelled = {
        word: (number if len(distinct) > 2 else f"{float(number):.15g}") + behind
        for word, number in numbers.spelled.items()
    }
    kind: Kind = "numeric" if len(distinct) > 2 else "categorical"
    return _Read(texts.map(spelled | {UNKNOWN: UNKNOWN}), kind, unit=numbers.unit)


def _as_words(texts: pd.Series, known: list[str], merge: Merge) -> _Read:
    strange = [word for word in known if not is_quantity(word)]
    if len(known) > FEW_WORDS and len(strange) * 2 < len(known):
        shown = ", ".join(map(repr, strange[:MAX_SHOWN]))
        words = f"{counted(len(strange), 'word')} such as {shown}"
        return _Read(texts, why=f"numbers, but for {words}: mend or empty them")
    if any(ANSWER_SEPARATOR in word for word in known):
        return _Read(texts, "multi")
    if len(known) <= MAX_CATEGORIES:
        texts = unify(texts, what=f"column {texts.name!r}", merge=merge)
    return _Read(texts, "categorical")


def _useless(values: pd.Series, kind: Kind) -> str:
    """Return why a column of a kind says nothing; nothing if it may say something."""
    words = values.dropna().unique()
    if kind == "multi":
        # A cell of several answers is one value, and its vocabulary what counts.
        answers = {part.strip() for word in words for part in str(word).split(ANSWER_SEPARATOR)}
        too_many = len(answers - {"", UNKNOWN}) > MAX_CATEGORIES
        return f"{len(answers)} different answers" if too_many else ""
    if len(words) == 0:
        return "no value"
    if len(words) == 1:
        return f"one value, {str(words[0])!r}"
    rows = int(values.notna().sum())
    are_names = len(words) > FEW_WORDS and len(words) > MOST_DIFFERENT * rows
    if kind != "numeric" and (len(words) > MAX_CATEGORIES or are_names):
        return f"{len(words)} different words in {rows} rows: names or free text"
    return ""


def _column(name: str, kind: Kind, read: _Read, *, level: Level) -> Column:
    bounds: dict[str, Any] = {}
    unit = read.unit if kind == "numeric" else ""
    if kind == "numeric" and name.lower() in AGES and unit in ("", "years"):
        bounds = {"low": 0.0, "high": 120.0}
        unit = "years"
    return Column(name, level, kind, unit=unit, unknown=read.unknown, **bounds)
