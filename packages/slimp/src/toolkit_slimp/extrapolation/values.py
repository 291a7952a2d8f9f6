"""What cells of a reference say, as numbers that can be weighed, and what several say together.

A column of m lesions is an array `(m,)`: of a number the number, of an angle its degrees, of words
the place in a list of words; NaN where nothing is known. `unknown` and codes for it are not known:
that somebody did not answer is no value to be copied.

Shapes: m reference lesions, n lesions to be told of, k neighbours.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from toolkit_common.data.sheet import ANSWER_SEPARATOR, Level
from toolkit_slimp.metadata.columns import known_values
from toolkit_slimp.metadata.schema import ColumnSchema

HALF_TURN = 180.0  # an axis at 180 degrees is one at 0

Numbers = Float[np.ndarray, "n k"]


@dataclass(frozen=True)
class Values:
    """The values of one column.

    Attributes:
        column: Of the schema.
        numbers: See the module's docstring.
        words: What a place stands for; empty of numbers and angles.
    """

    column: ColumnSchema
    numbers: Float[np.ndarray, " m"]
    words: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of the column."""
        return self.column.name

    @property
    def level(self) -> Level:
        """Of the column."""
        return self.column.level

    @property
    def is_known(self) -> np.ndarray:
        """Which lesions have a value `(m,)`."""
        return ~np.isnan(self.numbers)

    def cells(self, numbers: np.ndarray) -> list[float | str | None]:
        """Return numbers as cells of a table; None for NaN."""
        if not self.words:
            return [None if np.isnan(value) else float(value) for value in numbers]
        return [None if np.isnan(value) else self.words[int(value)] for value in numbers]

    def blend(self, near: Numbers, weights: Numbers) -> np.ndarray:
        """Return what neighbours say together `(n,)`.

        Of words the one with the most weight, of numbers the weighted median, of angles the
        weighted mean direction of the axis.

        Args:
            near: The neighbours' numbers, none of them NaN.
            weights: The neighbours' weights, which sum to 1 in every row.
        """
        return _BLENDS.get(self.column.kind, _vote)(near, weights)

    def misses(self, told: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Return how far each of some numbers is from the truth, whatever their shape.

        Of words 0 where they are equal and 1 else, of numbers the absolute difference, of angles
        that of the axes.
        """
        if self.words:
            return (told != truth).astype(float)
        apart = np.abs(told - truth)
        if self.column.kind != "angle":
            return apart
        turned = apart % HALF_TURN
        return np.minimum(turned, HALF_TURN - turned)


def read_values(column: ColumnSchema, table: pd.DataFrame) -> Values:
    """Return what is known of a column; a patient's first known value counts for all its rows.

    Args:
        column: A column of the schema, fitted: words that it does not know are none.
        table: Rows, with their `group` where they have one.

    Raises:
        InputError: If it is numeric and a value is no number.
    """
    known = known_values(column, table)
    words: tuple[str, ...] = ()
    if not column.num_numbers:
        known = known.map(lambda cell: cell if _is_in_schema(cell, column) else None)
        words = tuple(sorted(known.dropna().unique()))
        known = known.map({word: float(place) for place, word in enumerate(words)})
    numbers = known.astype(float)
    if column.level == "patient" and "group" in table:
        # Of a group that is not named nothing is shared.
        shared = numbers.groupby(table["group"]).transform("first")
        numbers = numbers.where(table["group"].isna(), shared)
    return Values(column, numbers.to_numpy(float), words)


def _is_in_schema(cell: object, column: ColumnSchema) -> bool:
    if not isinstance(cell, str):  # missing
        return False
    answers = cell.split(ANSWER_SEPARATOR) if column.kind == "multi" else [cell]
    return set(answers) <= set(column.categories)


def _vote(near: Numbers, weights: Numbers) -> np.ndarray:
    places = near.astype(int)
    votes = np.zeros((len(near), places.max(initial=0) + 1))
    # Added up: neighbours share words, and plain indexing would keep one vote of each.
    np.add.at(votes, (np.arange(len(near))[:, None], places), weights)
    return votes.argmax(axis=1).astype(float)


def _median(near: Numbers, weights: Numbers) -> np.ndarray:
    order = np.argsort(near, axis=1, kind="stable")
    ordered = np.take_along_axis(near, order, axis=1)
    below = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    # Sums of weights are 1 up to rounding: half of what they are, not 0.5.
    middle = (below >= 0.5 * below[:, -1:]).argmax(axis=1)
    chosen: np.ndarray = np.take_along_axis(ordered, middle[:, None], axis=1)[:, 0]
    return chosen


def _mean_axis(near: Numbers, weights: Numbers) -> np.ndarray:
    turn = np.deg2rad(2.0 * near)
    sine, cosine = ((weights * part).sum(axis=1) for part in (np.sin(turn), np.cos(turn)))
    return np.asarray(np.rad2deg(np.arctan2(sine, cosine)) / 2.0 % HALF_TURN)


_BLENDS: dict[str, Callable[[Numbers, Numbers], np.ndarray]] = {
    "numeric": _median,
    "angle": _mean_axis,
}
