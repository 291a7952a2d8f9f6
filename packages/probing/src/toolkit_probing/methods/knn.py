"""k-NN as a method: k and temperature picked on the selection split, the test split read once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from accelerate.utils import gather_object
from pydantic import Field
from torch import Tensor

from toolkit_common.scores.knn import CHUNK_QUERIES, knn_probabilities
from toolkit_common.scores.metrics import LOWER_IS_BETTER
from toolkit_common.scores.retrieval import retrieve_by_label
from toolkit_probing.methods.method import Method
from toolkit_probing.methods.vectors import Answers, Known, Setting, judge_vectors
from toolkit_probing.probes.base import Count
from toolkit_probing.results.retrieved import Values
from toolkit_probing.results.rows import Outcome
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.context import Context
from toolkit_probing.training.compute import Compute

RETRIEVED = (1, 5, 10)  # nearest of which precision is measured
MOST_PAIRS = 1 << 28  # of query and known row, which retrieval sorts: half a minute

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
    searcher = Searcher(Neighbours(**options), context.accelerator)
    return judge_vectors(method, context, searcher, metric=metric_of_votes(context.settings))


def metric_of_votes(settings: ProbeSettings) -> str:
    """Return what picks among votes, which are no probabilities.

    A class without a vote would make any loss meaningless.
    """
    is_loss = settings.select_by in LOWER_IS_BETTER
    return "balanced_accuracy" if is_loss else settings.select_by


@dataclass(frozen=True)
class Searcher:
    """Searches among known rows; what is tried, and where."""

    names: ClassVar[Sequence[str]] = ("k", "temperature")

    tried: Neighbours
    compute: Compute

    def learn(self, known: Known) -> "Search":
        """Return what gives the votes of known rows for any vectors."""
        return Search(known, self.tried, self.compute)

    def cost(self, known: Known) -> tuple[int, int]:
        """Nothing is trained; every row is compared."""
        return 0, 2 * known.values.numel()


@dataclass(frozen=True)
class Search:
    """The votes of known rows; ranks share the queries, each searches all rows."""

    known: Known
    tried: Neighbours
    compute: Compute

    def only(self, setting: Setting) -> "Search":
        """Return the same with one of the settings that were tried."""
        k, temperature = setting
        return replace(self, tried=Neighbours(k=(k,), temperature=(temperature,)))

    def head(self, setting: Setting) -> None:
        """Votes need the rows themselves, and no head holds them."""

    def retrieve(self, queries: Tensor, targets: np.ndarray) -> Values:
        """Return how well known rows of a query's own class are found, a value a query.

        Where sorting all pairs would take minutes a part of the queries searches, drawn evenly; the
        others are NaN.
        """
        known = self.known
        most = max(1, MOST_PAIRS // len(known.targets))
        drawn = np.arange(len(queries))
        if len(drawn) > most:  # of a fixed seed: the same queries for each encoder
            drawn = np.sort(np.random.default_rng(0).permutation(len(drawn))[:most])
        found = retrieve_by_label(
            queries[torch.from_numpy(drawn)],
            known.values,
            (torch.from_numpy(targets[drawn]), torch.from_numpy(known.targets)),
            ks=RETRIEVED,
        )
        values = {name: np.full(len(queries), np.nan) for name in found}
        for name, each in found.items():
            values[name][drawn] = each.numpy()
        return values

    def answer(self, queries: Tensor) -> Answers:
        """Return the votes for some vectors `(b, d)`."""
        known, ranks = self.known, self.compute.num_processes
        shares = [_share(len(queries), rank, ranks) for rank in range(ranks)]
        votes = knn_probabilities(
            queries[torch.from_numpy(shares[self.compute.process_index])],
            known.values,
            torch.from_numpy(known.targets),
            num_classes=known.num_classes,
            ks=self.tried.k,
            # `exp(s / inf)` is one vote each.
            temperatures=[math.inf if t == "plain" else t for t in self.tried.temperature],
            weights=None if known.weights is None else torch.from_numpy(known.weights),
            device=self.compute.device,
        )
        parts = [{setting: item.numpy() for setting, item in votes.items()}]
        if ranks > 1:
            parts = gather_object(parts)
        # By the votes' own keys: a gathered part of another rank has the same.
        order = np.argsort(np.concatenate(shares))
        return {
            _named(*item): np.concatenate([part[item] for part in parts])[order] for item in votes
        }


def _named(k: int, temperature: float) -> tuple[Any, ...]:
    return k, "plain" if math.isinf(temperature) else temperature


def _share(num_queries: int, rank: int, ranks: int) -> np.ndarray:
    """Return which queries a rank searches for: chunks in turn, as one process cuts them."""
    rows = np.arange(num_queries)
    return rows[rows // CHUNK_QUERIES % ranks == rank]
