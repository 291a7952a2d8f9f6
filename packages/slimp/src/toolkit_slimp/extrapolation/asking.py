"""Asks the nearest lesions: about held-out ones, to see what they are worth, and about others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from toolkit_slimp.extrapolation.agreement import Agreement, measure
from toolkit_slimp.extrapolation.neighbours import Nearest, nearest, relatives
from toolkit_slimp.extrapolation.reference import Lesions, Reference
from toolkit_slimp.extrapolation.settings import ExtrapolateSettings


@dataclass(frozen=True)
class Answers:
    """What the neighbours of some lesions say.

    Attributes:
        neighbour: Place of the nearest lesion that has a value of some column.
        similarity: Its cosine; `-inf` where there is none.
        numbers: Column -> what its neighbours say (`toolkit_slimp.extrapolation.values`).
        is_near: Which lesions have a neighbour that is near enough, for every column.
    """

    neighbour: Int[np.ndarray, " n"]
    similarity: Float[np.ndarray, " n"]
    numbers: Mapping[str, Float[np.ndarray, " n"]]
    is_near: Bool[np.ndarray, " n"]


class Search:
    """Neighbours of some lesions; columns that the same reference lesions know share them.

    Args:
        settings: How many neighbours, and how near they must be.
        reference: Where they are.
        queries: Of whom.
    """

    def __init__(
        self, settings: ExtrapolateSettings, reference: Reference, queries: Lesions
    ) -> None:
        self._settings = settings
        self._features = queries.features, reference.train.features
        self._kin = relatives(queries.identities, reference.train.identities)
        self._kept: dict[bytes, Nearest] = {}

    def among(self, usable: Bool[np.ndarray, " m"]) -> Nearest:
        """Return the neighbours among some lesions of the reference."""
        key = usable.tobytes()
        if key not in self._kept:
            self._kept[key] = nearest(
                *self._features, self._kin, usable=usable, k=self._settings.neighbours
            )
        return self._kept[key]

    def is_near(self, near: Nearest) -> Bool[np.ndarray, " n"]:
        """Return which lesions have a neighbour that is near enough."""
        least = -np.inf if self._settings.threshold is None else self._settings.threshold
        return near.is_found & (near.similarity[:, 0] >= least)


def measure_columns(settings: ExtrapolateSettings, reference: Reference) -> list[Agreement]:
    """Return how well the nearest training lesions tell of held-out patients, column by column."""
    search = Search(settings, reference, reference.held_out)
    agreements = []
    for column in reference.columns:
        values, truth = reference.values(column)
        near = search.among(values.is_known)
        agreements.append(
            measure(
                values,
                near,
                # Who would abstain tells nothing of those who do not.
                np.where(search.is_near(near), truth, np.nan),
                weights=near.weights(settings.temperature),
                groups=reference.held_out_groups,
            )
        )
    return agreements


def ask(
    settings: ExtrapolateSettings, reference: Reference, queries: Lesions, *, names: Sequence[str]
) -> Answers:
    """Return what the neighbours of each query say of some columns.

    Each column asks the lesions that have a value of it, so that who has none is told of none: that
    a value is missing may be what tells a label.
    """
    search = Search(settings, reference, queries)
    numbers, is_near = {}, np.ones(len(queries.names), bool)
    usable = np.zeros(len(reference.train.names), bool)
    for column in (item for item in reference.columns if item.name in names):
        values, _ = reference.values(column)
        near = search.among(values.is_known)
        usable |= values.is_known
        is_near &= search.is_near(near)
        # Places without a neighbour weigh nothing, but must hold a number.
        known = np.where(np.isfinite(near.similarity), values.numbers[near.places], 0.0)
        numbers[column.name] = values.blend(known, near.weights(settings.temperature))
    first = search.among(usable)
    return Answers(first.places[:, 0], first.similarity[:, 0].astype(float), numbers, is_near)
