"""A probe as a scikit-learn classifier, for people who have tokens of their own.

It trains one head through the loop of `toolkit probe`, which adds learning rates side by side, a
validation split that picks, resuming and several processes. Here scikit-learn does that:
`GridSearchCV(ProbeClassifier(), {"lr": [0.001, 0.003, 0.01]})`.

Shapes: b rows, n tokens, d token width, c classes.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from typing_extensions import override

from toolkit_common.config import Layer, resolve
from toolkit_common.errors import InputError
from toolkit_common.features.contract import Features, LayerFeatures
from toolkit_common.registry import lookup
from toolkit_probing.heads.bank import HeadBank, sample_of
from toolkit_probing.heads.head import HeadSpec
from toolkit_probing.methods import METHODS
from toolkit_probing.methods.method import Method
from toolkit_probing.methods.options import refuse_unknown_option
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.training.compute import OneDevice
from toolkit_probing.training.examples import Examples
from toolkit_probing.training.loop import train_bank
from toolkit_probing.training.plan import TrainingPlan
from toolkit_probing.training.scoring import predict

LAYER = 1  # a head spec names a layer; tokens that are given have only one
OTHERS = ("method", "options", "device")  # mean something else here than to `toolkit probe`


class ProbeClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Train a probe on tokens `(b, n, d)` of a frozen encoder, numpy or torch.

    Args:
        method: A pooling by its short name, or `linear` for the mean of the tokens.
        options: Keyword arguments of the pooling, such as `{"num_queries": 8}`.
        grid: Patch grid (gh, gw) for poolings that need it; a square one by default.
        lr: Base learning rate; the rate is `lr * batch_size / 256`.
        epochs: Passes over the rows.
        warmup_epochs: Passes over which the learning rate rises; at most a tenth of `epochs` by
            default.
        batch_size: Rows of a step; about a 32nd of all, 16 to 1024, by default. This and what
            follows is read as the option of `toolkit probe` that has its name.
        optimizer: `adamw`, `lars` or `sgd`.
        weight_decay: Of matrices.
        micro_batch: Rows that the head pools at once: the figures stay, only memory falls.
        device: Where to train: `cpu`, `cuda`, ...
        random_state: Seed of weights and batches. Of a numpy `RandomState` every fit draws one;
            None is 0, so that fits are equal.

    Attributes:
        classes_: Labels in the order of `predict_proba`'s columns.
        head_: The trained head; `head_.pool` is the pooling, with its `attention(tokens)`.
        n_features_in_: Token width.
        n_iter_: Steps taken.

    Raises:
        InputError: (a ValueError) If tokens, labels or options are at fault.
    """

    def __init__(
        self,
        method: str = "ep",
        *,
        options: Mapping[str, Any] | None = None,
        grid: tuple[int, int] | None = None,
        lr: float = 0.003,
        epochs: int = 90,
        warmup_epochs: float | None = None,
        batch_size: int | None = None,
        optimizer: str = "adamw",
        weight_decay: float = 0.0,
        micro_batch: int | None = None,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        # As given, unchecked: scikit-learn clones by these names, and `fit` says what is wrong.
        self.method = method
        self.options = options
        self.grid = grid
        self.lr = lr
        self.epochs = epochs
        self.warmup_epochs = warmup_epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.micro_batch = micro_batch
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> "ProbeClassifier":  # noqa: N803
        """Train on tokens `(b, n, d)` and any labels `(b,)`, and return self."""
        tokens = _as_tokens(X)
        targets = self._encode(y, len(tokens))
        table, settings = self._table(tokens), self._settings()
        source = "patches" if table.has_patches else "mean"
        options = dict(self.options or {})
        spec = HeadSpec(self.method, LAYER, source, settings.lr[0], settings.seed, options)
        self.bank_ = HeadBank([spec], sample_of(table), num_classes=len(self.classes_))
        self.head_ = self.bank_.head(spec.key)
        self.n_features_in_ = tokens.shape[2]
        examples = Examples(table, targets, train=np.arange(len(tokens)))
        train_bank(self.bank_, examples, settings, compute=OneDevice(self.device))
        self.n_iter_ = TrainingPlan(settings, len(tokens)).total_steps
        if not all(item.isfinite().all() for item in self.head_.state_dict().values()):
            raise InputError(f"the head has diverged with lr={self.lr}: lower it")
        return self

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the probability of every class `(b, c)`."""
        check_is_fitted(self)
        tokens = _as_tokens(X)
        if tokens.shape[2] != self.n_features_in_:
            raise InputError(
                f"the probe was fitted on tokens of width {self.n_features_in_}, got "
                f"tokens.shape={tuple(tokens.shape)}"
            )
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
        tags.input_tags.two_d_array = False
        return tags

    def _encode(self, y: Any, num_rows: int) -> np.ndarray:
        labels = y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
        if labels.shape != (num_rows,):
            raise InputError(f"labels must have the shape ({num_rows},), got {labels.shape}")
        check_classification_targets(labels)
        self.classes_, targets = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"a probe needs at least two classes, got only {self.classes_[0]!r}")
        return targets

    def _table(self, tokens: Tensor) -> "TokenTable":
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
        known = {
            name: item for name, item in METHODS.items() if item.is_trained and item.vector is None
        }
        method = lookup(known, self.method, kind="method")
        for name in self.options or ():
            refuse_unknown_option(method.name, method.options, name)
        return method

    def _settings(self) -> ProbeSettings:
        """Return the parameters that `toolkit probe` has too, checked as it does."""
        warmup = self.epochs / 10 if self.warmup_epochs is None else self.warmup_epochs
        given = {
            name: value.item() if isinstance(value, np.generic) else value  # of a parameter grid
            for name, value in self.get_params(deep=False).items()
            if name in ProbeSettings.model_fields and name not in OTHERS
        }
        given |= {"lr": float(self.lr), "warmup_epochs": warmup, "seed": self._seed()}
        return resolve(ProbeSettings, [Layer(type(self).__name__, given)]).settings

    def _seed(self) -> int:
        if self.random_state is None:
            return 0
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        try:
            return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        except ValueError as error:
            raise InputError(f"random_state: {error}") from None


@dataclass(frozen=True)
class TokenTable:
    """Tokens in memory as a source of features.

    Attributes:
        tokens: `(b, n, d)`.
        grid: Patch grid (gh, gw).
        has_patches: Whether it gives the tokens, or their mean alone.
    """

    tokens: Tensor
    grid: tuple[int, int]
    has_patches: bool

    def __len__(self) -> int:
        return len(self.tokens)

    def iterate(self, batches: Sequence[np.ndarray]) -> Iterator[LayerFeatures]:
        """Yield the features of each batch of rows."""
        for rows in batches:
            tokens = self.tokens[torch.from_numpy(rows)]
            if self.has_patches:
                yield {LAYER: Features({}, tokens, self.grid)}
            else:
                yield {LAYER: Features({"mean": tokens.mean(1)}, None, self.grid)}


def _as_tokens(values: Any) -> Tensor:
    tokens = values.detach() if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
    if tokens.ndim != 3 or min(tokens.shape) < 1 or tokens.dtype == torch.bool:
        raise InputError(
            f"tokens must be numbers of shape (rows, tokens, width), got "
            f"tokens.shape={tuple(tokens.shape)}, {tokens.dtype}"
        )
    tokens = tokens.float()
    if not tokens.isfinite().all():
        row = int((~tokens.isfinite()).flatten(1).any(1).nonzero()[0])
        raise InputError(f"tokens hold NaN or infinity, first in row {row}")
    return tokens
