"""k-NN as a method: k and temperature picked on the selection split, the test split read once."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import Tensor

from toolkit_common.scores.knn import knn_probabilities
from toolkit_common.scores.metrics import LOWER_IS_BETTER
from toolkit_probing.heads.inputs import place_name
from toolkit_probing.heads.specs import layers_of, sources_of
from toolkit_probing.methods.vectors import pick_setting, read_vectors
from toolkit_probing.results.rows import Outcome
from toolkit_probing.task.context import Context
from toolkit_probing.task.subsets import Subset

Votes = dict[tuple[int, float], np.ndarray]


def probe_with_knn(context: Context) -> list[Outcome]:
    """Return the outcomes of k-NN at every layer and source, or nothing if it was not asked for."""
    settings, info = context.settings, context.backbone.info
    if "knn" not in settings.method:
        return []
    outcomes = []
    for layer in layers_of(settings, info):
        for vector in sources_of("knn", settings, info):
            searcher = _Searcher(context, layer, vector)
            outcomes += [_judge(searcher, subset) for subset in context.subsets]
    return outcomes


class _Searcher:
    """The vectors of one layer and source; ranks share the queries, each searches all rows."""

    def __init__(self, context: Context, layer: int, vector: str) -> None:
        self.context, self.layer, self.vector = context, layer, vector
        source = context.features.source
        self.vectors = read_vectors(source, np.arange(len(source)), layer, vector)
        self.temperatures = [
            math.inf if t == "plain" else float(t) for t in context.settings.temperature
        ]

    def vote(self, split: str, database: np.ndarray) -> Votes:
        """Return the votes for every row of a split from the rows `database`."""
        task, accelerator = self.context.task, self.context.accelerator
        ranks = accelerator.num_processes
        mine = task.positions(split)[accelerator.process_index :: ranks]
        found = knn_probabilities(
            self._take(mine),
            self._take(database),
            torch.from_numpy(task.targets[database]),
            num_classes=len(task.labels.classes),
            ks=self.context.settings.k,
            temperatures=self.temperatures,
            device=accelerator.device,
        )
        parts = [{setting: votes.numpy() for setting, votes in found.items()}]
        if ranks > 1:
            parts = gather_object(parts)
        return {setting: _interleave([part[setting] for part in parts]) for setting in found}

    def _take(self, positions: np.ndarray) -> Tensor:
        return self.vectors[torch.from_numpy(positions)]


def _judge(searcher: _Searcher, subset: Subset) -> Outcome:
    settings, task = searcher.context.settings, searcher.context.task
    # Votes are no probabilities: a class without a vote would make any loss meaningless.
    is_loss = settings.select_by in LOWER_IS_BETTER
    metric = "balanced_accuracy" if is_loss else settings.select_by
    found = [searcher.vote(settings.select_on, draw) for draw in subset.draws]
    best, scores = pick_setting(found, task.targets_of(settings.select_on), metric)
    return Outcome(
        method="knn",
        layer=searcher.layer,
        source=searcher.vector,
        variant=f"knn-{place_name(searcher.layer, searcher.vector)}",
        subset=subset,
        settings=_named(*best),
        picked=f"k and temperature by {metric}",
        select_score=scores[best],
        grid=[{**_named(*setting), "select_score": score} for setting, score in scores.items()],
        seeds=[settings.seed] * len(subset.draws),
        draws=range(len(subset.draws)),
        probabilities=[searcher.vote("test", draw)[best] for draw in subset.draws],
        num_parameters=0,
        flops=2 * max(subset.sizes) * searcher.vectors.shape[1],
    )


def _named(k: int, temperature: float) -> dict[str, Any]:
    return {"k": k, "temperature": "plain" if math.isinf(temperature) else temperature}


def _interleave(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Put rows that were dealt out to ranks in turn back in order."""
    out = np.empty((sum(map(len, parts)), parts[0].shape[1]), parts[0].dtype)
    for rank, part in enumerate(parts):
        out[rank :: len(parts)] = part
    return out
