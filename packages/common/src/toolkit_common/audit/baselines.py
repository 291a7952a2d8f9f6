"""What the metadata says without the image: the baselines to show beside every metadata result.

`missingness` reads only which cells are empty, `metadata` the values (numbers filled with the
train median, an empty word as a word of its own); both are logistic regressions fitted on train
and judged once on test (docs/slimp.md, docs/traps.md 17). An encoder that saw metadata and
does not beat them has learned nothing from the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from toolkit_common.audit.proxies import auroc_of, chance_error, large_classes
from toolkit_common.data.cells import parse_numbers
from toolkit_common.data.dataset import ImageData, Labels
from toolkit_common.data.sheet import Column
from toolkit_common.data.splits import Splits
from toolkit_common.scores.metrics import Predictions, auroc, balanced_accuracy

METRICS = (auroc, balanced_accuracy)
NUMERIC = ("numeric", "angle")
SURE = 2.5  # standard errors above chance: one figure, not the best of many columns
MAX_WORDS = 64  # rarer words share one column
MAX_ROWS = 50_000  # to fit on: seconds, whatever the data set


@dataclass(frozen=True)
class Fitted:
    """One baseline, `missingness` or `metadata`, fitted on `num_columns` columns of train.

    `probabilities` are of the classes, for each test row `(n, c)`, an array a set of training rows;
    `num_parameters` those of the largest fit, as rows differ in how many words they have.
    """

    name: str
    num_columns: int
    num_parameters: int
    probabilities: Sequence[np.ndarray]


@dataclass(frozen=True)
class Baseline:
    """Test figures of one baseline, in [0, 1], NaN where undefined.

    `sure` says whether chance alone would hardly give such an AUROC on so few test rows or groups.
    `large_auroc` is the mean of classes that are large enough to decide, NaN without any.
    """

    name: str
    columns: int
    auroc: float
    balanced_accuracy: float
    sure: bool
    large_auroc: float


def fit_baselines(
    data: ImageData,
    labels: Labels,
    splits: Splits,
    *,
    columns: Sequence[Column] | None = None,
    trains: Sequence[np.ndarray] = (),
    tests: Sequence[pd.DataFrame] = (),
) -> list[Fitted]:
    """Fit both baselines on metadata columns; none where there are no columns.

    Of more than `MAX_ROWS` training rows a part is fitted on, the frequent classes thinned out and
    weighted up again. Splits hold labelled rows alone (`keep_labelled`); without `columns` those of
    the sheet are read. `trains` are sets of rows to fit on, each for itself, in place of the
    training split; `tests` versions of the test rows to answer for, one below the other, in their
    place.
    """
    read = _columns(data) if columns is None else columns
    # The label, where it is one of the columns, would be told by itself.
    columns = [column for column in read if column.name != labels.name]
    if not columns:
        return []
    numbers = [column.name for column in columns if column.kind in NUMERIC]
    words = [column.name for column in columns if column.kind not in NUMERIC]
    whole, parts = _with_versions(data, splits, tests)
    parsed = {name: parse_numbers(whole[name], unit=None) for name in numbers}
    baselines = []
    for name, pipeline, table in (
        ("missingness", _pipeline([*numbers, *words], []), whole.isna().astype(float)),
        ("metadata", _pipeline(numbers, words), _values(whole.assign(**parsed), words)),
    ):
        probabilities, sizes = [], []
        for train in trains or [splits.train]:
            _fit_(pipeline, table, labels, train=train)
            probabilities.append(_predict(pipeline, table, labels, parts=parts))
            sizes.append(int(pipeline[-1].coef_.size + pipeline[-1].intercept_.size))
        baselines.append(Fitted(name, len(columns), max(sizes), probabilities))
    return baselines


def _fit_(pipeline: Any, table: pd.DataFrame, labels: Labels, *, train: np.ndarray) -> None:
    rows, weights = _thinned(labels.targets, train)
    pipeline.fit(table.iloc[rows], labels.targets[rows], logisticregression__sample_weight=weights)


def _predict(
    pipeline: Any, table: pd.DataFrame, labels: Labels, *, parts: Sequence[np.ndarray]
) -> np.ndarray:
    """Return the probabilities of some parts of the table's rows, one below the other."""
    # Train may lack a class of the test rows: its probability stays 0.
    probabilities = np.zeros((sum(map(len, parts)), len(labels.classes)))
    # As precise as predictions are saved: rows of the same cells differ in the last bits, which
    # would rank them.
    probabilities[:, pipeline.classes_] = np.concatenate(
        [pipeline.predict_proba(table.iloc[part]).astype(np.float32) for part in parts]
    )
    return probabilities


def metadata_baselines(
    data: ImageData, labels: Labels, splits: Splits, *, columns: Sequence[Column] | None = None
) -> list[Baseline]:
    """Return the test figures of both baselines, see `fit_baselines`."""
    targets, once = labels.targets[splits.test], np.ones((1, len(splits.test)))
    owners = splits.test if data.groups is None else data.groups[splits.test]
    error = _chance_error(targets, pd.Series(owners))
    baselines = []
    for fitted in fit_baselines(data, labels, splits, columns=columns):
        (probabilities,) = fitted.probabilities
        predictions = Predictions(probabilities, targets)
        area, accuracy = (float(metric(predictions, once)[0]) for metric in METRICS)
        sure = area - 0.5 >= SURE * error
        of_large = [
            auroc_of(probabilities[:, code], targets == code, least=1)
            for code in np.flatnonzero(large_classes(labels))
        ]
        known = [value for value in of_large if not np.isnan(value)]
        large = float(np.mean(known)) if known else float("nan")
        baselines.append(Baseline(fitted.name, fitted.num_columns, area, accuracy, sure, large))
    return baselines


def complete_rows(data: ImageData) -> np.ndarray | None:
    """Return which rows have every metadata column of the sheet `(n,)`; None if it has none."""
    names = [column.name for column in _columns(data)]
    return data.table[names].notna().all(axis=1).to_numpy() if names else None


def _with_versions(
    data: ImageData, splits: Splits, tests: Sequence[pd.DataFrame]
) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """Return a table with all that is answered for, and which of its rows are each version's."""
    if not tests:
        return data.table, [splits.test]
    ends = np.cumsum([len(data.table), *map(len, tests)])
    whole = pd.concat([data.table, *tests], ignore_index=True)
    return whole, [np.arange(start, end) for start, end in pairwise(ends)]


def _chance_error(targets: np.ndarray, owners: pd.Series) -> float:
    """Return the standard error of a mean of AUROCs by chance, at most: as if they agreed."""
    sides = [[owners[part].nunique(dropna=False) for part in (targets == code, targets != code)]
             for code in np.unique(targets)]  # fmt: skip
    errors = [chance_error(*side) for side in sides if min(side)]
    return float(np.mean(errors)) if errors else np.inf


def _columns(data: ImageData) -> list[Column]:
    return [column for column in data.sheet.columns if column.name in data.table]


def _values(table: pd.DataFrame, words: Sequence[str]) -> pd.DataFrame:
    spelled = table[list(words)].map(str, na_action="ignore").astype(object).fillna("(empty)")
    return table.assign(**spelled)


def _thinned(targets: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to fit on and how many each stands for."""
    if len(train) <= MAX_ROWS:
        return train, np.ones(len(train))
    # A fixed seed: two audits of one table say the same.
    rng = np.random.default_rng(0)
    classes = np.unique(targets[train])
    rows, weights = [], []
    for code in classes:
        own = train[targets[train] == code]
        # Equally many of each class, as rare ones carry what can be learned.
        kept = rng.permutation(own)[: MAX_ROWS // len(classes)]
        rows.append(kept)
        weights.append(np.full(len(kept), len(own) / len(kept)))
    return np.concatenate(rows), np.concatenate(weights)


def _pipeline(numbers: list[str], words: list[str]) -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    # Kept, or a column without any value in train would be dropped with a warning.
    fill = SimpleImputer(strategy="median", keep_empty_features=True)
    # Words that train did not have are read as its rare ones, where it has too many words.
    spell = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MAX_WORDS)
    columns = make_column_transformer(
        (make_pipeline(fill, StandardScaler()), numbers), (spell, words)
    )
    return make_pipeline(columns, LogisticRegression(max_iter=2000))
