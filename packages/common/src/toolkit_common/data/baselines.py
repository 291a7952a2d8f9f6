"""What the metadata says without the image: the baselines to show beside every metadata result.

`missingness` reads only which cells are empty, `metadata` the values (numbers filled with the
train median, an empty word as a word of its own); both are logistic regressions fitted on train
and judged once on test (specs/slimp.md 6.3, specs/traps.md 17). An encoder that saw metadata and
does not beat them has learned nothing from the image.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from toolkit_common.data.base import ImageData, Labels
from toolkit_common.data.splits import Splits
from toolkit_common.metrics import Predictions, auroc, balanced_accuracy

NUMERIC = ("numeric", "angle")
MAX_WORDS = 64  # rarer words share one column


@dataclass(frozen=True)
class Baseline:
    """Test figures of one baseline, in [0, 1], NaN where undefined."""

    name: str
    columns: int
    auroc: float
    balanced_accuracy: float


def metadata_baselines(data: ImageData, labels: Labels, splits: Splits) -> list[Baseline]:
    """Fit both baselines on the sheet's metadata columns; none where there are no columns.

    Args:
        data: The data set.
        labels: What is predicted.
        splits: Labelled rows alone (`keep_labelled`).
    """
    columns = [column for column in data.sheet.columns if column.name in data.table]
    columns = [column for column in columns if column.name != labels.name]
    if not columns:
        return []
    table = data.table[[column.name for column in columns]]
    numbers = [column.name for column in columns if column.kind in NUMERIC]
    words = [column.name for column in columns if column.kind not in NUMERIC]
    mask = table.isna().astype(float)
    filled = pd.concat([table[numbers].astype(float), table[words].fillna("(empty)")], axis=1)
    return [
        _judge("missingness", mask, _pipeline([*numbers, *words], []), labels, splits),
        _judge("metadata", filled, _pipeline(numbers, words), labels, splits),
    ]


def _pipeline(numbers: list[str], words: list[str]) -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    fill = SimpleImputer(strategy="median", keep_empty_features=True)
    spell = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MAX_WORDS)
    columns = make_column_transformer(
        (make_pipeline(fill, StandardScaler()), numbers), (spell, words)
    )
    return make_pipeline(columns, LogisticRegression(max_iter=2000))


def _judge(
    name: str, frame: pd.DataFrame, pipeline: Any, labels: Labels, splits: Splits
) -> Baseline:
    pipeline.fit(frame.iloc[splits.train], labels.targets[splits.train])
    probabilities = np.zeros((len(splits.test), len(labels.classes)))
    probabilities[:, pipeline.classes_] = pipeline.predict_proba(frame.iloc[splits.test])
    predictions = Predictions(probabilities, labels.targets[splits.test])
    once = np.ones((1, len(splits.test)))
    figures = [float(metric(predictions, once)[0]) for metric in (auroc, balanced_accuracy)]
    return Baseline(name, frame.shape[1], *figures)
