"""What is trained on frozen features: pool -> batch norm -> linear classifier.

One head for every method (docs/poolings.md); plain linear probing has no pool and reads a vector.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint
from typing_extensions import override

from toolkit_common.features.contract import Features
from toolkit_common.registry import lookup
from toolkit_common.seed import seeded
from toolkit_common.training.distributed import BatchNorm
from toolkit_probing.heads.inputs import TOKENS, base_of, place_name, read_inputs
from toolkit_probing.probes import POOLS
from toolkit_probing.probes.base import GRID, Pool

BATCH_NORM_EPS = 1e-6


@dataclass(frozen=True)
class HeadSpec:
    """Everything that makes a head: two heads of one spec are trained to the same weights.

    Attributes:
        method: Name in the registry.
        layer: Layer of the backbone it reads.
        source: What it reads there, by a name of `toolkit_probing.heads.inputs`.
        base_lr: Learning rate, of sgd and lars at an effective batch of 256; None where there is
            nothing but a classifier, which is fitted.
        seed: Of its initial weights.
        options: Keyword arguments of its pool.
    """

    method: str
    layer: int
    source: str
    base_lr: float | None
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> tuple[int, str]:
        """Layer and source: heads of one place read the same tensor."""
        return self.layer, self.source

    @property
    def variant(self) -> str:
        """What a user compares: all but the learning rate and the seed; safe in file names."""
        # Sorted, so that the order in which options were given makes no other name.
        options = "".join(f"-{name}{value}" for name, value in sorted(self.options.items()))
        return f"{self.method}{options}-{place_name(self.layer, self.source)}"

    @property
    def key(self) -> str:
        """A name that is unique in a bank."""
        rate = "" if self.base_lr is None else f"-lr{self.base_lr:g}"
        # A dot would look like the end of a file's name, and modules' names may hold none.
        return f"{self.variant}{rate}-seed{self.seed}".replace(".", "p")


class Head(nn.Module):
    """Pool (or none) -> BatchNorm without affine -> linear classifier.

    What a pooling adds to every image alike the norm takes away again: the gradient of such a bias
    is zero. What sums make of it is their rounding, which AdamW follows at its full rate, while the
    running means lag behind; so it is made zero (docs/traps.md 33).

    Args:
        pool: Tokens to vector, or None to read a vector.
        dim: Width of what the classifier reads: what is pooled, and what stands beside it.
        num_classes: Number of classes.

    Shape:
        tokens `(b, n, d)` or a vector `(b, d)`, beside them perhaps `(b, k)` -> logits `(b, c)`.
    """

    def __init__(self, pool: Pool | None, *, dim: int, num_classes: int) -> None:
        super().__init__()
        self.pool = pool
        # Scales of poolings, and of what stands beside, differ: one learning rate serves them all.
        # No gain and bias, as the classifier has its own.
        self.norm = BatchNorm(dim, eps=BATCH_NORM_EPS, affine=False)
        self.classifier = nn.Linear(dim, num_classes)
        if pool is not None:
            for name, parts in pool.shifts.items():
                pool.get_parameter(name).register_hook(partial(_without_shift, parts=parts))

    @override
    def forward(
        self, inputs: Tensor, beside: Tensor | None = None, *, micro_batch: int | None = None
    ) -> Tensor:
        """Return the logits.

        Args:
            inputs: What the head reads.
            beside: What the classifier reads beside what is pooled.
            micro_batch: Rows to pool at once, the activations of the others being computed again
                in the backward pass. Normalisation, loss and gradient are those of the whole batch.
                A pool with batch statistics of its own is not cut: they too are of the whole batch.
        """
        return self.classify(self.pooled(inputs, beside, micro_batch=micro_batch))

    def classify(self, pooled: Tensor) -> Tensor:
        """Return the logits of what `pooled` gives."""
        # In fp32 under autocast too: a fitted classifier's large weights cancel.
        with torch.autocast(pooled.device.type, enabled=False):
            logits: Tensor = self.classifier(self.norm(pooled.to(self.classifier.weight.dtype)))
        return logits

    def pooled(
        self, inputs: Tensor, beside: Tensor | None = None, *, micro_batch: int | None = None
    ) -> Tensor:
        """Return what the norm and the classifier read, `(b, o)`; arguments as `forward`."""
        return put_beside(self._pool_rows(inputs, micro_batch), beside)

    def _pool_rows(self, inputs: Tensor, size: int | None) -> Tensor:
        if self.pool is None:
            return inputs
        fits = size is None or len(inputs) <= size or not torch.is_grad_enabled()
        # A norm within the pool would see the statistics of a piece.
        if fits or any(isinstance(item, _BatchNorm) for item in self.pool.modules()):
            return self.pool(inputs)
        # Not reentrant: that kind wants an input with a gradient, and tokens have none.
        parts = [checkpoint(self.pool, part, use_reentrant=False) for part in inputs.split(size)]
        return torch.cat(parts)


def put_beside(pooled: Tensor, beside: Tensor | None) -> Tensor:
    """Return what the norm and the classifier read: what is pooled, and what stands beside it."""
    return pooled if beside is None else torch.cat([pooled, beside], dim=1)


def _without_shift(gradient: Tensor, *, parts: int) -> Tensor:
    """Return a gradient whose last of so many parts is zero."""
    kept = gradient.clone()  # autograd may hand over what others read
    kept[len(kept) - len(kept) // parts :] = 0
    return kept


def build_head(
    spec: HeadSpec, features: Features, *, num_classes: int, width: int | None = None
) -> Head:
    """Build the head of a spec; its initial weights depend on the spec and nothing else.

    Args:
        spec: Which head.
        features: A sample of what it will read, for its shapes.
        num_classes: Number of classes.
        width: Of what the classifier reads, where the sample lacks what stands beside the tokens.

    Raises:
        InputError: If the method, source or an option does not fit the features.
    """
    sample, beside = read_inputs(features, base_of(spec.source) if width else spec.source)
    num_beside = 0 if beside is None else beside.shape[1]
    # The caller's stream goes on as if no head had been built.
    # Not by rate, layer or place: what differs in these alone begins with the same weights.
    with seeded(spec.seed, "head", spec.method, str(sorted(spec.options.items()))):
        if base_of(spec.source) not in TOKENS:
            return Head(None, dim=width or sample.shape[-1], num_classes=num_classes)
        pool = build_pool(spec.method, sample.shape[-1], grid=features.grid, options=spec.options)
        return Head(pool, dim=width or pool.out_dim + num_beside, num_classes=num_classes)


def build_pool(method: str, dim: int, *, grid: tuple[int, int], options: Mapping[str, Any]) -> Pool:
    """Build the pooling of a method for tokens of width `dim` on a patch grid (gh, gw).

    Raises:
        InputError: If there is no such method, or the width or an option does not fit it.
    """
    pool_class = lookup(POOLS, method, kind="method")
    where: dict[str, Any] = {GRID: grid} if pool_class.needs_grid else {}
    return pool_class(dim, **where, **options)
