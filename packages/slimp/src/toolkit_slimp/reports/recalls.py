"""Recall between modalities with intervals over patients, against its chance level.

The rows that are searched stay the same ones in every resample; who searches is drawn anew, by
whole patients. The value is that of `watching/retrieval.py`.

Shapes: m rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from toolkit_common.data.sheet import Level
from toolkit_common.scores.retrieval import match_ranks
from toolkit_common.scores.statistics import interval, resample_mean, two_sided_p
from toolkit_slimp.reports.watched import Pairs, Watched
from toolkit_slimp.watching.chance import chances_of_recall

KS = (1, 5)
ALPHA = 0.05
LEVELS: tuple[Level, ...] = ("lesion", "patient")
SEARCHES = {  # what searches what, and back
    "lesion": ("image to metadata", "metadata to image"),
    "patient": ("lesions to patient", "patient to lesions"),
}


@dataclass(frozen=True)
class Recall:
    """How often a match is among the k nearest.

    Attributes:
        level: Of the two.
        search: What searches what.
        key: Its name in results.json.
        k: How many of the nearest are looked at.
        value: Share of rows that find a match.
        ci: Its 95 % interval over patients; None with one patient.
        chance: What rows at random would reach.
        above: `value - chance`.
        above_ci: Its 95 % interval over patients.
        p: Two-sided, of no difference from chance.
        num_rows: Rows that search.
    """

    level: Level
    search: str
    key: str
    k: int
    value: float
    ci: tuple[float, float] | None
    chance: float
    above: float
    above_ci: tuple[float, float] | None
    p: float | None
    num_rows: int

    @property
    def is_beyond(self) -> bool:
        """Whether it can be told from chance, by its interval and its p-value alike."""
        if self.above_ci is None or self.p is None:
            return False
        return self.p < ALPHA and not self.above_ci[0] <= 0.0 <= self.above_ci[1]


def recalls(watched: Watched) -> list[Recall]:
    """Return recall at 1 and 5 of all searches of the losses that are on."""
    values = []
    for level in LEVELS:
        if (pairs := watched.pairs(level)) is not None:
            both = (pairs, Pairs(pairs.second, pairs.first, pairs.same, pairs.groups))
            for k in KS:
                for search, those in zip(SEARCHES[level], both, strict=True):
                    middle = "recall" if those is pairs else "reverse_recall"
                    key = f"val_{level}_{middle}_at_{k}"
                    values.append(_recall(those, k, level=level, search=search, key=key))
    return values


def headline(values: Sequence[Recall], level: Level) -> Recall | None:
    """Return the recall that a level is judged by: at 5, at 1 where 5 are half of all."""
    first = SEARCHES[level][0]
    mine = {item.k: item for item in values if item.level == level and item.search == first}
    if not mine:
        return None
    return mine[5] if mine[5].num_rows > 2 * 5 else mine[1]


def _recall(pairs: Pairs, k: int, *, level: Level, search: str, key: str) -> Recall:
    hits = (match_ranks(pairs.first, pairs.second, positives=pairs.same) < k).double().numpy()
    chances = chances_of_recall(pairs.same, k).numpy()
    above = resample_mean(hits - chances, pairs.groups)
    value, gain = float(hits.mean()), float((hits - chances).mean())
    return Recall(
        level=level, search=search, key=key, k=k, value=value,
        ci=interval(resample_mean(hits, pairs.groups), value), chance=float(chances.mean()),
        above=gain, above_ci=interval(above, gain),
        p=two_sided_p(above) if len(above) else None, num_rows=len(hits),
    )  # fmt: skip
