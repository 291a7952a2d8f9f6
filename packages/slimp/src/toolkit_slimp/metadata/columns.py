"""One metadata column: its transform fitted on training values, its values encoded.

Numbers are mapped by their training quantiles to a normal, so that no outlier, skew or unit is
left; words become yes or no for each known word; what is missing has a mask of its own.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from toolkit_common.data.cells import BOOLEANS, UNKNOWN, parse_numbers, same_word
from toolkit_common.data.sheet import ANSWER_SEPARATOR, Kind
from toolkit_common.errors import InputError
from toolkit_slimp.metadata.schema import ColumnSchema, Metadata

NUM_QUANTILES = 101
BOOLEAN = ("false", "true")
LOWEST_LEVEL, HIGHEST_LEVEL = 0.01, 0.99  # what the smallest and the largest training value become


def spell(word: str, kind: Kind) -> str:
    """Return a word or code as it is compared: in booleans `Yes` is `true`, elsewhere 4.0 is 4."""
    if kind == "boolean":
        lower = word.lower()
        return BOOLEANS.get(lower, lower)
    if kind in ("numeric", "angle"):
        number = _float(word)
        return word if number is None else str(number)
    return same_word(word)


def fit_column(column: ColumnSchema, table: pd.DataFrame) -> ColumnSchema:
    """Return the column with the quantiles or the categories of its training values.

    A column that needs neither, or has no value, comes back as it is.

    Args:
        column: The column.
        table: Training rows; messages name the image where there is an `image_id`, here and below.

    Raises:
        InputError: If it is numeric and a value is no number.
    """
    if column.kind == "boolean":
        return replace(column, categories=BOOLEAN)
    if column.kind in ("categorical", "multi"):
        codes = (*column.unknown, *column.missing)
        apart = {UNKNOWN, *(spell(code, column.kind) for code in codes)}
        answers = {
            spell(answer, column.kind)
            for cell in table[column.name].dropna().unique()
            for answer in _answers(cell, column)
        }
        # Sorted: places of words must not depend on the order of rows.
        return replace(column, categories=tuple(sorted(answers - apart)))
    numbers, is_unknown = _numbers(column, table)
    # Codes and `unknown` are no measurements: they would bend the quantiles.
    known = numbers[~np.isnan(numbers) & ~is_unknown]
    if column.kind == "angle" or not known.size:
        return column
    quantiles = np.quantile(known, np.linspace(0.0, 1.0, NUM_QUANTILES))
    return replace(column, quantiles=tuple(float(value) for value in quantiles))


def encode_column(column: ColumnSchema, table: pd.DataFrame) -> Metadata:
    """Encode one column of some rows.

    Raises:
        InputError: If a value is out of its range, or no number where one must be.
    """
    if column.num_numbers:
        return _encode_numbers(column, table)
    return _encode_words(column, table)


def has_value(column: ColumnSchema, table: pd.DataFrame) -> bool:
    """Return whether a column is fitted and some row has a value or a code for unknown.

    A number counts whether or not it is in the column's range.

    Raises:
        InputError: If it is numeric and a value is no number.
    """
    if not column.is_fitted:
        return False
    if not column.num_numbers:
        return bool(_encode_words(column, table).observed.any())
    numbers, is_unknown = _numbers(column, table)
    return bool((~np.isnan(numbers) | is_unknown).any())


def count_differing(column: ColumnSchema, table: pd.DataFrame) -> int:
    """Count the patients who have two known values; codes and spellings do not count.

    Raises:
        InputError: If the column is numeric and a value is no number.
    """
    values = known_values(column, table)
    return int((values.groupby(table["group"]).nunique() > 1).sum())


def unseen_words(column: ColumnSchema, table: pd.DataFrame) -> dict[str, int]:
    """Count the words that are neither known nor codes, the most frequent first."""
    if column.num_numbers:
        return {}
    listed = (*column.categories, *column.unknown, *column.missing)
    known = {UNKNOWN, *(spell(word, column.kind) for word in listed)}
    counts: Counter[str] = Counter()
    for cell, count in _texts(column, table).value_counts().items():
        for answer in _answers(cell, column):
            if spell(answer, column.kind) not in known:
                counts[answer] += count
    return dict(counts.most_common())


def known_values(column: ColumnSchema, table: pd.DataFrame) -> pd.Series:
    """Return values as they are compared: None for missing, unknown and codes."""
    if column.num_numbers:
        numbers, is_unknown = _numbers(column, table)
        return pd.Series(np.where(is_unknown, np.nan, numbers), index=table.index)
    codes = (*column.unknown, *column.missing)
    apart = {UNKNOWN, *(spell(code, column.kind) for code in codes)}
    texts = _texts(column, table)
    meanings = {}
    for cell in texts.dropna().unique():
        words = {spell(answer, column.kind) for answer in _answers(cell, column)} - apart
        meanings[cell] = ANSWER_SEPARATOR.join(sorted(words)) or None
    return texts.map(meanings)


def _encode_numbers(column: ColumnSchema, table: pd.DataFrame) -> Metadata:
    numbers, is_unknown = _numbers(column, table)
    has_number = np.logical_not(np.isnan(numbers) | is_unknown)
    # Codes are out of any range on purpose.
    _check_range(column, np.where(has_number, numbers, np.nan), table)
    # Behind the mask, where nothing looks; 0 keeps the transforms finite.
    filled = np.where(has_number, numbers, 0.0)
    if column.kind == "angle":
        turn = np.deg2rad(2.0 * filled)  # an axis: 180 degrees are 0
        encoded = np.stack([np.sin(turn), np.cos(turn)], axis=1)
    else:
        encoded = _to_normal(filled, np.asarray(column.quantiles))[:, None]
    # The word `unknown` speaks for itself: its number is 0.
    return _metadata(encoded * has_number[:, None], is_unknown[:, None], has_number | is_unknown)


def _encode_words(column: ColumnSchema, table: pd.DataFrame) -> Metadata:
    """Words never seen in training count as missing (docs/slimp.md)."""
    kind = column.kind
    places = {spell(word, kind): place for place, word in enumerate(column.categories, start=1)}
    places |= dict.fromkeys((UNKNOWN, *(spell(code, kind) for code in column.unknown)), 0)
    words = np.zeros((len(table), column.num_words), bool)
    # An empty column may be one of floats.
    texts = _texts(column, table).astype(object).fillna("")
    # Each distinct cell is read once: a million rows hold few.
    index, cells = pd.factorize(texts)
    for number, cell in enumerate(cells):
        answers = (spell(answer, kind) for answer in _answers(cell, column))
        held = [places[answer] for answer in answers if answer in places]
        words[np.ix_(index == number, held)] = True
    return _metadata(np.zeros((len(table), 0)), words, np.asarray(words.any(axis=1)))


def _metadata(numbers: np.ndarray, words: np.ndarray, observed: np.ndarray) -> Metadata:
    return Metadata(
        torch.from_numpy(numbers).float(),
        torch.from_numpy(words),
        torch.from_numpy(observed[:, None]),
    )


def _numbers(column: ColumnSchema, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers, NaN where missing, and which of them are codes for unknown."""
    values = table[column.name]
    codes = (UNKNOWN, *column.unknown), (UNKNOWN, *column.unknown, *column.missing)
    if pd.api.types.is_numeric_dtype(values):  # holds no words: looking for them takes seconds
        codes = (), ()
    is_unknown, is_word = (values.isin(words) for words in codes)  # a code may be no number
    parsed = parse_numbers(values.mask(is_word, np.nan), unit=column.unit)
    is_strange = (parsed.isna() & values.notna() & ~is_word).to_numpy(bool)
    if is_strange.any():
        place = int(is_strange.argmax())
        raise InputError(
            f"column {column.name!r} is {column.kind} in the schema: {values.iloc[place]!r} is no "
            f"number{_image(table, place, ' ({})')}: if it is a code, list it as missing or unknown"
        )
    numbers = parsed.to_numpy(float)
    if np.isinf(numbers).any():
        place = int(np.isinf(numbers).argmax())
        raise InputError(
            f"column {column.name!r}: {str(values.iloc[place])!r} is no finite number"
            f"{_image(table, place, ' ({})')}"
        )
    # Codes may be numbers, such as -1 or 999: only now can they be compared as such.
    numbers = np.where(np.isin(numbers, _floats(column.missing)), np.nan, numbers)
    is_code = np.isin(numbers, _floats(column.unknown))
    return numbers, np.logical_or(is_unknown.to_numpy(bool), is_code)


def _check_range(column: ColumnSchema, numbers: np.ndarray, table: pd.DataFrame) -> None:
    """Refuse numbers out of the column's range; NaN is in it."""
    for bound, is_out, word in (
        (column.low, np.less, "below"),
        (column.high, np.greater, "above"),
    ):
        strange = is_out(numbers, np.nan if bound is None else bound)
        if strange.any():
            count, first = int(strange.sum()), int(strange.argmax())
            values = "value" if count == 1 else "values"
            unit = f" {column.unit}" if column.unit else ""
            raise InputError(
                f"column {column.name!r}: {count} {values} {word} {bound:g}{unit}, the first "
                f"{numbers[first]:g}{_image(table, first, ' of {}')}: mend the data, "
                "list a code as missing, or widen the column's range in the schema"
            )


def _image(table: pd.DataFrame, place: int, form: str) -> str:
    ids = table.get("image_id")
    return "" if ids is None else form.format(f"image {ids.iloc[place]}")


def _to_normal(values: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Map training quantiles to a normal's; a value that fills several takes their middle."""
    from scipy.special import ndtri

    # Short of 0 and 1, whose normal quantiles are infinite.
    levels = np.linspace(LOWEST_LEVEL, HIGHEST_LEVEL, len(quantiles))
    from_below = np.interp(values, quantiles, levels)
    # At a value that fills several quantiles `interp` takes the last; mirrored it takes the first.
    from_above = -np.interp(-values, -quantiles[::-1], -levels[::-1])
    return ndtri(0.5 * (from_below + from_above))


def _texts(column: ColumnSchema, table: pd.DataFrame) -> pd.Series:
    return table[column.name].map(str, na_action="ignore")


def _answers(cell: object, column: ColumnSchema) -> list[str]:
    if column.kind != "multi":
        return [str(cell)]
    return [answer.strip() for answer in str(cell).split(ANSWER_SEPARATOR) if answer.strip()]


def _floats(codes: Iterable[str]) -> list[float]:
    return [number for number in map(_float, codes) if number is not None]


def _float(code: str) -> float | None:
    try:
        return float(code)
    except ValueError:
        return None
