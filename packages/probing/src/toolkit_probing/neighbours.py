"""k-NN as a method: k and temperature picked on the selection split, the test split read once."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from toolkit_common.backbones.base import BackboneInfo
from toolkit_common.data.task import Task
from toolkit_common.features.base import FeatureSource
from toolkit_common.metrics import LOWER_IS_BETTER, METRICS, Predictions
from toolkit_probing.head import read_source
from toolkit_probing.knn import knn_probabilities
from toolkit_probing.results import Outcome
from toolkit_probing.select import select_setting
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.trained import sources_of

READ_BATCH = 256


def probe_with_knn(
    settings: ProbeSettings, task: Task, source: FeatureSource, info: BackboneInfo
) -> list[Outcome]:
    """Return the outcomes of k-NN at every layer and source, or nothing if it was not asked for."""
    if "knn" not in settings.method:
        return []
    return [
        _at_layer(settings, task, source, layer, vector)
        for layer in info.layers
        for vector in sources_of("knn", settings, info)
    ]


def _at_layer(
    settings: ProbeSettings, task: Task, source: FeatureSource, layer: int, vector: str
) -> Outcome:
    database = _read(source, task.positions("train"), layer, vector)
    goals = torch.from_numpy(task.targets_of("train"))

    def vote(split: str) -> Mapping[tuple[int, float], Tensor]:
        queries = _read(source, task.positions(split), layer, vector)
        return knn_probabilities(
            queries,
            database,
            goals,
            num_classes=len(task.labels.classes),
            ks=settings.k,
            temperatures=settings.temperature,
        )

    metric = "balanced_accuracy" if settings.select_by in LOWER_IS_BETTER else settings.select_by
    targets = task.targets_of(settings.select_on)
    ones = np.ones((1, len(targets)))
    scores = {
        setting: float(METRICS[metric](Predictions(votes.numpy(), targets), ones)[0])
        for setting, votes in vote(settings.select_on).items()
    }
    k, temperature = select_setting(scores)
    return Outcome(
        name=f"knn-layer{layer}-{vector}",
        method="knn",
        layer=layer,
        source=vector,
        settings={"k": k, "temperature": temperature},
        select_score=scores[k, temperature],
        seeds=[settings.seed],
        probabilities=[vote("test")[k, temperature].numpy()],
        num_parameters=0,
        flops=2 * database.numel(),
    )


def _read(source: FeatureSource, positions: np.ndarray, layer: int, vector: str) -> Tensor:
    batches = [positions[at : at + READ_BATCH] for at in range(0, len(positions), READ_BATCH)]
    return torch.cat([read_source(item[layer], vector) for item in source.iterate(batches)])
