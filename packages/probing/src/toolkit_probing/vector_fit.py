"""k-NN and logistic regression of `ProbeClassifier`: learned from arrays, a setting picked.

Shapes: n rows, d width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from toolkit_common.errors import InputError
from toolkit_probing.methods.knn import Neighbours, Search, Searcher, metric_of_votes
from toolkit_probing.methods.logreg import Regressed, Regressions, Regressor
from toolkit_probing.methods.method import Method
from toolkit_probing.methods.options import read_options
from toolkit_probing.methods.vectors import Known, pick_setting
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.training.compute import Compute
from toolkit_probing.training.examples import Examples

KNN = "knn"


@dataclass(frozen=True)
class VectorFit:
    """What is kept of a fit: one setting.

    Attributes:
        learned: Answers for vectors `(n, d)`.
        picked: Its setting by name.
        score: Of it on the rows that pick, more is better; None where there are none.
    """

    learned: Search | Regressed
    picked: Mapping[str, Any]
    score: float | None

    def probabilities(self, values: Tensor) -> np.ndarray:
        """Return the probability of every class `(n, c)`."""
        (answer,) = self.learned.answer(values).values()
        return answer


def fit_vectors(
    method: Method,
    options: Mapping[str, Any],
    examples: Examples,
    *,
    values: Tensor,
    num_classes: int,
    settings: ProbeSettings,
    compute: Compute,
) -> VectorFit:
    """Learn from the training rows, and keep the setting that the rows which pick choose.

    Args:
        method: k-NN or logistic regression.
        options: Values of its options; a C that is not among them is that of the settings.
        examples: Targets, weights and parts of all rows.
        values: Vectors of all rows `(n, d)`.
        num_classes: c.
        settings: What picks, and the weight of classes.
        compute: Where to search.

    Raises:
        InputError: If an option is at fault, or several settings were given and no row picks.
    """
    is_knn = method.name == KNN
    given = {} if is_knn else {"c": settings.c}
    given |= {
        name: np.atleast_1d(np.asarray(value, object)).tolist() for name, value in options.items()
    }
    read = {
        name: tried for name, (tried,) in read_options(method.name, method.options, given).items()
    }
    classifier: Searcher | Regressor
    if is_knn:
        classifier, metric = Searcher(Neighbours(**read), compute), metric_of_votes(settings)
    else:
        classifier, metric = (
            Regressor(Regressions(**read), settings.class_weight),
            settings.select_by,
        )
    weights = examples.weights
    learned = classifier.learn(
        Known(
            values[examples.train],
            examples.targets[examples.train],
            num_classes,
            None if weights is None else weights[examples.train],
        )
    )
    best, score = _pick(learned, examples, values, metric=metric)
    return VectorFit(learned.only(best), dict(zip(classifier.names, best, strict=True)), score)


def _pick(
    learned: Search | Regressed, examples: Examples, values: Tensor, *, metric: str
) -> tuple[tuple[Any, ...], float | None]:
    if not len(examples.select):
        several = list(learned.answer(values[:1]))
        if len(several) > 1:
            raise InputError(
                "validation_fraction=None holds no rows out to pick by, so that there is one "
                f"setting, got {len(several)}: {several[0]}, {several[1]}, ..."
            )
        return several[0], None
    answers, targets = learned.answer(values[examples.select]), examples.targets[examples.select]
    best, scores = pick_setting([answers], targets, metric, weights=examples.select_weights())
    return best, scores[best]
