"""Logistic regression as a method, for small sets: scikit-learn's, C picked on the selection split.

Features are standardised with the training rows' mean and deviation, as a linear head's batch norm
does, and the fit has no other setting, seed or schedule: a second opinion on linear probing.
"""

import warnings
from collections.abc import Mapping

import numpy as np
from accelerate.utils import broadcast_object_list
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from toolkit_common.console import console
from toolkit_probing.heads.inputs import place_name
from toolkit_probing.heads.specs import layers_of, sources_of
from toolkit_probing.methods.vectors import pick_setting, read_vectors
from toolkit_probing.results.rows import Outcome
from toolkit_probing.task.context import Context
from toolkit_probing.task.subsets import Subset

MAX_ITERATIONS = 1000

Places = Mapping[str, np.ndarray]  # split -> positions


def probe_with_logreg(context: Context) -> list[Outcome]:
    """Return logistic regression's outcomes at every layer and source, or nothing if not asked."""
    settings, info, source = context.settings, context.backbone.info, context.features.source
    if "logreg" not in settings.method:
        return []
    outcomes: list[Outcome] = []
    if context.accelerator.is_main_process:
        for layer in layers_of(settings, info):
            for vector in sources_of("logreg", settings, info):
                features = read_vectors(source, np.arange(len(source)), layer, vector).numpy()
                outcomes += [
                    _judge(context, features, subset, layer=layer, vector=vector)
                    for subset in context.subsets
                ]
    shared: list[list[Outcome]] = broadcast_object_list([outcomes])
    return shared[0]


def fit_and_predict(
    features: np.ndarray, targets: np.ndarray, *, train: np.ndarray, where: Places, c: float
) -> dict[str, np.ndarray]:
    """Fit on the rows `train` and return the probabilities `(n, c)` of the rows of each split."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=MAX_ITERATIONS))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(features[train], targets[train])
    if any(issubclass(item.category, ConvergenceWarning) for item in caught):
        console.print(f"logreg: C={c:g} did not converge in {MAX_ITERATIONS} iterations")
    return {split: model.predict_proba(features[rows]) for split, rows in where.items()}


def _judge(
    context: Context, features: np.ndarray, subset: Subset, *, layer: int, vector: str
) -> Outcome:
    settings, task = context.settings, context.task
    splits: set[str] = {settings.select_on, "test"}
    where = {split: task.positions(split) for split in splits}
    fits = [
        {
            (c,): fit_and_predict(features, task.targets, train=draw, where=where, c=c)
            for c in settings.logreg_c
        }
        for draw in subset.draws
    ]
    selection = [
        {setting: found[settings.select_on] for setting, found in fit.items()} for fit in fits
    ]
    best, scores = pick_setting(selection, task.targets_of(settings.select_on), settings.select_by)
    num_classes, dim = len(task.labels.classes), features.shape[1]
    outputs = 1 if num_classes == 2 else num_classes
    return Outcome(
        method="logreg",
        layer=layer,
        source=vector,
        variant=f"logreg-{place_name(layer, vector)}",
        subset=subset,
        settings={"C": best[0]},
        picked=f"C by {settings.select_by}",
        select_score=scores[best],
        grid=[{"C": c, "select_score": score} for (c,), score in scores.items()],
        seeds=[settings.seed] * len(subset.draws),
        draws=range(len(subset.draws)),
        probabilities=[fit[best]["test"] for fit in fits],
        num_parameters=outputs * (dim + 1),
        flops=2 * outputs * dim,
    )
