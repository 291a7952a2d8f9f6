"""Which training images a probe learns from: all, a few a class, or a share of the labels.

A draw is a pure function of its generator. Images of one patient say little new, and a patient is
what a clinic labels: shots of a class come from as many patients as there are, and a share of the
labels is a share of the patients.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from toolkit_common.errors import InputError
from toolkit_common.printable import counted
from toolkit_common.seed import derive_seed
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.task import Task

ALL = "all labels"

Rows = Int[np.ndarray, " m"]


@dataclass(frozen=True)
class Subset:
    """One amount of labels, drawn once or several times.

    Attributes:
        name: For humans.
        slug: For file names; empty for all labels.
        draws: Positions of the training images in the task's rows, an array a draw.
    """

    name: str
    slug: str
    draws: Sequence[np.ndarray]

    @property
    def sizes(self) -> list[int]:
        """Images of each draw."""
        return [len(draw) for draw in self.draws]

    def part(self, draw: int) -> str:
        """Name what a run does with one of the draws: in its log, for its files."""
        return f"{self.slug or 'all'}-draw{draw}"


def label_subsets(settings: ProbeSettings, task: Task) -> list[Subset]:
    """Return the subsets of `--shots` and `--label-fraction`; all labels if neither was given.

    Raises:
        InputError: If a class has fewer images than shots.
    """
    train, targets = task.positions("train"), task.targets_of("train")
    groups = task.groups_of("train")
    counts = np.bincount(targets)
    if max(settings.shots, default=0) > counts.min():
        raise InputError(
            f"--shots {max(settings.shots)} wants as many training images of every class, and "
            f"{task.labels.classes[int(counts.argmin())]!r} has {counts.min()}"
        )

    def rng(draw: int) -> np.random.Generator:
        # One stream a draw, whatever the amount: more shots of a draw contain fewer of it.
        return np.random.default_rng(derive_seed(settings.seed, "labels", draw))

    draws = range(settings.draws)
    subsets = [
        Subset(
            counted(shots, "shot"),
            f"{shots}shot",
            [train[draw_shots(targets, groups, shots, rng=rng(draw))] for draw in draws],
        )
        for shots in settings.shots
    ]
    for fraction in settings.label_fraction:
        percent = f"{100 * fraction:g}"
        drawn = [train[draw_fraction(targets, groups, fraction, rng=rng(draw))] for draw in draws]
        if fraction == 1.0:  # every draw is the same
            subsets.append(Subset(ALL, "", drawn[:1]))
        else:
            slug = f"{percent}pct".replace(".", "p")
            subsets.append(Subset(f"{percent} % of labels", slug, drawn))
    return subsets or [Subset(ALL, "", [train])]


def draw_shots(
    targets: Int[np.ndarray, " n"], groups: np.ndarray, shots: int, *, rng: np.random.Generator
) -> Rows:
    """Return the positions of `shots` images of every class, ascending.

    No patient gives a class a second image before all its patients have given it one. With one
    generator's seed, more shots contain fewer.

    Args:
        targets: Class of each image.
        groups: Patient of each image; all different where there are none.
        shots: Images a class; every class has as many.
        rng: Source of the draw.
    """
    shuffled = rng.permutation(len(targets))
    chosen = []
    for index in np.unique(targets):
        mine = shuffled[targets[shuffled] == index]
        assert len(mine) >= shots, f"{shots} shots of {len(mine)} images"
        rounds = _occurrence(groups[mine])
        chosen.append(mine[np.argsort(rounds, kind="stable")[:shots]])
    return np.sort(np.concatenate(chosen))


def draw_fraction(
    targets: Int[np.ndarray, " n"], groups: np.ndarray, fraction: float, *, rng: np.random.Generator
) -> Rows:
    """Return the positions of whole patients that hold a share of every class, ascending.

    Classes are served from the rarest on; each gets its share rounded up, or a little more, as
    patients stay whole.

    Args:
        targets: Class of each image.
        groups: Patient of each image; all different where there are none.
        fraction: Share of the labels, in (0, 1].
        rng: Source of the draw.
    """
    _, of_image = np.unique(groups, return_inverse=True)
    order = rng.permutation(int(of_image.max()) + 1)
    counts = np.zeros((len(order), int(targets.max()) + 1), np.int64)
    np.add.at(counts, (of_image, targets), 1)
    totals = counts.sum(axis=0)
    chosen = np.zeros(len(order), bool)
    for index in np.argsort(totals, kind="stable"):
        wanted = int(np.ceil(fraction * totals[index] - 1e-9))  # 0.07 * 100 is 7.000000000000001
        candidates = order[~chosen[order] & (counts[order, index] > 0)]
        missing = wanted - int(counts[chosen, index].sum())
        # Whole patients, in the order drawn, up to the one with which there are enough.
        reached = np.cumsum(counts[candidates, index])
        if missing > 0:
            chosen[candidates[: int(np.searchsorted(reached, missing)) + 1]] = True
    return np.flatnonzero(chosen[of_image])


def _occurrence(values: np.ndarray) -> Int[np.ndarray, " m"]:
    """Return, for each value, how often it has stood before."""
    _, codes = np.unique(values, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    counts = np.empty(len(values), np.int64)
    counts[order] = np.arange(len(values)) - np.repeat(starts, np.diff([*starts, len(values)]))
    return counts
