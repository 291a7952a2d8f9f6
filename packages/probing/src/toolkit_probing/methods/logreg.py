"""Logistic regression as a method, for small sets: scikit-learn's, C picked on the selection split.

Features are standardised with the training rows' mean and deviation, as a linear head's batch norm
does, and the fit has no other setting, seed or schedule: a second opinion on linear probing.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from pydantic import Field
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from toolkit_common.console import console
from toolkit_probing.heads.head import Head
from toolkit_probing.methods.method import Method
from toolkit_probing.methods.vectors import Answers, Known, Setting, judge_vectors
from toolkit_probing.results.rows import Outcome
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.context import Context

MAX_ITERATIONS = 1000
DEFAULT_C = ProbeSettings.model_fields["c"].default  # as of heads: no grid favours a method


@dataclass(frozen=True, kw_only=True)
class Regressions:
    """What is tried.

    Attributes:
        c: Inverse regularisation, scikit-learn's C.
    """

    c: tuple[Annotated[float, Field(gt=0)], ...] = DEFAULT_C


def probe_with_logreg(context: Context, methods: Sequence[Method]) -> list[Outcome]:
    """Return logistic regression's outcomes at every layer and source; one process fits."""
    (method,) = methods
    (options,) = method.variants(context.settings)
    outcomes: list[Outcome] = []
    # A fit is one process's work; the others wait for what it found.
    if context.accelerator.is_main_process:
        settings = context.settings
        regressor = Regressor(Regressions(**options), settings.class_weight)
        outcomes = judge_vectors(method, context, regressor, metric=settings.select_by)
    shared: list[list[Outcome]] = broadcast_object_list([outcomes])
    return shared[0]


def fit_regression(known: Known, *, c: float, class_weight: str | None = None) -> Any:
    """Return scikit-learn's pipeline, fitted on known rows."""
    regression = LogisticRegression(C=c, max_iter=MAX_ITERATIONS, class_weight=class_weight)
    model = make_pipeline(StandardScaler(), regression)
    with warnings.catch_warnings(record=True) as caught:
        # Each fit's own: by default a warning is shown once.
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(
            known.values.numpy(),
            known.targets,
            standardscaler__sample_weight=known.weights,
            logisticregression__sample_weight=known.weights,
        )
    if any(issubclass(item.category, ConvergenceWarning) for item in caught):
        console.print(f"logreg: C={c:g} did not converge in {MAX_ITERATIONS} iterations")
    return model


@dataclass(frozen=True)
class Regressor:
    """Fits known rows, once for every C."""

    names: ClassVar[Sequence[str]] = ("C",)

    tried: Regressions
    class_weight: str

    def learn(self, known: Known) -> "Regressed":
        """Return what gives the probabilities of any vectors."""
        rule = None if self.class_weight == "none" else self.class_weight
        models = {(c,): fit_regression(known, c=c, class_weight=rule) for c in self.tried.c}
        return Regressed(models, known.num_classes)

    def cost(self, known: Known) -> tuple[int, int]:
        """Two classes need one output."""
        dim = known.values.shape[1]
        outputs = 1 if known.num_classes == 2 else known.num_classes
        return outputs * (dim + 1), 2 * outputs * dim


@dataclass(frozen=True)
class Regressed:
    """The regression of every C."""

    models: Mapping[Setting, Any]
    num_classes: int

    def only(self, setting: Setting) -> "Regressed":
        """Return the same with one of the settings that were tried."""
        return replace(self, models={setting: self.models[setting]})

    def retrieve(self, vectors: Tensor, targets: np.ndarray) -> None:
        """It searches nothing."""

    def head(self, setting: Setting) -> Head:
        """Return the regression under a C as a head."""
        return head_of(self.models[setting], num_classes=self.num_classes)

    def answer(self, vectors: Tensor) -> Answers:
        """Return the probabilities of some vectors `(b, d)`."""
        values = vectors.numpy()
        return {setting: model.predict_proba(values) for setting, model in self.models.items()}


def head_of(model: Any, *, num_classes: int) -> Head:
    """Return a pipeline of `fit_regression` as a head: what it standardises is the batch norm.

    scikit-learn has one output of two classes, which is the second's above the first's.
    """
    scaler, regression = (step for _, step in model.steps)
    mean, variance, scale = (
        torch.from_numpy(np.asarray(values, np.float64))
        for values in (scaler.mean_, scaler.var_, scaler.scale_)
    )
    weight, bias = (
        torch.from_numpy(np.asarray(values, np.float64))
        for values in (regression.coef_, regression.intercept_)
    )
    if len(weight) < num_classes:
        weight, bias = (torch.cat([torch.zeros_like(item), item]) for item in (weight, bias))
    head = Head(None, dim=weight.shape[1], num_classes=num_classes)
    state = {
        "norm.running_mean": mean,
        "norm.running_var": variance,
        "norm.num_batches_tracked": torch.tensor(1),
        # The norm adds a little to the variance, scikit-learn does not.
        "classifier.weight": weight * (variance + head.norm.eps).sqrt() / scale,
        "classifier.bias": bias,
    }
    head.load_state_dict(state)
    return head.eval()
