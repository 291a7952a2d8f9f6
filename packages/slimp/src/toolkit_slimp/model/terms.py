"""What the losses read and what they return: features, who belongs to whom, the terms.

Shapes: m lesions, p patients, d image width, k metadata width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from toolkit_common.training.late import send
from toolkit_slimp.metadata.schema import Metadata
from toolkit_slimp.metadata.table import EncodedTable


@dataclass(frozen=True)
class LesionFeatures:
    """What the encoders make of some lesions.

    Attributes:
        images: Image vectors `(m, d)`.
        lesions: Vectors of the lesions' metadata `(m, k)`.
        views: Image vectors of second views `(m, d)`, where the loss compares views.
    """

    images: Float[Tensor, "m d"]
    lesions: Float[Tensor, "m k"]
    views: Float[Tensor, "m d"] | None = None

    def parts(self) -> list[Tensor]:
        """Return the tensors that there are, in this order."""
        return [part for part in (self.images, self.lesions, self.views) if part is not None]


@dataclass(frozen=True)
class Members:
    """Who belongs to whom in a batch.

    Attributes:
        segments: Number of each lesion's patient in the batch `(m,)`.
        lesion_codes: Equal for images of one lesion `(m,)`.
        metadata_codes: Equal for lesions whose metadata are identical, hidden values included.
        patients: Metadata of the batch's patients, as far as they are shown.
        patient_codes: Equal for patients whose metadata are identical, hidden values included.
    """

    segments: Int[Tensor, " m"]
    lesion_codes: Int[Tensor, " m"]
    metadata_codes: Int[Tensor, " m"]
    patients: Metadata
    patient_codes: Int[Tensor, " p"]

    def to(self, device: Any) -> "Members":
        """Move to a device."""
        return Members(
            segments=send(self.segments, device),
            lesion_codes=send(self.lesion_codes, device),
            metadata_codes=send(self.metadata_codes, device),
            patients=self.patients.to(device),
            patient_codes=send(self.patient_codes, device),
        )


def build_members(
    table: EncodedTable, rows: Tensor, *, patients: Tensor, segments: Tensor
) -> Members:
    """Return who belongs to whom among some rows of a table.

    Args:
        table: Metadata of every row.
        rows: Row of each lesion `(m,)`.
        patients: A row of each patient `(p,)`, to read patient metadata from.
        segments: Number of each lesion's patient `(m,)`.
    """
    return Members(
        segments=segments,
        lesion_codes=table.lesion_codes[rows],
        metadata_codes=table.metadata_codes[rows],
        patients=table.patients.take(patients),
        patient_codes=table.patient_codes[patients],
    )


@dataclass(frozen=True)
class NestedLoss:
    """The loss and its parts, with the embeddings they were computed from (for watching).

    Attributes:
        total: What is minimised.
        lesion: The inner loss, None where it is off.
        patient: The outer loss, None where it is off.
        image: The image-image term, None where it is off or there are no second views.
        chance: What `total` and each term that is on would be if embeddings said nothing (all
            alike: each row guesses among what it is compared with).
        lesion_pairs: Embeddings of images and of their metadata, where there is a `lesion` loss.
        patient_pairs: Embeddings of phenotypes and of patients, where there is a `patient` loss.
        embeddings: What is watched: embeddings of the images, of the phenotypes where the patient
            loss is alone, by a head that is trained.
        partners: What each of them is drawn to: its metadata, or its second view, if there is one.
    """

    total: Float[Tensor, ""]
    lesion: Float[Tensor, ""] | None
    patient: Float[Tensor, ""] | None
    image: Float[Tensor, ""] | None
    chance: Mapping[str, Tensor]
    lesion_pairs: tuple[Tensor, Tensor] | None
    patient_pairs: tuple[Tensor, Tensor] | None
    embeddings: Tensor
    partners: Tensor | None
