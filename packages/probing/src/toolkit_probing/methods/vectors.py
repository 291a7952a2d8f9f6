"""Methods that read a vector of every image and are not trained step by step: how they are judged.

Such a method learns from some rows under several settings, answers for others, and keeps the
setting that does best on the selection split; the test split is read once.

Shapes: n rows, d width, c classes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from toolkit_common.features.contract import FeatureSource
from toolkit_common.features.planner import SHARE_OF_FREE, available_memory
from toolkit_common.scores.metrics import LOWER_IS_BETTER, METRICS, Predictions
from toolkit_probing.heads.bank import Place
from toolkit_probing.heads.files import save_head
from toolkit_probing.heads.head import Head, HeadSpec
from toolkit_probing.heads.inputs import place_name, read_inputs
from toolkit_probing.methods.method import Method
from toolkit_probing.methods.specs import layers_of, sources_of
from toolkit_probing.results.retrieved import Values
from toolkit_probing.results.rows import Outcome
from toolkit_probing.task.context import Context
from toolkit_probing.task.subsets import Subset
from toolkit_probing.training.fitting import SHOWN
from toolkit_probing.training.select import select_setting

READ_BATCH = 256

Setting = tuple[Any, ...]
Answers = Mapping[Setting, np.ndarray]  # probabilities (n, c) of a split's rows by setting


@dataclass(frozen=True)
class Known:
    """What a classifier learns from.

    Attributes:
        values: Vectors `(n, d)`.
        targets: Class of each `(n,)`.
        num_classes: c, absent ones included.
        weights: What each counts `(n,)`; None for all alike.
    """

    values: Tensor
    targets: np.ndarray
    num_classes: int
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class _Vectors:
    """The vectors of one layer and source, of all rows of the task: `values` `(n, d)`."""

    context: Context
    layer: int
    source: str
    values: Tensor

    def of(self, split: str) -> Tensor:
        return self.values[torch.from_numpy(self.context.task.positions(split))]

    def tests(self) -> list[Tensor]:
        return [self.values[torch.from_numpy(view.positions)] for view in self.context.views]

    def known(self, rows: np.ndarray) -> Known:
        task = self.context.task
        values = self.values[torch.from_numpy(rows)]
        return Known(values, task.targets[rows], len(task.labels.classes))


@runtime_checkable
class Learned(Protocol):
    """What was learned from some rows."""

    def answer(self, vectors: Tensor) -> Answers:
        """Return the probabilities of vectors `(b, d)` under every setting."""
        ...

    def retrieve(self, vectors: Tensor, targets: np.ndarray) -> Values | None:
        """Return how well known rows of their own class are found; None where none are searched."""
        ...

    def head(self, setting: Setting) -> Head | None:
        """Return a head that answers as it does under a setting; None where none can."""
        ...


@runtime_checkable
class Classifier(Protocol):
    """Classifies vectors under several settings, of which `names` name the values."""

    names: ClassVar[Sequence[str]]

    def learn(self, known: Known) -> Learned:
        """Learn from some rows."""
        ...

    def cost(self, known: Known) -> tuple[int, int]:
        """Return parameters, and operations an image."""
        ...


def judge_vectors(
    method: Method, context: Context, classifier: Classifier, *, metric: str
) -> list[Outcome]:
    """Judge a method at every layer and source, on every subset of the labels.

    Args:
        method: The method.
        context: The run.
        classifier: What classifies the vectors of a layer and source.
        metric: What picks the setting.
    """
    return [
        _judge(method, vectors, classifier, subset, metric=metric)
        for vectors in _vectors_of(method, context)
        for subset in context.subsets
    ]


def _vectors_of(method: Method, context: Context) -> Iterator[_Vectors]:
    settings, info, source = context.settings, context.backbone.info, context.features.source
    places = list(product(layers_of(settings, info), sources_of(method, settings, info)))
    # Of all rows and places at once, as far as memory goes: a pass over the store serves several.
    shown = read_vectors(source, np.arange(min(1, len(source))), places)
    num_bytes = len(source) * sum(values.nbytes for values in shown.values())
    rounds = -(-num_bytes // max(1, int(SHARE_OF_FREE * available_memory())))  # rounded up
    for some in np.array_split(np.arange(len(places)), min(len(places), max(1, rounds))):
        read = read_vectors(source, np.arange(len(source)), [places[at] for at in some])
        for (layer, name), values in read.items():
            yield _Vectors(context, layer, name, values)


def _judge(
    method: Method, vectors: _Vectors, classifier: Classifier, subset: Subset, *, metric: str
) -> Outcome:
    settings, task = vectors.context.settings, vectors.context.task
    known = [vectors.known(draw) for draw in subset.draws]
    learned = [classifier.learn(item) for item in known]
    select, tests = vectors.of(settings.select_on), vectors.tests()
    answers = [item.answer(select) for item in learned]
    targets = task.targets_of(settings.select_on)
    best, scores = pick_setting(answers, targets, metric)
    # Of votes it has picked already.
    _, shown = pick_setting(answers, targets, SHOWN) if metric != SHOWN else (best, {})
    _save(method, vectors, [item.head(best) for item in learned], subset=subset)
    num_parameters, flops = classifier.cost(max(known, key=lambda item: len(item.targets)))
    return Outcome(
        method=method.name,
        layer=vectors.layer,
        source=vectors.source,
        variant=f"{method.name}-{place_name(vectors.layer, vectors.source)}",
        subset=subset,
        settings=dict(zip(classifier.names, best, strict=True)),
        picked=f"{' and '.join(classifier.names)} by {metric}",
        select_score=scores[best],
        grid=[
            {**dict(zip(classifier.names, setting, strict=True)), "select_score": score}
            for setting, score in scores.items()
        ],
        seeds=[settings.seed] * len(subset.draws),
        draws=range(len(subset.draws)),
        probabilities=[
            np.concatenate([item.answer(test)[best] for test in tests]) for item in learned
        ],
        shown={setting[0]: value for setting, value in shown.items()},
        retrieved=_retrieved(learned, tests, task.targets_of("test")),
        num_parameters=num_parameters,
        flops=flops,
        options=method.variants(settings)[0],
    )


def _retrieved(
    learned: Sequence[Learned], tests: Sequence[Tensor], targets: np.ndarray
) -> list[Values]:
    """Return what each repeat has found, versions of the test rows one below the other."""
    repeats: list[Values] = []
    for item in learned:
        parts = [values for test in tests if (values := item.retrieve(test, targets)) is not None]
        if parts:
            repeats.append({name: np.concatenate([part[name] for part in parts])
                            for name in parts[0]})  # fmt: skip
    return repeats


def _save(
    method: Method, vectors: _Vectors, heads: Sequence[Head | None], *, subset: Subset
) -> None:
    """Keep the heads of every draw, so that a finished run can predict."""
    context = vectors.context
    spec = HeadSpec(method.name, vectors.layer, vectors.source, None, context.settings.seed)
    for number, head in enumerate(heads):
        if head is not None:
            suffix = f"-{subset.part(number)}" if subset.slug else ""
            file = context.run.path / "heads" / f"{spec.key}{suffix}.safetensors"
            save_head(file, spec, head.state_dict())


def read_vectors(
    source: FeatureSource, positions: np.ndarray, places: Sequence[Place]
) -> dict[Place, Tensor]:
    """Return the vectors `(n, d)` of every row of `positions`, in their order, at some places."""
    batches = [positions[at : at + READ_BATCH] for at in range(0, len(positions), READ_BATCH)]
    parts: dict[Place, list[Tensor]] = {place: [] for place in places}
    for features in source.iterate(batches, patches=False):
        for (layer, name), kept in parts.items():
            kept.append(read_inputs(features[layer], name).main)
    # On the CPU: an encoder that runs online gives them where it is.
    return {place: torch.cat(kept).cpu() for place, kept in parts.items()}


def pick_setting(
    answers: Sequence[Answers],
    targets: np.ndarray,
    metric: str,
    *,
    weights: np.ndarray | None = None,
) -> tuple[Setting, dict[Setting, float]]:
    """Pick a setting by its mean score over the draws.

    Args:
        answers: For each draw, every setting's probabilities `(n, c)` on the selection split.
        targets: Classes of that split `(n,)`.
        metric: By which one.
        weights: What each row of the split counts `(n,)`; None for all alike.

    Returns:
        The best setting, and the score of all; more is better.
    """
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    rows = np.ones((1, len(targets))) if weights is None else weights[None]

    def score(setting: Setting) -> float:
        values = [METRICS[metric](Predictions(draw[setting], targets), rows)[0] for draw in answers]
        # A setting that is undefined on one draw never wins.
        return float(np.nan_to_num(sign * np.mean(values), nan=-np.inf))

    scores = {setting: score(setting) for setting in answers[0]}
    return select_setting(scores), scores
