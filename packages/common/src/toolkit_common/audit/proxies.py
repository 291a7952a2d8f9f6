"""How well each column alone tells the label: by its values, and by whether it is filled in.

A column's score is an AUROC, of the class it tells best against the rest. Words are scored by the
share of the class among the other folds' rows with that word, folds grouped, so that an id cannot
score by naming single rows. Numbers, however they are held, are scored as they are (in the better
direction) and by bins, which tell a class in the middle as well; out of fold, so that noise gains
nothing. An AUROC is sure where chance would hardly give it to so few rows (or groups). What tells a
class of few images is reported and decides nothing: it is a few hundredths of a result.

Shapes: n rows, r of them scored, c classes.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from toolkit_common.data.cells import parse_numbers
from toolkit_common.data.dataset import Labels, number_groups

MIN_ROWS = 10  # of a class and of its rest below which an AUROC says little
NUM_FOLDS = 5
SMOOTHING = 5.0  # rows at the base rate added to each word's share
FEWEST_BINS, MOST_BINS = 5, 50  # of numbers
ROWS_OF_BIN = 5
SURE = 3.0  # standard errors above chance
# A class decides from so many images on, or from this share of all on, or half an even share.
LARGE_COUNT, LARGE_SHARE = 50, 0.05


class Score(NamedTuple):
    """An AUROC, the class it is of, and whether chance alone would hardly give it.

    Then the best sure AUROC of a class that is large enough to decide, NaN without any, and that
    class.
    """

    auroc: float
    word: str
    is_sure: bool
    large_auroc: float = float("nan")
    large_word: str = ""


NO_SCORE = Score(float("nan"), "", is_sure=False)


@dataclass(frozen=True)
class ColumnFacts:
    """One column beside the label.

    Attributes:
        name: Of the column.
        missing: Share of empty cells, in [0, 1].
        distinct: Number of distinct values.
        value_auroc: Of the values among filled rows, NaN where undefined.
        value_class: The class that they tell best.
        value_sure: Whether chance alone would hardly give so much.
        value_large_auroc: The best that is sure, of classes large enough to decide; else NaN.
        value_large_class: That class.
        missing_auroc: Of "is empty" alone, NaN where undefined.
        missing_class: The class that it tells best.
        missing_sure: Whether chance alone would hardly give so much.
        missing_large_auroc: As `value_large_auroc`.
        missing_large_class: That class.
        numbers: All that is filled in are numbers.
        constant: One value or none.
        id_like: Words or whole numbers held as words, nearly all different.
    """

    name: str
    missing: float
    distinct: int
    value_auroc: float
    value_class: str
    value_sure: bool
    value_large_auroc: float
    value_large_class: str
    missing_auroc: float
    missing_class: str
    missing_sure: bool
    missing_large_auroc: float
    missing_large_class: str
    numbers: bool
    constant: bool
    id_like: bool


def describe_column(
    values: pd.Series, labels: Labels | None, *, groups: np.ndarray | None = None
) -> ColumnFacts:
    """Describe one column and score it against the label; rows without a label are left out.

    Args:
        values: The column `(n,)`.
        labels: The label; None scores nothing.
        groups: Group of each row `(n,)`: a group's rows do not score one another, and count as one
            where chance is ruled out.
    """
    if not pd.api.types.is_numeric_dtype(values):
        values = values.astype(object).map(str, na_action="ignore")  # lists, dates
    filled = values.notna().to_numpy()
    distinct = int(values.nunique())
    numbers = parse_numbers(values, unit=None).to_numpy(float)
    numbers = np.where(np.isfinite(numbers), numbers, np.nan)
    are_numbers = bool(filled.any()) and not np.isnan(numbers[filled]).any()
    owners = np.arange(len(values)) if groups is None else number_groups(groups)
    value = missing = NO_SCORE
    if labels is not None:
        known = labels.targets >= 0
        value = _score_values(
            values, numbers, _Rows(labels, np.flatnonzero(known & filled), owners)
        )
        rows = _Rows(labels, np.flatnonzero(known), owners)
        missing = rows.best(np.repeat(~filled[rows.at, None], rows.num_classes, axis=1))
    is_number = pd.api.types.is_numeric_dtype(values) or (
        are_numbers and bool((numbers[filled] % 1 != 0).any())  # not a row's or a case's number
    )
    id_like = not is_number and distinct >= MIN_ROWS and distinct > 0.9 * filled.sum()
    return ColumnFacts(
        str(values.name), float((~filled).mean()), distinct, *value, *missing,
        numbers=are_numbers, constant=distinct <= 1, id_like=bool(id_like),
    )  # fmt: skip


def auroc_of(scores: np.ndarray, positive: np.ndarray, *, least: int = MIN_ROWS) -> float:
    """Return the AUROC, ties counted half; NaN with fewer than `least` rows on a side."""
    from scipy.stats import rankdata

    hits = int(positive.sum())
    others = len(positive) - hits
    if min(hits, others) < least:
        return float("nan")
    # The sum of ranks (Mann and Whitney): ties share theirs, and count half.
    above = rankdata(scores)[positive].sum() - hits * (hits + 1) / 2
    return float(above / (hits * others))


def chance_error(positives: int, others: int) -> float:
    """Return the standard error of an AUROC that nothing but chance made (Mann and Whitney)."""
    return math.sqrt((positives + others + 1) / (12 * positives * others))


def large_classes(labels: Labels) -> np.ndarray:
    """Return which classes have images enough, and other images enough beside them `(c,)`."""
    known = labels.targets[labels.targets >= 0]
    counts = np.bincount(known, minlength=len(labels.classes))
    needed = len(known) * min(LARGE_SHARE, 0.5 / len(labels.classes))
    return np.asarray(np.minimum(counts, len(known) - counts) >= min(LARGE_COUNT, needed))


@dataclass(frozen=True)
class _Rows:
    """Rows of a column that are scored, `at` their positions `(r,)`, with their owners."""

    labels: Labels
    at: np.ndarray
    all_owners: np.ndarray

    @property
    def targets(self) -> np.ndarray:
        return self.labels.targets[self.at]

    @property
    def owners(self) -> np.ndarray:
        return self.all_owners[self.at]

    @property
    def num_classes(self) -> int:
        return len(self.labels.classes)

    def best(self, scores: np.ndarray, *, either_way: bool = True) -> Score:
        """Return the AUROC of the class told best; sure ones before those that chance may give.

        Args:
            scores: Of each class `(r, c)`.
            either_way: Whether low scores may tell a class as well as high ones.
        """
        scored, large = [], large_classes(self.labels)
        for code, word in enumerate(self.labels.classes):
            positive = self.targets == code
            auroc = auroc_of(scores[:, code].astype(float), positive)
            if math.isnan(auroc):
                continue
            # Rounded, so that what is equal but for the order of a sum ties.
            best = round(max(auroc, 1 - auroc if either_way else 0.5), 12)
            # By owners: images of one patient are no independent evidence.
            sides = [
                int(np.count_nonzero(np.bincount(self.owners[part])))
                for part in (positive, ~positive)
            ]
            is_sure = best - 0.5 >= SURE * chance_error(*sides)
            scored.append((is_sure, best, auroc > 0.5, word, bool(large[code])))
        if not scored:
            return NO_SCORE
        is_sure, auroc, _, word, _ = max(scored, key=lambda item: item[:3])
        deciding = [item for item in scored if item[0] and item[4]]
        if not deciding:
            return Score(auroc, word, is_sure)
        _, large_auroc, _, large_word, _ = max(deciding, key=lambda item: item[:3])
        return Score(auroc, word, is_sure, large_auroc, large_word)


def _score_values(values: pd.Series, numbers: np.ndarray, rows: _Rows) -> Score:
    """Score words and bins of numbers out of fold, numbers as they are too; the better counts."""
    score = rows.best(_shares(values, numbers, rows), either_way=False)
    own = numbers[rows.at]
    if np.isnan(own).any():
        return score
    plain = rows.best(np.repeat(own[:, None], rows.num_classes, axis=1))
    best = max(plain, score, key=lambda item: (item.is_sure, item.auroc))
    large = max(plain, score, key=lambda item: np.nan_to_num(item.large_auroc))
    return best._replace(large_auroc=large.large_auroc, large_word=large.large_word)


def _shares(values: pd.Series, numbers: np.ndarray, rows: _Rows) -> np.ndarray:
    """Return each row's share of every class among other folds' rows with its word `(r, c)`.

    Numbers have no words: theirs are bins between quantiles of the other folds.
    """
    own, targets = numbers[rows.at], rows.targets
    number = ~np.isnan(own)
    words, spelled = pd.factorize(values.iloc[rows.at].mask(number))
    num_bins = min(MOST_BINS, max(FEWEST_BINS, int(number.sum()) // ROWS_OF_BIN))
    inner = np.linspace(0, 1, num_bins + 1)[1:-1]
    # A fixed seed, not an option: two audits of one table say the same.
    rng = np.random.default_rng(0)
    # Drawn by owner: a group's rows are in one fold, and do not score one another.
    fold = rng.integers(0, NUM_FOLDS, rows.all_owners.max(initial=0) + 1)[rows.owners]
    scores = np.zeros((len(targets), rows.num_classes))
    for held_out in range(NUM_FOLDS):
        fit, scored, codes = fold != held_out, fold == held_out, words.copy()
        if (fit & number).any():
            edges = np.unique(np.quantile(own[fit & number], inner, method="lower"))
            codes[number] = len(spelled) + np.searchsorted(edges, own[number], side="right")
        table = np.zeros((len(spelled) + num_bins, rows.num_classes))
        np.add.at(table, (codes[fit], targets[fit]), 1.0)
        base = np.bincount(targets[fit], minlength=rows.num_classes) / max(1, fit.sum())
        shares = (table + SMOOTHING * base) / (table.sum(axis=1, keepdims=True) + SMOOTHING)
        # Folds differ in their base rate; rounded, so that words never seen before tie.
        scores[scored] = np.round(shares[codes[scored]] - base, 12)
    return scores
