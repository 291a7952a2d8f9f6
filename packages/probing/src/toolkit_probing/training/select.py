"""Picks learning rate, k or C on the selection split, for all repeats of a variant together."""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from statistics import fmean
from typing import TypeVar

from toolkit_probing.heads.head import HeadSpec
from toolkit_probing.training.loop import Best
from toolkit_probing.training.scoring import DIVERGED

Setting = TypeVar("Setting", bound=Hashable)


def select_learning_rate(
    specs: Sequence[HeadSpec], draws: Sequence[Mapping[str, Best]]
) -> dict[str, list[HeadSpec]]:
    """Return, for each variant, the heads (one a seed) of the learning rate with the best mean.

    A rate with fewer heads that diverged is better whatever the others' mean.

    Args:
        specs: All heads.
        draws: Best epoch of every head, by its key, for each draw of the labels.

    Returns:
        Variant's name -> its heads, in the order of the seeds.
    """
    variants: dict[str, dict[float | None, list[HeadSpec]]] = defaultdict(lambda: defaultdict(list))
    for spec in specs:
        variants[spec.variant][spec.base_lr].append(spec)

    def score(heads: Sequence[HeadSpec]) -> tuple[int, float]:
        values = [best[head.key].value for best in draws for head in heads]
        healthy = [value for value in values if value != DIVERGED]
        return len(healthy), fmean(healthy or [DIVERGED])

    return {name: max(rates.values(), key=score) for name, rates in variants.items()}


def select_setting(scores: Mapping[Setting, float]) -> Setting:
    """Return the setting with the best score; the first one given wins a tie."""
    return max(scores, key=lambda setting: scores[setting])
