"""A probe as a scikit-learn classifier, for people who have tokens of their own.

It trains one head with the protocol's optimizer, schedule and order of samples; `toolkit probe`
adds learning rates side by side, a validation split that picks, resuming and several processes.
Here scikit-learn does that: `GridSearchCV(ProbeClassifier(), {"lr": [0.001, 0.003, 0.01]})`.

Shapes: b rows, n tokens, d token width, c classes.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from toolkit_common.errors import InputError
from toolkit_common.features.contract import Features
from toolkit_common.registry import lookup
from toolkit_common.training.optimizers import build_optimizer, parameter_groups
from toolkit_common.training.schedules import set_lr_, warmup_cosine
from toolkit_probing.heads.head import Head, HeadSpec, build_head
from toolkit_probing.probes import POOLS
from toolkit_probing.training.loop import REFERENCE_BATCH, epoch_order, infer_batch_size
from toolkit_probing.training.scoring import EVAL_BATCH

LAYER = 1  # a head spec names a layer; tokens that are given have only one


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
        batch_size: Rows of a step; about a 32nd of all, 16 to 1024, by default.
        optimizer: `adamw`, `lars` or `sgd`.
        weight_decay: Of matrices.
        device: Where to train: `cpu`, `cuda`, ...
        random_state: Seed of weights and batches.

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
        device: str = "cpu",
        random_state: int = 0,
    ) -> None:
        self.method = method
        self.options = options
        self.grid = grid
        self.lr = lr
        self.epochs = epochs
        self.warmup_epochs = warmup_epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> "ProbeClassifier":  # noqa: N803
        """Train on tokens `(b, n, d)` and any labels `(b,)`, and return self."""
        tokens = _as_tokens(X)
        targets = self._encode(y, len(tokens))
        features = Features({"mean": tokens[:2].mean(1)}, tokens[:2], self._grid(tokens.shape[1]))
        source = "patches" if self.method in POOLS else "mean"
        spec = HeadSpec(
            self.method, LAYER, source, self.lr, self.random_state, dict(self.options or {})
        )
        self.head_ = build_head(spec, features, num_classes=len(self.classes_)).to(self.device)
        self.n_features_in_ = tokens.shape[2]
        self.n_iter_ = self._train(self.head_, tokens, targets)
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
        self.head_.eval()
        with torch.no_grad():
            parts = [
                self.head_(self._read(part)).softmax(1).cpu() for part in tokens.split(EVAL_BATCH)
            ]
        return torch.cat(parts).numpy()

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

    def _encode(self, y: Any, num_rows: int) -> Tensor:
        labels = y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
        if labels.shape != (num_rows,):
            raise InputError(f"labels must have the shape ({num_rows},), got {labels.shape}")
        check_classification_targets(labels)
        self.classes_, targets = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"a probe needs at least two classes, got only {self.classes_[0]!r}")
        return torch.from_numpy(targets)

    def _grid(self, num_tokens: int) -> tuple[int, int]:
        side = math.isqrt(num_tokens)
        needs_grid = self.method in POOLS and POOLS[self.method].needs_grid
        grid = self.grid or ((side, side) if side * side == num_tokens else (1, num_tokens))
        if grid[0] * grid[1] != num_tokens or (needs_grid and not self.grid and grid[0] != side):
            raise InputError(
                f"method {self.method!r} needs the patch grid of {num_tokens} tokens, got "
                f"grid={self.grid}: give grid=(rows, columns)"
            )
        if self.method not in POOLS and self.method != "linear":
            lookup(dict.fromkeys((*POOLS, "linear")), self.method, kind="method")
        return grid

    def _read(self, tokens: Tensor) -> Tensor:
        tokens = tokens.to(self.device)
        return tokens if self.method in POOLS else tokens.mean(1)

    def _train(self, head: Head, tokens: Tensor, targets: Tensor) -> int:
        size = min(self.batch_size or infer_batch_size(len(tokens)), len(tokens))
        groups = parameter_groups(
            head.parameters(),
            lr=self.lr * size / REFERENCE_BATCH,
            weight_decay=self.weight_decay,
        )
        optimizer = build_optimizer(self.optimizer, groups)
        warmup = self.epochs / 10 if self.warmup_epochs is None else self.warmup_epochs
        per_epoch = len(tokens) // size
        total = self.epochs * per_epoch
        head.train()
        for step, rows in enumerate(self._batches(len(tokens), size)):
            set_lr_(
                optimizer,
                warmup_cosine(step, total_steps=total, warmup_steps=int(warmup * per_epoch)),
            )
            optimizer.zero_grad()
            logits = head(self._read(tokens[rows]))
            F.cross_entropy(logits, targets[rows].to(self.device)).backward()
            optimizer.step()
        return total

    def _batches(self, num_rows: int, size: int) -> Iterator[Tensor]:
        for epoch in range(self.epochs):
            order = torch.from_numpy(epoch_order(np.arange(num_rows), self.random_state, epoch))
            yield from order[: num_rows // size * size].split(size)


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
