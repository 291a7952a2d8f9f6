"""SLIMP's model: an image encoder, two metadata encoders, a projection head for each embedding.

Lesion and image features are computed apart from the loss (`encode`, `nested_loss`), so that a
training step may encode a batch in pieces and still lose against the whole of it.

Shapes: m lesions, p patients, d image width, k metadata width, e embedding width.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from toolkit_common.backbones.cards import Card
from toolkit_common.backbones.contract import ImageEncoder, Tokens
from toolkit_slimp.metadata.encoder import MetadataEncoder
from toolkit_slimp.metadata.schema import Metadata, Schema
from toolkit_slimp.model.losses import equal_pairs, info_nce, nt_xent
from toolkit_slimp.model.phenotype import PHENOTYPES, Phenotype
from toolkit_slimp.model.terms import Features, LossOptions, Members, NestedLoss

MIN_LOGIT_SCALE, MAX_LOGIT_SCALE = 1.0, 100.0  # of learned temperatures, as CLIP bounds its own


def batch_norms(encoder: nn.Module) -> list[nn.Module]:
    """Return the modules of an encoder that normalise by statistics of the batch in training."""
    return [found for found in encoder.modules() if isinstance(found, _BatchNorm)]


def projection(dim: int, embed_dim: int) -> nn.Sequential:
    """Return the two-layer head in -> in -> embed_dim of SimCLR (Chen et al. 2020)."""
    return nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, embed_dim))


class SlimpModel(nn.Module):
    """Everything that SLIMP trains.

    Args:
        image_encoder: Images to tokens.
        card: Which vector stands for an image: the class token or the mean of the patches.
        schema: Metadata columns of both levels; without patient columns the outer loss is off,
            without lesion columns the inner one.
        metadata_encoder: Options of `MetadataEncoder`.
        embed_dim: Width e of the embeddings.
        phenotype: How a patient's lesions are pooled.
        loss: How embeddings are compared.
        frozen_statistics: Whether the image encoder's batch norms keep the statistics they came
            with. Patients' lesions come together, in small batches: statistics of such batches
            differ from those of any data set, and no image is then encoded on its own.
    """

    def __init__(
        self,
        image_encoder: ImageEncoder,
        *,
        card: Card,
        schema: Schema,
        metadata_encoder: Mapping[str, Any] | None = None,
        embed_dim: int = 128,
        phenotype: Phenotype = "mean",
        loss: LossOptions | None = None,
        frozen_statistics: bool = False,
    ) -> None:
        super().__init__()
        self.frozen_statistics = frozen_statistics
        options, self.loss = metadata_encoder or {}, loss or LossOptions()
        self.image_encoder = image_encoder
        self.reads_class_token = card.linear == "cls"
        self.lesion_encoder = MetadataEncoder(schema.at("lesion"), **options)
        self.patient_encoder = MetadataEncoder(schema.at("patient"), **options)
        image_dim = image_encoder.facts.embed_dim
        meta_dim = self.lesion_encoder.out_dim
        self.phenotype = PHENOTYPES[phenotype](image_dim + meta_dim)
        self.project_image = projection(image_dim, embed_dim)
        self.project_lesion = projection(meta_dim, embed_dim)
        self.project_phenotype = projection(int(self.phenotype.out_dim), embed_dim)  # type: ignore[arg-type]
        self.project_patient = projection(meta_dim, embed_dim)
        self.project_view = projection(image_dim, embed_dim) if self.loss.image_weight else None
        start = torch.full((2,), -math.log(self.loss.temperature))
        self.log_scales = nn.Parameter(start, requires_grad=self.loss.learn_temperature)
        self.lesion_weight = self.loss.lesion_weight
        if not schema.at("patient").columns:
            self.lesion_weight = 1.0
        elif not schema.at("lesion").columns:
            self.lesion_weight = 0.0
        self.train()

    def train(self, mode: bool = True) -> "SlimpModel":
        """Set the mode, as `nn.Module.train` does, but for the norms whose statistics are kept."""
        super().train(mode)
        if self.frozen_statistics:
            for norm in batch_norms(self.image_encoder):
                norm.eval()
        return self

    def encode(
        self,
        images: Float[Tensor, "m 3 h w"],
        lesions: Metadata,
        views: Float[Tensor, "m 3 h w"] | None = None,
    ) -> Features:
        """Return the features of some lesions.

        Args:
            images: Normalised images.
            lesions: Their metadata.
            views: Second views of the images, where the loss compares views.
        """
        return Features(
            images=_wide(self.encode_images(images)),
            lesions=_wide(self.lesion_encoder(lesions)),
            views=None if views is None else _wide(self.encode_images(views)),
        )

    def encode_images(self, images: Float[Tensor, "m 3 h w"]) -> Float[Tensor, "m d"]:
        """Return the vector of each image that the losses and the probes read."""
        found = self._encode(images)
        return found.prefix[:, 0] if self.reads_class_token else found.patches.mean(dim=1)

    def tokens(self, images: Float[Tensor, "m 3 h w"]) -> Float[Tensor, "m n d"]:
        """Return what EP reads of an export: the patches, the class token first if it is read."""
        found = self._encode(images)
        if not self.reads_class_token:
            return found.patches
        return torch.cat([found.prefix[:, :1], found.patches], dim=1)

    def _encode(self, images: Float[Tensor, "m 3 h w"]) -> Tokens:
        # Evaluation is not compiled: encoders then read more, by hooks that a graph leaves out.
        encoder = self.image_encoder if self.training else self.image_encoder.forward
        found: Tokens = encoder(images)
        return found

    def phenotypes(
        self,
        images: Float[Tensor, "m d"],
        lesions: Float[Tensor, "m k"],
        segments: Int[Tensor, " m"],
        num_patients: int,
    ) -> Float[Tensor, "p e"]:
        """Pool the features of each patient's lesions, before any projection."""
        pooled = self.phenotype(torch.cat([images, lesions], dim=1), segments, num_patients)
        return _wide(pooled)

    def scales(self) -> Float[Tensor, "2"]:
        """Return `1 / temperature` of the lesion and the patient loss."""
        return self.log_scales.exp()

    @torch.no_grad()
    def clamp_temperatures_(self) -> None:
        """Bring learned temperatures back into [0.01, 1], to be called after each update.

        A clamp in the forward would have no gradient outside and never let one come back.
        """
        if self.log_scales.requires_grad:
            self.log_scales.clamp_(math.log(MIN_LOGIT_SCALE), math.log(MAX_LOGIT_SCALE))

    def nested_loss(self, features: Features, members: Members) -> NestedLoss:
        """Return the loss of a whole batch from its features."""
        ignored, views = self._ignored(members), self._view_pairs(features)
        total = features.images.new_zeros(())
        lesion = patient = image = lesion_pairs = patient_pairs = None
        lesion_scale, patient_scale = self.scales()
        if views is not None and (second := views[1]) is not None:
            image = nt_xent(views[0], second, 1.0 / self.loss.temperature, ignored=ignored)
            total = total + self.loss.image_weight * image
        if self.loss.nested_weight and self.lesion_weight > 0.0:
            lesion_pairs = self._lesion_pairs(features)
            lesion = info_nce(*lesion_pairs, lesion_scale, ignored=ignored)
            total = total + self.loss.nested_weight * self.lesion_weight * lesion
        if self.loss.nested_weight and self.lesion_weight < 1.0:
            patient_pairs = self._patient_pairs(features, members)
            positives = equal_pairs(members.patient_codes) if self.loss.same_metadata else None
            patient = info_nce(*patient_pairs, patient_scale, positives=positives)
            total = total + self.loss.nested_weight * (1.0 - self.lesion_weight) * patient
        watched = lesion_pairs or patient_pairs or views
        assert watched is not None, "settings refuse a run without any loss"
        return NestedLoss(total, lesion, patient, image, lesion_pairs, patient_pairs, *watched)

    def embed_images(self, features: Float[Tensor, "m d"]) -> Float[Tensor, "m e"] | None:
        """Return the embeddings of image features by a head that is trained, if there is one."""
        if self.loss.nested_weight and self.lesion_weight > 0.0:
            return _embed(self.project_image, features)
        return None if self.project_view is None else _embed(self.project_view, features)

    def _view_pairs(self, features: Features) -> tuple[Tensor, Tensor | None] | None:
        if self.project_view is None:
            return None
        second = features.views
        return (
            _embed(self.project_view, features.images),
            None if second is None else _embed(self.project_view, second),
        )

    def _lesion_pairs(self, features: Features) -> tuple[Tensor, Tensor]:
        return (
            _embed(self.project_image, features.images),
            _embed(self.project_lesion, features.lesions),
        )

    def _patient_pairs(self, features: Features, members: Members) -> tuple[Tensor, Tensor]:
        patients = members.patients
        phenotypes = self.phenotypes(
            features.images, features.lesions, members.segments, len(patients)
        )
        return (
            _embed(self.project_phenotype, phenotypes),
            _embed(self.project_patient, _wide(self.patient_encoder(patients))),
        )

    def _ignored(self, members: Members) -> Bool[Tensor, "m m"] | None:
        codes = {
            "all": None,
            "other_lesions": members.lesion_codes,
            "other_patients": members.segments,
        }[self.loss.negatives]
        return None if codes is None else equal_pairs(codes)


def _embed(head: nn.Module, features: Tensor) -> Tensor:
    return F.normalize(_wide(head(features)), dim=1)


def _wide(values: Tensor) -> Tensor:
    """Features leave autocast's bf16 here: sums over lesions and a loss are too fine for it."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
