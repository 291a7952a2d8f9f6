"""A probe as a scikit-learn classifier, for people who have tokens or vectors of their own.

It trains a head through the loop of `toolkit probe`, or fits what the command fits, by its rules:
learning rates side by side, classifiers that are fitted, and held-out rows that pick. Here they are
held out of what `fit` gets.

Shapes: b rows, n tokens, d token width, c classes.
"""

import math
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d
from torch import Tensor
from typing_extensions import override

from toolkit_common.config import Layer, resolve
from toolkit_common.errors import InputError
from toolkit_common.registry import lookup
from toolkit_common.scores.metrics import METRICS
from toolkit_probing.heads.bank import HeadBank, sample_of
from toolkit_probing.heads.head import HeadSpec
from toolkit_probing.hold_out import hold_out
from toolkit_probing.methods import METHODS
from toolkit_probing.methods.method import Method
from toolkit_probing.methods.options import refuse_unknown_option
from toolkit_probing.methods.specs import rates_of
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.token_table import LAYER, TokenTable, read_tokens, read_weights
from toolkit_probing.training.checkpoint import copy_trained, load_trained_
from toolkit_probing.training.compute import OneDevice
from toolkit_probing.training.examples import Examples
from toolkit_probing.training.loop import train_bank
from toolkit_probing.training.scoring import DIVERGED, predict, score
from toolkit_probing.training.select import select_learning_rate
from toolkit_probing.vector_fit import VectorFit, fit_vectors

OTHERS = ("method", "options", "device")  # mean something else here than to `toolkit probe`
LR, C = (ProbeSettings.model_fields[name].default for name in ("lr", "c"))


class ProbeClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Train a probe on tokens `(b, n, d)` or vectors `(b, d)` of a frozen encoder, numpy or torch.

    A part of the rows is held out, to pick learning rate, epoch and C; as with early stopping in
    scikit-learn's `HistGradientBoostingClassifier`, nothing is trained again on all rows.
    Parameters that are not described here are read as the option of `toolkit probe` that has their
    name, and have its default.

    Args:
        method: A pooling of tokens by its short name; or `linear`, `knn`, `logreg`, which read
            vectors, the mean of tokens.
        options: Options of the method, such as `{"num_queries": 8}` of ep or `{"k": [5, 20]}` of
            knn, whose values are tried.
        grid: Patch grid (gh, gw) for poolings that need it; a square one by default.
        lr: Learning rate, or several that are trained side by side.
        c: Inverse strength of the fitted classifier's L2 penalty, or of logreg's, scikit-learn's C,
            or several.
        classifier: `fitted`: by logistic regression, before training and at the best epoch;
            `trained`: as the optimizer left it.
        class_weight: None, or `balanced` for a loss in which all classes weigh alike.
        validation_fraction: About which share of the rows picks, at most a half: one of
            `round(1 / validation_fraction)` folds, stratified, from which a class's last rows go
            back into training. None holds nothing out: one `lr` and one `c`, all epochs.
        device: Where to train: `auto` (CUDA where there is one), `cpu`, `cuda`, ...
        random_state: Seed of weights, batches and held-out rows. Of a numpy `RandomState` every fit
            draws one; None is 0, so that fits are equal.

    Attributes:
        classes_: Labels in the order of `predict_proba`'s columns.
        picked_: What was picked among several, by name: `k` and `temperature` of knn.
        head_: The picked head; `head_.pool` is the pooling, with its `attention(tokens)`. knn and
            logreg have none.
        lr_: Its learning rate; None where no step is in it: where nothing was better than its
            start, and of `linear` with a fitted classifier, knn and logreg.
        C_: Its C; None of knn, and where the classifier is trained.
        n_iter_: Epochs that it is trained for; 0 where nothing was better than its start.
        validation_score_: Its `select_by` on the held-out rows, a loss negative; None without any.
        n_features_in_: Token width.
        feature_names_in_: Columns, where vectors came as a table.

    Raises:
        InputError: (a ValueError) If tokens, labels or options are at fault.
    """

    fit_: VectorFit | None  # of knn and logreg
    lr_: float | None
    C_: float | None

    def __init__(
        self,
        method: str = "ep",
        *,
        options: Mapping[str, Any] | None = None,
        grid: tuple[int, int] | None = None,
        lr: float | Sequence[float] = LR,
        c: float | Sequence[float] = C,
        classifier: str = "fitted",
        class_weight: str | None = None,
        optimizer: str = "adamw",
        weight_decay: float = 0.0,
        epochs: int = 30,
        warmup_epochs: float = 1.0,
        batch_size: int | None = None,
        micro_batch: int | None = None,
        patience: int = 10,
        min_delta: float = 0.0,
        select_by: str = "log_loss",
        validation_fraction: float | None = 0.2,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        # As given, unchecked: scikit-learn clones by these names, and `fit` says what is wrong.
        self.method = method
        self.options = options
        self.grid = grid
        self.lr = lr
        self.c = c
        self.classifier = classifier
        self.class_weight = class_weight
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.warmup_epochs = warmup_epochs
        self.batch_size = batch_size
        self.micro_batch = micro_batch
        self.patience = patience
        self.min_delta = min_delta
        self.select_by = select_by
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state

    def fit(
        self,
        X: Any,  # noqa: N803
        y: Any,
        *,
        groups: Any = None,
        sample_weight: Any = None,
    ) -> "ProbeClassifier":
        """Train on tokens `(b, n, d)` or vectors `(b, d)` and any labels `(b,)`, and return self.

        Rows of one of `groups` `(b,)`, such as a patient, are held out together. A row of
        `sample_weight` `(b,)` 2 counts as two, in the loss, the votes and where rows pick.
        """
        tokens = read_tokens(self, X, reset=True)
        if self._method().reads_tokens and np.ndim(X) == 2:
            raise InputError(
                f"{self.method} pools tokens (rows, tokens, width), got {tuple(np.shape(X))}: "
                "linear, knn and logreg read vectors"
            )
        targets = self._encode(y, len(tokens))
        weights = read_weights(sample_weight, len(tokens))
        table, settings = self._table(tokens), self._settings()
        parts = self._parts(targets, groups, settings, weights=weights)
        examples = Examples(table, targets, *parts, weights=weights)
        if self._method().is_trained:
            self._train(table, examples, settings)
        else:
            self._learn(tokens, examples, settings)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the probability of every class `(b, c)`."""
        check_is_fitted(self)
        tokens = read_tokens(self, X, reset=False)
        if self.fit_ is not None:
            return self.fit_.probabilities(tokens.mean(dim=1))
        rows, compute = np.arange(len(tokens)), OneDevice(self.device)
        (read,) = predict(self.bank_, self._table(tokens), rows, compute=compute).values()
        return read

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the most probable label of each row."""
        chosen = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[chosen])

    @override
    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        method = METHODS.get(self.method)
        tags.input_tags.two_d_array = method is None or method.pool is None
        return tags

    def _encode(self, y: Any, num_rows: int) -> np.ndarray:
        if y is None:
            raise InputError("fit requires y to be passed, but the target y is None")
        labels = y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
        if labels.shape == (num_rows, 1):
            labels = column_or_1d(labels, warn=True)
        if labels.shape != (num_rows,):
            raise InputError(f"labels must have the shape ({num_rows},), got {labels.shape}")
        check_classification_targets(labels)
        self.classes_, targets = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(
                f"a probe needs at least two classes, got one class, {self.classes_.tolist()[0]!r}"
            )
        return targets

    def _parts(
        self,
        targets: np.ndarray,
        groups: Any,
        settings: ProbeSettings,
        *,
        weights: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows to learn from, and those that pick."""
        rows, share = np.arange(len(targets)), self.validation_fraction
        if share is None:
            method = self._method()
            tried = {"lr": rates_of(method, settings), "c": settings.c} if method.is_trained else {}
            if settings.classifier == "trained":
                tried.pop("c", None)
            several = [f"{name}={value}" for name, value in tried.items() if len(value) > 1]
            several += [] if groups is None else ["groups"]
            if several:
                raise InputError(
                    "validation_fraction=None holds no rows out to pick by, so that there is one "
                    f"lr, one c and no groups, got {' and '.join(several)}"
                )
            return rows, rows[:0]
        held_out = hold_out(targets, groups, share=share, seed=settings.seed)
        # Whether a metric is defined is for the targets to say: any finite probabilities tell.
        even = np.full((len(held_out), len(self.classes_)), 1 / len(self.classes_))
        counts = None if weights is None else weights[held_out]
        if score(even, targets[held_out], settings.select_by, weights=counts) == DIVERGED:
            raise InputError(
                f"select_by={settings.select_by!r} is undefined on the {len(held_out)} rows that "
                f"are held out, of {len(np.unique(targets[held_out]))} of {len(self.classes_)} "
                "classes: choose another or a larger validation_fraction"
            )
        return np.setdiff1d(rows, held_out), held_out

    def _learn(self, tokens: Tensor, examples: Examples, settings: ProbeSettings) -> None:
        """Fit a method that is not trained step by step, and keep its best setting."""
        self.fit_ = fit_vectors(
            self._method(),
            dict(self.options or {}),
            examples,
            values=tokens.mean(dim=1),
            num_classes=len(self.classes_),
            settings=settings,
            compute=OneDevice(self.device),
        )
        self.picked_ = dict(self.fit_.picked)
        self.lr_, self.n_iter_, self.C_ = None, 0, self.picked_.get("C")
        self.validation_score_ = self.fit_.score

    def _train(self, table: TokenTable, examples: Examples, settings: ProbeSettings) -> None:
        """Train a head for every learning rate and keep the best."""
        method, seed, options = self._method(), settings.seed, dict(self.options or {})
        source = "patches" if method.reads_tokens else "mean"
        heads = [
            HeadSpec(method.name, LAYER, source, lr, seed, options)
            for lr in rates_of(method, settings)
        ]
        specs = [*{spec.key: spec for spec in heads}.values()]  # one rate given twice is one
        sample, num_classes = sample_of(table), len(self.classes_)
        bank, compute = HeadBank(specs, sample, num_classes=num_classes), OneDevice(self.device)
        trained = train_bank(bank, examples, settings, compute=compute)
        ((spec,),) = select_learning_rate(specs, [trained]).values() if trained else (specs,)
        best = trained.get(spec.key)
        # Of the heads that were tried this one is kept.
        self.bank_ = HeadBank([spec], sample, num_classes=num_classes).to(compute.device)
        state = copy_trained(bank.heads[spec.key]) if best is None else best.state
        load_trained_(self.bank_.heads[spec.key], state)
        self.head_, self.lr_ = self.bank_.head(spec.key), spec.base_lr
        if best is None:
            self.n_iter_ = 0 if spec.base_lr is None else settings.epochs
            self.C_ = settings.c[0] if settings.classifier == "fitted" else None
        else:
            self.n_iter_, self.C_ = best.epoch, best.c
            self.lr_ = spec.base_lr if best.epoch else None  # rates of what is judged as it began
        self.validation_score_ = None if best is None else best.value
        self.fit_, self.picked_ = None, {"lr": self.lr_, "C": self.C_, "epoch": self.n_iter_}
        if not all(item.isfinite().all() for item in self.head_.state_dict().values()):
            if self.lr_ is None:
                raise InputError("tokens are too large to be fitted in fp32: scale them")
            raise InputError(f"the head has diverged with lr={self.lr_}: lower it")

    def _table(self, tokens: Tensor) -> TokenTable:
        return TokenTable(
            tokens, self._grid(tokens.shape[1]), has_patches=self._method().reads_tokens
        )

    def _grid(self, num_tokens: int) -> tuple[int, int]:
        side = math.isqrt(num_tokens)
        pool = self._method().pool
        needs_grid = pool is not None and pool.needs_grid
        grid = self.grid or ((side, side) if side * side == num_tokens else (1, num_tokens))
        if grid[0] * grid[1] != num_tokens or (needs_grid and not self.grid and grid[0] != side):
            raise InputError(
                f"method {self.method!r} needs the patch grid of {num_tokens} tokens, got "
                f"grid={self.grid}: give grid=(rows, columns)"
            )
        return grid

    def _method(self) -> Method:
        """Return the method; there is one vector here, so that none is about another."""
        known = {name: item for name, item in METHODS.items() if item.vector is None}
        method = lookup(known, self.method, kind="method")
        for name in self.options or ():
            refuse_unknown_option(method.name, method.options, name)
        return method

    def _settings(self) -> ProbeSettings:
        """Return the parameters that `toolkit probe` has too, checked as it does."""
        given = {
            name: value.item() if isinstance(value, np.generic) else value  # of a parameter grid
            for name, value in self.get_params(deep=False).items()
            if name in ProbeSettings.model_fields and name not in OTHERS
        }
        given |= {name: np.atleast_1d(given[name]).tolist() for name in ("lr", "c")}
        given |= {"class_weight": self.class_weight or "none", "seed": self._seed()}
        settings = resolve(ProbeSettings, [Layer(type(self).__name__, given)]).settings
        lookup(METRICS, settings.select_by, kind="metric")
        return settings

    def _seed(self) -> int:
        if self.random_state is None:
            return 0
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        try:
            return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        except ValueError as error:
            raise InputError(f"random_state: {error}") from None
