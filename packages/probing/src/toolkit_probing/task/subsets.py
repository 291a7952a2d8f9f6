"""Which training images a probe learns from: all, a few shots, or a share of the labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit_common.errors import InputError
from toolkit_common.seed import derive_seed
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.limited import draw_fraction, draw_shots
from toolkit_probing.task.task import Task

ALL = "all labels"


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


def label_subsets(settings: ProbeSettings, task: Task) -> list[Subset]:
    """Return what `--shots` and `--label-fraction` ask for; all labels if neither was given.

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
        return np.random.default_rng(derive_seed(settings.seed, "labels", draw))

    draws = range(settings.draws)
    subsets = [
        Subset(
            f"{shots} shot{'' if shots == 1 else 's'}",
            f"{shots}shot",
            [train[draw_shots(targets, groups, shots, rng=rng(draw))] for draw in draws],
        )
        for shots in settings.shots
    ]
    for fraction in settings.label_fraction:
        percent = f"{100 * fraction:g}"
        found = [train[draw_fraction(targets, groups, fraction, rng=rng(draw))] for draw in draws]
        if fraction == 1.0:  # every draw is the same
            subsets.append(Subset(ALL, "", found[:1]))
        else:
            slug = f"{percent}pct".replace(".", "p")
            subsets.append(Subset(f"{percent} % of labels", slug, found))
    return subsets or [Subset(ALL, "", [train])]
