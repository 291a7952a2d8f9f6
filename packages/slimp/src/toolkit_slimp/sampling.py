"""From patients to batches: P patients, at most L lesions each, as one flat list with segments.

Every patient comes once an epoch, in an order that is a pure function of seed and epoch, not of
the number of ranks. Ranks share the *lesions* of one batch, equally many each whatever patients
they belong to: images are what costs, and a gathered loss needs equal counts (specs/traps.md 3).
"""

from dataclasses import dataclass

import numpy as np
import torch

from toolkit_common.seed import generator


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
        patients_per_batch: P.
        lesions_per_patient: L, the most lesions taken of one patient; drawn anew every epoch.
        seed: Of all draws.
    """

    def __init__(
        self,
        groups: np.ndarray,
        rows: np.ndarray,
        *,
        patients_per_batch: int,
        lesions_per_patient: int,
        seed: int,
    ) -> None:
        names, index = np.unique(groups[rows], return_inverse=True)
        order = np.argsort(index, kind="stable")
        self.lesions = np.split(rows[order], np.cumsum(np.bincount(index))[:-1])
        self.patients_per_batch = min(patients_per_batch, len(names))
        self.lesions_per_patient = lesions_per_patient
        self.seed = seed

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches in which every patient comes at most once."""
        return len(self.lesions) // self.patients_per_batch

    def epoch(self, epoch: int) -> list[PatientBatch]:
        """Return the batches of an epoch; what does not fill a batch waits for another epoch."""
        draws = generator(self.seed, "patients", epoch)
        order = torch.randperm(len(self.lesions), generator=draws).numpy()
        size = self.patients_per_batch
        starts = range(0, self.batches_per_epoch * size, size)
        return [self._batch(order[start : start + size], draws) for start in starts]

    def _batch(self, patients: np.ndarray, draws: torch.Generator) -> PatientBatch:
        chosen = []
        for patient in patients:
            lesions = self.lesions[patient]
            picked = torch.randperm(len(lesions), generator=draws)[: self.lesions_per_patient]
            chosen.append(lesions[picked.numpy()])
        counts = [len(lesions) for lesions in chosen]
        return PatientBatch(
            rows=np.concatenate(chosen),
            segments=np.repeat(np.arange(len(chosen)), counts),
            patients=np.array([lesions[0] for lesions in chosen]),
        )
