"""From patients to batches: P patients, at most L lesions each, as one flat list with segments.

Every patient comes once an epoch, in an order that is a pure function of seed and epoch, not of
the number of ranks. Ranks share the *lesions* of one batch, equally many each whatever patients
they belong to: images are what costs, and a gathered loss needs equal counts (docs/traps.md 3).

Which lesions of a large patient are taken can be steered: up to a quarter of them by preference
(positives, or "ugly ducklings" that differ from the patient's own mean), the rest at random.
"""

from dataclasses import dataclass

import numpy as np
import torch

from toolkit_common.data.dataset import ImageData
from toolkit_common.errors import InputError
from toolkit_common.seed import generator
from toolkit_slimp.metadata.table import EncodedTable
from toolkit_slimp.settings import SlimpSettings

PREFERRED_SHARE = 4  # one lesion of so many, rounded up (docs/slimp.md)


@dataclass(frozen=True)
class PatientBatch:
    """The lesions of one batch.

    Attributes:
        rows: Row of each lesion `(m,)`, those of one patient side by side.
        segments: Number of each lesion's patient in this batch `(m,)`.
        patients: A row of each patient `(p,)`, to read patient metadata from.
    """

    rows: np.ndarray
    segments: np.ndarray
    patients: np.ndarray

    def part(self, rank: int, num_ranks: int) -> np.ndarray:
        """Return which of the lesions one rank encodes: the rank-th of equal consecutive parts.

        Where they do not divide, the last lesion is encoded again to fill the last part; the loss
        drops the extra ones after gathering.
        """
        indices = np.arange(len(self.rows))
        filled = np.pad(indices, (0, -len(indices) % num_ranks), mode="edge")
        return np.split(filled, num_ranks)[rank]


class PatientSampler:
    """Deals patients to batches.

    Args:
        groups: Patient of each row.
        rows: Rows to sample from.
        settings: How many patients and lesions a batch has at most, and of which seed; how often
            a patient with a preferred lesion comes in an epoch.
        preference: Weight of each row `(n,)`, 0 or more: up to a quarter of a patient's lesions
            are drawn with chances in proportion to it.
    """

    def __init__(
        self,
        groups: np.ndarray,
        rows: np.ndarray,
        settings: SlimpSettings,
        *,
        preference: np.ndarray | None = None,
    ) -> None:
        names, index = np.unique(groups[rows], return_inverse=True)
        # Stable: a patient's lesions stay in the table's order, which draws then shuffle.
        order = np.argsort(index, kind="stable")
        self.lesions = np.split(rows[order], np.cumsum(np.bincount(index))[:-1])
        self.preference = preference
        self.settings = settings
        self._times = np.ones(len(names), int)
        if preference is not None:
            is_preferred = np.array([bool((preference[own] > 0).any()) for own in self.lesions])
            self._times[is_preferred] = settings.positive_repeats
        # No patient may meet itself in a batch: it would be its own false negative.
        fewest = -(-int(self._times.sum()) // settings.patients_per_batch)
        # At least as many batches as the most frequent patient has turns.
        self.batches_per_epoch = max(fewest, int(self._times.max()))

    @property
    def patients_per_batch(self) -> int:
        """The most patients of a batch."""
        return -(-int(self._times.sum()) // self.batches_per_epoch)

    def epoch(self, epoch: int) -> list[PatientBatch]:
        """Return the batches of an epoch, equally large but for one patient."""
        draws = generator(self.settings.seed, "patients", epoch)
        order = torch.randperm(len(self.lesions), generator=draws).numpy()
        dealt = np.repeat(order, self._times[order])  # as cards: the same patient to many batches
        count = self.batches_per_epoch
        # In strides, which deal them out evenly and keep a patient's turns apart.
        return [self._batch(dealt[first::count], draws) for first in range(count)]

    def _batch(self, patients: np.ndarray, draws: torch.Generator) -> PatientBatch:
        chosen = [self._choose(self.lesions[patient], draws) for patient in patients]
        counts = [len(lesions) for lesions in chosen]
        return PatientBatch(
            rows=np.concatenate(chosen),
            segments=np.repeat(np.arange(len(chosen)), counts),
            # Any of a patient's rows will do: a patient's values are shared by all of them.
            patients=np.array([lesions[0] for lesions in chosen]),
        )

    def _choose(self, lesions: np.ndarray, draws: torch.Generator) -> np.ndarray:
        order = torch.randperm(len(lesions), generator=draws).numpy()
        most = self.settings.lesions_per_patient
        if self.preference is not None and len(lesions) > most:
            weights = self.preference[lesions[order]]
            # At most as many as have a weight: the others are drawn like any lesion.
            quarter = min(-(-most // PREFERRED_SHARE), int((weights > 0).sum()))
            # The smallest of exponentials at these rates: drawn by weight, without replacement.
            waits = torch.empty(len(order), dtype=torch.float64).exponential_(generator=draws)
            with np.errstate(divide="ignore"):  # a weight of 0 waits for ever
                soonest = np.argsort(waits.numpy() / weights, kind="stable")[:quarter]
            order = np.concatenate([order[soonest], np.delete(order, soonest)])
        return lesions[order[:most]]


def build_preference(
    settings: SlimpSettings, data: ImageData, table: EncodedTable
) -> np.ndarray | None:
    """Return the weight of each row by which lesions are preferred, None where all are equal.

    Raises:
        InputError: If the label of `positives` does not exist, or lacks its value.
    """
    assert data.groups is not None
    if settings.lesion_sampling == "positives":
        return positive_rows(data, settings.positives)
    if settings.lesion_sampling == "deviation":
        return deviations(table, data.groups)
    return None


def positive_rows(data: ImageData, positive: str) -> np.ndarray:
    """Return 1 for the rows that have a label's value, 0 for all others.

    Labels are read here to choose lesions: the one place where they act on what is trained on.

    Args:
        data: The data set.
        positive: `LABEL=VALUE`.

    Raises:
        InputError: If there is no such label or it has no such value.
    """
    name, equals, value = positive.partition("=")
    if not equals:
        raise InputError(
            f"positives are LABEL=VALUE, such as malignant=malignant, got {positive!r}"
        )
    labels = data.labels(name)
    if value not in labels.classes:
        raise InputError(
            f"label {name!r} of {data.id!r} has no value {value!r}: choose from "
            f"{', '.join(labels.classes)}"
        )
    return (labels.targets == labels.classes.index(value)).astype(float)


def deviations(table: EncodedTable, groups: np.ndarray) -> np.ndarray:
    """Return how far each lesion's metadata are from the mean of its patient's; reads no label.

    It is the mean squared difference over the inputs of the columns that are observed, so that
    what is missing neither adds to it nor hides it.

    Args:
        table: Encoded metadata of every row.
        groups: Patient of every row.

    Returns:
        `(n,)`, 0 where a patient has one lesion.
    """
    schema, lesions = table.schema.at("lesion"), table.lesions
    owners = [*schema.number_owners, *schema.word_owners]
    values = torch.cat([lesions.numeric, lesions.words.float()], dim=1)
    # A word or number is observed with its column.
    observed = lesions.observed[:, owners].float()
    names, index = np.unique(groups, return_inverse=True)
    patient = torch.from_numpy(index)
    zeros = values.new_zeros(len(names), values.shape[1])
    # Nobody's value: a mean of nothing, not used.
    counts = zeros.index_add(0, patient, observed).clamp(min=1.0)
    means = zeros.index_add(0, patient, values * observed) / counts
    squares = (values - means[patient]).square() * observed
    distances: np.ndarray = (squares.sum(dim=1) / observed.sum(dim=1).clamp(min=1.0)).numpy()
    return distances.astype(float)
