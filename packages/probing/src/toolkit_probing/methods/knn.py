"""k-NN as a method: k and temperature picked on the selection split, the test split read once."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from accelerate.utils import gather_object
from pydantic import Field
from torch import Tensor

from toolkit_common.scores.knn import knn_probabilities
from toolkit_common.scores.metrics import LOWER_IS_BETTER
from toolkit_probing.methods.method import Method
from toolkit_probing.methods.vectors import Answers, Setting, Vectors, judge_vectors
from toolkit_probing.probes.base import Count
from toolkit_probing.results.rows import Outcome
from toolkit_probing.task.context import Context

Temperature = Annotated[float, Field(gt=0)] | Literal["plain"]


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """What is tried.

    Attributes:
        k: Numbers of neighbours.
        temperature: T of the votes exp(similarity / T); `plain`: one vote each.
    """

    k: tuple[Count, ...] = (5, 10, 20, 50)
    temperature: tuple[Temperature, ...] = (0.07,)


def probe_with_knn(context: Context, methods: Sequence[Method]) -> list[Outcome]:
    """Return the outcomes of k-NN at every layer and source."""
    (method,) = methods
    (options,) = method.variants(context.settings)
    # Votes are no probabilities: a class without a vote would make any loss meaningless.
    select_by = context.settings.select_by
    metric = "balanced_accuracy" if select_by in LOWER_IS_BETTER else select_by
    build = partial(_Searcher, tried=Neighbours(**options))
    return judge_vectors(method, context, build, metric=metric)


class _Searcher:
    """Searches the vectors of one place; ranks share the queries, each searches all rows."""

    names: ClassVar[Sequence[str]] = ("k", "temperature")

    def __init__(self, vectors: Vectors, *, tried: Neighbours) -> None:
        self.context, self.values, self.tried = vectors.context, vectors.values, tried

    def learn(self, train: np.ndarray) -> "_Voters":
        """Let the rows `train` vote."""
        return _Voters(partial(self._vote, database=train))

    def cost(self, num_train: int) -> tuple[int, int]:
        """Nothing is trained; every row is compared."""
        return 0, 2 * num_train * self.values.shape[1]

    def _vote(self, split: str, *, database: np.ndarray) -> Answers:
        task, accelerator = self.context.task, self.context.accelerator
        ranks = accelerator.num_processes
        # In turn, so that all ranks have about equally many.
        mine = task.positions(split)[accelerator.process_index :: ranks]
        votes = knn_probabilities(
            self._take(mine),
            self._take(database),
            torch.from_numpy(task.targets[database]),
            num_classes=len(task.labels.classes),
            ks=self.tried.k,
            # `exp(s / inf)` is one vote each.
            temperatures=[math.inf if t == "plain" else t for t in self.tried.temperature],
            device=accelerator.device,
        )
        parts = [{setting: item.numpy() for setting, item in votes.items()}]
        if ranks > 1:
            parts = gather_object(parts)
        # By the votes' own keys: a gathered part of another rank has the same.
        return {_named(*item): _interleave([part[item] for part in parts]) for item in votes}

    def _take(self, positions: np.ndarray) -> Tensor:
        return self.values[torch.from_numpy(positions)]


@dataclass(frozen=True)
class _Voters:
    """Rows that vote."""

    answer: Callable[[str], Answers]

    def head(self, setting: Setting) -> None:
        """Votes need the rows themselves, and no head holds them."""


def _named(k: int, temperature: float) -> tuple[Any, ...]:
    return k, "plain" if math.isinf(temperature) else temperature


def _interleave(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Put rows that were dealt out to ranks in turn back in order."""
    out = np.empty((sum(map(len, parts)), parts[0].shape[1]), parts[0].dtype)
    for rank, part in enumerate(parts):
        out[rank :: len(parts)] = part
    return out
