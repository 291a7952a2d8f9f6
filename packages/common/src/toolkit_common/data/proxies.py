"""How well each column alone tells the label: by its values, and by whether it is filled in.

A column's score is an AUROC, of the class it tells best against the rest. Numbers are scored as
they are (in the better direction); words by the share of the class among the other folds' rows
with that word, folds grouped, so that an id cannot score by naming single rows.

Shapes: n rows, c classes.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from toolkit_common.data.base import Labels

MIN_ROWS = 10  # of a class and of its rest below which an AUROC says little
NUM_FOLDS = 5
SMOOTHING = 5.0  # rows at the base rate added to each word's share


@dataclass(frozen=True)
class ColumnFacts:
    """One column beside the label.

    Attributes:
        name: Of the column.
        missing: Share of empty cells, in [0, 1].
        distinct: Number of distinct values.
        value_auroc: Of the values among filled rows, NaN where undefined.
        value_class: The class that they tell best.
        missing_auroc: Of "is empty" alone, NaN where undefined.
        missing_class: The class that it tells best.
        constant: One value or none.
        id_like: Words, nearly all different.
    """

    name: str
    missing: float
    distinct: int
    value_auroc: float
    value_class: str
    missing_auroc: float
    missing_class: str
    constant: bool
    id_like: bool


def describe_column(
    values: pd.Series, labels: Labels, *, groups: np.ndarray | None = None
) -> ColumnFacts:
    """Score one column against the label; rows without a label are left out.

    Args:
        values: The column `(n,)`.
        labels: The label.
        groups: Group of each row `(n,)`: a group's rows do not score one another.
    """
    known = labels.targets >= 0
    filled = values.notna().to_numpy()
    distinct, numeric = int(values.nunique()), pd.api.types.is_numeric_dtype(values)
    rows = np.flatnonzero(known & filled)
    owners = np.arange(len(values)) if groups is None else pd.factorize(groups)[0]
    scores = _number_scores if numeric else _word_scores
    value = _best(scores(values.iloc[rows], labels, rows, owners), labels, rows)
    labelled = np.flatnonzero(known)
    mask = np.repeat(~filled[labelled, None], len(labels.classes), axis=1).astype(float)
    missing = _best(mask, labels, labelled)
    id_like = not numeric and distinct >= MIN_ROWS and distinct > 0.9 * filled.sum()
    return ColumnFacts(
        str(values.name), float((~filled).mean()), distinct, *value, *missing,
        constant=distinct <= 1, id_like=bool(id_like),
    )  # fmt: skip


def auroc_of(scores: np.ndarray, positive: np.ndarray) -> float:
    """Return the AUROC, ties counted half; NaN with fewer than `MIN_ROWS` rows on a side."""
    from scipy.stats import rankdata

    hits = int(positive.sum())
    others = len(positive) - hits
    if min(hits, others) < MIN_ROWS:
        return float("nan")
    above = rankdata(scores)[positive].sum() - hits * (hits + 1) / 2
    return float(above / (hits * others))


def _best(scores: np.ndarray, labels: Labels, rows: np.ndarray) -> tuple[float, str]:
    """Return the best AUROC over classes, in the better direction, and its class."""
    best, name = float("nan"), ""
    for code, word in enumerate(labels.classes):
        found = auroc_of(scores[:, code], labels.targets[rows] == code)
        found = max(found, 1 - found)
        if not found <= best and found == found:
            best, name = found, word
    return best, name


def _number_scores(
    values: pd.Series, labels: Labels, rows: np.ndarray, owners: np.ndarray
) -> np.ndarray:
    del rows, owners
    return np.repeat(values.to_numpy(float)[:, None], len(labels.classes), axis=1)


def _word_scores(
    values: pd.Series, labels: Labels, rows: np.ndarray, owners: np.ndarray
) -> np.ndarray:
    """Return each row's share of every class among other folds' rows with its word `(n, c)`."""
    words, spelled = pd.factorize(values)
    targets, count = labels.targets[rows], len(labels.classes)
    fold = np.random.default_rng(0).integers(0, NUM_FOLDS, owners.max(initial=0) + 1)[owners[rows]]
    scores = np.zeros((len(rows), count))
    for held_out in range(NUM_FOLDS):
        fit, scored = fold != held_out, fold == held_out
        table = np.zeros((len(spelled), count))
        np.add.at(table, (words[fit], targets[fit]), 1.0)
        base = np.bincount(targets[fit], minlength=count) / max(1, fit.sum())
        shares = (table + SMOOTHING * base) / (table.sum(axis=1, keepdims=True) + SMOOTHING)
        # Folds differ in their base rate; rounded, so that words never seen before tie.
        scores[scored] = np.round(shares[words[scored]] - base, 12)
    return scores
