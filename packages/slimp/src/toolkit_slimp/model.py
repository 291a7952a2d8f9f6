"""SLIMP's model: an image encoder, two metadata encoders, a projection head for each embedding.

Shapes: m lesions, p patients, d image width, k metadata width, e embedding width.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit_common.backbones.base import ImageEncoder
from toolkit_common.backbones.cards import Card
from toolkit_common.training.distributed import gather_rows
from toolkit_slimp.encoders import MetadataEncoder
from toolkit_slimp.losses import info_nce, segment_mean
from toolkit_slimp.schema import Metadata, Schema

MAX_LOGIT_SCALE = 100.0


@dataclass(frozen=True)
class NestedLoss:
    """The loss and its parts, with the embeddings they were computed from (for watching)."""

    total: Float[Tensor, ""]
    lesion: Float[Tensor, ""]
    patient: Float[Tensor, ""] | None
    lesion_pairs: tuple[Tensor, Tensor]
    patient_pairs: tuple[Tensor, Tensor] | None


def projection(dim: int, embed_dim: int) -> nn.Sequential:
    """Return the two-layer head in -> in -> embed_dim of SimCLR (Chen et al. 2020)."""
    return nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, embed_dim))


class SlimpModel(nn.Module):
    """Everything that SLIMP trains.

    Args:
        image_encoder: Images to tokens.
        card: Which vector stands for an image: the class token or the mean of the patches.
        schema: Metadata columns of both levels; without patient columns the outer loss is off.
        metadata_encoder: Options of `MetadataEncoder`.
        embed_dim: Width e of the embeddings.
        temperature: Of both losses; the start value where it is learned.
        learn_temperature: Whether both temperatures are trained (clamped to 0.01 and more).
        lesion_weight: The paper's lambda, in [0, 1].
        same_metadata: Whether patients with identical metadata are all positives of each other.
    """

    def __init__(
        self,
        image_encoder: ImageEncoder,
        *,
        card: Card,
        schema: Schema,
        metadata_encoder: dict[str, object] | None = None,
        embed_dim: int = 128,
        temperature: float = 0.1,
        learn_temperature: bool = False,
        lesion_weight: float = 0.5,
        same_metadata: bool = False,
    ) -> None:
        super().__init__()
        options = metadata_encoder or {}
        self.image_encoder = image_encoder
        self.reads_class_token = card.linear == "cls"
        self.lesion_encoder = MetadataEncoder(schema.at("lesion"), **options)  # type: ignore[arg-type]
        self.patient_encoder = MetadataEncoder(schema.at("patient"), **options)  # type: ignore[arg-type]
        image_dim = image_encoder.facts.embed_dim
        meta_dim = self.lesion_encoder.out_dim
        self.project_image = projection(image_dim, embed_dim)
        self.project_lesion = projection(meta_dim, embed_dim)
        self.project_phenotype = projection(image_dim + meta_dim, embed_dim)
        self.project_patient = projection(meta_dim, embed_dim)
        start = torch.tensor([1.0 / temperature, 1.0 / temperature]).log()
        self.log_scales = nn.Parameter(start, requires_grad=learn_temperature)
        self.lesion_weight = lesion_weight if schema.at("patient").columns else 1.0
        self.same_metadata = same_metadata

    def forward(
        self,
        images: Float[Tensor, "own 3 h w"],
        lesions: Metadata,
        segments: Int[Tensor, " m"],
        patients: Metadata,
    ) -> NestedLoss:
        """Return the loss of the whole batch; every rank brings its equal part of the lesions.

        Args:
            images: Normalised images of this rank's lesions.
            lesions: Their metadata.
            segments: Which patient each lesion of the whole batch belongs to, in rank order.
            patients: Metadata of all patients of the batch, the same on every rank.
        """
        count = len(segments)  # the last rank's part may be filled up
        image_vectors = gather_rows(self.encode_images(images))[:count]
        lesion_vectors = gather_rows(self.lesion_encoder(lesions))[:count]
        return self.nested_loss(image_vectors, lesion_vectors, segments, patients)

    def encode_images(self, images: Float[Tensor, "m 3 h w"]) -> Float[Tensor, "m d"]:
        """Return the vector of each image that the losses and the probes read."""
        tokens = self.image_encoder(images)
        return tokens.prefix[:, 0] if self.reads_class_token else tokens.patches.mean(dim=1)

    def scales(self) -> Float[Tensor, "2"]:
        """Return `1 / temperature` of the lesion and the patient loss."""
        return self.log_scales.exp().clamp(max=MAX_LOGIT_SCALE)

    def nested_loss(
        self,
        images: Float[Tensor, "m d"],
        lesions: Float[Tensor, "m k"],
        segments: Int[Tensor, " m"],
        patients: Metadata,
    ) -> NestedLoss:
        """Return the loss of a whole batch from its features.

        Args:
            images: Image vectors.
            lesions: Vectors of the lesions' metadata.
            segments: Which patient each lesion belongs to.
            patients: Metadata of the batch's patients.
        """
        lesion_scale, patient_scale = self.scales()
        lesion_pairs = (_embed(self.project_image, images), _embed(self.project_lesion, lesions))
        lesion = info_nce(*lesion_pairs, lesion_scale)
        if self.lesion_weight == 1.0:
            return NestedLoss(lesion, lesion, None, lesion_pairs, None)
        phenotypes = segment_mean(torch.cat([images, lesions], dim=1), segments, len(patients))
        patient_pairs = (
            _embed(self.project_phenotype, phenotypes),
            _embed(self.project_patient, self.patient_encoder(patients)),
        )
        positives = same_rows(patients) if self.same_metadata else None
        patient = info_nce(*patient_pairs, patient_scale, positives=positives)
        total = self.lesion_weight * lesion + (1.0 - self.lesion_weight) * patient
        return NestedLoss(total, lesion, patient, lesion_pairs, patient_pairs)


def same_rows(metadata: Metadata) -> Tensor:
    """Return which rows have identical metadata, as a mask `(p, p)`; every row equals itself."""
    rows = torch.cat([metadata.numeric, metadata.categorical, metadata.observed], dim=1)
    return (rows.unsqueeze(0) == rows.unsqueeze(1)).all(dim=2)


def _embed(head: nn.Module, features: Tensor) -> Tensor:
    return F.normalize(head(features).float(), dim=1)
