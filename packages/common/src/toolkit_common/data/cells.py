"""What a cell of a table says: one rule for labels, groups and metadata.

- Missing is an empty cell, or a word that programs write for one (`NaN`, `NA`, `null`, `None`).
- `1`, `1.0` and `1.00` are one number, `TRUE` and `True` one answer, a space more is no difference.
- Numbers may have a decimal comma, thousands set apart and a unit: what they mean is settled by the
  whole column, and where that leaves a doubt nothing is read.
- Spellings that differ in case, in `_`, `-` and spaces between words, or in leading zeros, may or
  may not be one: somebody has to say so.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from toolkit_common.errors import InputError

Merge = Literal["error", "spelling", "none"]

MISSING = frozenset(
    spelled
    for word in ("", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "nat", "null", "none")
    for spelled in (word, word.upper(), word.capitalize())
) | {"NaN", "-NaN", "NaT"}
UNKNOWN = "unknown"  # asked, and not known: an answer, unlike an empty cell
UNKNOWN_WORDS = ("unknown", "unk", "not known", "unbekannt", "desconocido", "desconhecido")
TRUE = ("true", "1", "1.0", "yes", "y", "wahr", "ja", "vrai", "oui", "sim", "si", "s\u00ed")
FALSE = ("false", "0", "0.0", "no", "n", "falsch", "nein", "faux", "non", "nao", "n\u00e3o")
BOOLEANS = {**dict.fromkeys(TRUE, "true"), **dict.fromkeys(FALSE, "false")}
UNITS = {
    spelled: unit
    for unit, spellings in {
        "mm": "mm millimeter millimeters millimetre millimetres",
        "cm": "cm centimeter centimeters centimetre centimetres",
        "um": "um \u00b5m \u03bcm",
        "m": "m",
        "kg": "kg",
        "g": "g",
        "mg": "mg",
        "ml": "ml",
        "%": "% percent",
        "degrees": "\u00b0 deg degree degrees",
        "years": "year years yr yrs y y.o yo jahr jahre a\u00f1o a\u00f1os ano anos ans",
        "months": "month months mo monat monate meses mois",
        "weeks": "week weeks wk wks wochen semanas",
        "days": "day days d tage dias jours",
        "mm2": "mm2 mm\u00b2 mm^2",
        "cm2": "cm2 cm\u00b2 cm^2",
    }.items()
    for spelled in spellings.split()
}
QUANTITY = re.compile(r"([+-]?[\d.,]*\d[.,]?(?:e[+-]?\d+)?)\s*([^\d\s.,].*)?", re.IGNORECASE)
POINT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
STYLES = (  # what marks may mean where there are commas, and the mark that sets thousands apart
    (re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE), ""),  # 12,5 and 12.5
    (re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d*)?"), ","),  # 1,234.5
    (re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d*)?"), "."),  # 1.234,5
)
WHOLE = re.compile(r"([+-]?\d+)\.0*")
MAX_SHOWN = 4  # spellings, in a message


@dataclass(frozen=True)
class Numbers:
    """A column of numbers: how each cell reads, and the unit that all of them name.

    Attributes:
        spelled: Cell -> the number as `float` reads it.
        unit: In the words of `UNITS`; empty where no cell names one.
    """

    spelled: Mapping[str, str]
    unit: str


def known_cell(cell: str, missing: frozenset[str] = MISSING) -> str | None:
    """Return a cell without the space around it, None if it says that something is missing."""
    stripped = cell.strip()
    return None if stripped in missing else stripped


def same_word(cell: str) -> str:
    """Return what all spellings of one saying share: `1.0` is `1`, `TRUE` is `true`."""
    whole = WHOLE.fullmatch(cell)
    if whole:
        return whole[1]
    if cell.isascii() and cell.isalnum():  # nearly all: the rest takes ten times as long
        lower = cell.lower()
        return lower if lower in ("true", "false") else cell
    return " ".join(unicodedata.normalize("NFC", cell).split())


def near_word(word: str) -> str:
    """Return what spellings share that somebody could have meant to be one."""
    if POINT.fullmatch(word):
        return f"{float(word):.17g}"
    plain = unicodedata.normalize("NFKC", word).casefold()
    # Only beside a letter: 1-2 and 1.2 are two, and so are HER2+ and HER2-.
    return re.sub(r"(?<=[^\W\d_])[\s_\-./,]+(?=\w)|(?<=\w)[\s_\-./,]+(?=[^\W\d_])", " ", plain)


def unify(column: pd.Series, *, what: str, merge: Merge = "error") -> pd.Series:
    """Return a column of words in which all spellings of one saying are one.

    Args:
        column: Words, None where missing.
        what: The column, for the message.
        merge: What to do about spellings that may be one: an `error`, the most frequent
            `spelling`, or `none`: they stay apart.

    Raises:
        InputError: If there are such spellings and nobody has said what they are.
    """
    counts = Counter({str(word): int(n) for word, n in column.value_counts().items()})
    spellings = _by_saying(counts)
    chosen = {
        word: saying if WHOLE.fullmatch(word) else _most_frequent(words, counts)
        for saying, words in spellings.items()
        for word in words
    }
    if merge != "none":
        totals = Counter[str]()
        for word, count in counts.items():
            totals[chosen[word]] += count
        near = _near(totals)
        if near and merge == "error":
            raise _doubtful(near[0], totals, what)
        meant = {word: _most_frequent(words, totals) for words in near for word in words}
        chosen = {word: meant.get(name, name) for word, name in chosen.items()}
    changed = {word: name for word, name in chosen.items() if word != name}
    return column if not changed else column.map(lambda word: changed.get(word, word))


def refuse_near(names: Mapping[str, int], *, what: str) -> None:
    """Refuse classes two of which may be one; `names` are they and their numbers of rows.

    Raises:
        InputError: If there are such; it names them.
    """
    totals = Counter(dict(names))
    near = _near(totals)
    if near:
        raise _doubtful(near[0], totals, what)


def read_numbers(words: Iterable[str]) -> Numbers | str | None:
    """Read the distinct cells of a column as numbers.

    Args:
        words: They, without what is missing or unknown.

    Returns:
        The numbers; None if the cells are words; a sentence where they are numbers and nobody can
        know which.
    """
    parts: dict[str, tuple[str, str]] = {}
    for word in words:
        number_and_unit = _parts(word)
        if number_and_unit is None:
            return None
        parts[word] = number_and_unit
    if not parts:
        return None
    units = {unit: word for word, (_, unit) in parts.items()}
    if len(units) > 1:
        listed = " and ".join(repr(word) for word in list(units.values())[:MAX_SHOWN])
        return f"cells of several units, {listed}"
    readings = _readings([number for number, _ in parts.values()])
    if len(readings) > 1:
        first, second = next(pair for pair in zip(*readings[:2], strict=True) if len({*pair}) > 1)
        return f"numbers that may be {first} or {second}: it is not clear what , and . mean"
    # Infinity is a number to Python, and would be to every mean.
    if not readings or not all(np.isfinite(float(number)) for number in readings[0]):
        return None
    return Numbers(dict(zip(parts, readings[0], strict=True)), next(iter(units)))


def parse_numbers(values: pd.Series, *, unit: str | None = "") -> "pd.Series[float]":
    """Return the numbers of a column, NaN where a cell is missing or none.

    Args:
        values: Numbers, or words.
        unit: The unit that cells may name, None for any: another makes them no numbers.
    """
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    strange = values[numbers.isna() & values.notna()]
    if strange.empty:
        return numbers
    # Together: what a comma means is settled by all cells that have one.
    words = [str(word) for word in values.dropna().unique()]
    read = read_numbers(word for word in words if is_quantity(word))
    if not isinstance(read, Numbers) or (unit is not None and read.unit not in ("", unit)):
        return numbers
    texts = values.map(str, na_action="ignore")
    return pd.to_numeric(texts.map(read.spelled), errors="coerce").fillna(numbers).astype(float)


def is_quantity(word: str) -> bool:
    """Whether a cell alone looks like a number, perhaps with a unit."""
    return _parts(word) is not None


def _parts(word: str) -> tuple[str, str] | None:
    """Return a number as it stands, and its unit, empty where there is none."""
    match = QUANTITY.fullmatch(word.replace("\u2212", "-"))  # a minus of typesetters
    if match is None:
        return None
    unit = (match[2] or "").strip(" .").casefold()
    return (match[1], UNITS.get(unit, "")) if unit in UNITS or not unit else None


def _by_saying(words: Iterable[str]) -> dict[str, list[str]]:
    spellings: defaultdict[str, list[str]] = defaultdict(list)
    for word in words:
        spellings[same_word(word)].append(word)
    return spellings


def _most_frequent(words: Iterable[str], counts: Mapping[str, int]) -> str:
    """Of equals the first in the alphabet, so that the order of rows does not matter."""
    return min(words, key=lambda word: (-counts[word], word))


def _near(counts: Mapping[str, int]) -> list[list[str]]:
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for word in counts:
        alike[near_word(word)].append(word)
    return [sorted(words) for words in alike.values() if len(words) > 1]


def _doubtful(words: list[str], counts: Mapping[str, int], what: str) -> InputError:
    shown = ", ".join(f"{word!r} ({counts[word]})" for word in words[:MAX_SHOWN])
    return InputError(
        f"{what} spells what may be one in {len(words)} ways: {shown}: write them alike, or in a "
        "csv: add ?merge=spelling if they are one, ?merge=none if they differ"
    )


def _readings(numbers: list[str]) -> list[tuple[str, ...]]:
    """Return what the numbers of a column can be, each as `float` reads it."""
    if all(map(POINT.fullmatch, numbers)):
        return [tuple(numbers)]
    readings = (
        tuple(number.replace(apart, "").replace(",", ".") for number in numbers)
        for pattern, apart in STYLES
        if all(map(pattern.fullmatch, numbers))
    )
    return list(dict.fromkeys(readings))
