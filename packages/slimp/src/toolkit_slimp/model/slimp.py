"""SLIMP's model: an image encoder, two metadata encoders, a projection head for each embedding.

Lesion and image features are computed apart from the loss (`encode`, `nested_loss`), so that a
training step may encode a batch in pieces and still lose against the whole of it.

Shapes: m lesions, p patients, d image width, k metadata width, e embedding width.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from toolkit_common.backbones.contract import Card, ImageEncoder
from toolkit_common.seed import seed_everything
from toolkit_slimp.metadata.encoder import MetadataEncoder
from toolkit_slimp.metadata.schema import Metadata, Schema
from toolkit_slimp.model.losses import equal_pairs, info_nce, nt_xent
from toolkit_slimp.model.phenotype import PHENOTYPES
from toolkit_slimp.model.terms import LesionFeatures, Members, NestedLoss
from toolkit_slimp.settings import SlimpSettings

MIN_LOGIT_SCALE, MAX_LOGIT_SCALE = 1.0, 100.0  # of learned temperatures, as CLIP bounds its own


def batch_norms(encoder: nn.Module) -> list[nn.Module]:
    """Return the modules of an encoder that normalise by statistics of the batch in training."""
    return [module for module in encoder.modules() if isinstance(module, _BatchNorm)]


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
        settings: Of the run. Batch norms of the image encoder may be frozen: patients' lesions come
            together, in small batches, whose statistics differ from those of any data set, and no
            image is then encoded on its own.
    """

    def __init__(
        self, image_encoder: ImageEncoder, *, card: Card, schema: Schema, settings: SlimpSettings
    ) -> None:
        super().__init__()
        self.settings = settings
        self.image_encoder = image_encoder
        self.reads_class_token = card.linear == "cls"
        self.lesion_encoder = MetadataEncoder(schema.at("lesion"), settings)
        self.patient_encoder = MetadataEncoder(schema.at("patient"), settings)
        image_dim, embed_dim = image_encoder.facts.embed_dim, settings.embed_dim
        meta_dim = self.lesion_encoder.out_dim
        self.phenotype = PHENOTYPES[settings.phenotype](image_dim + meta_dim)
        self.project_image = projection(image_dim, embed_dim)
        self.project_lesion = projection(meta_dim, embed_dim)
        self.project_phenotype = projection(int(self.phenotype.out_dim), embed_dim)  # type: ignore[arg-type]
        self.project_patient = projection(meta_dim, embed_dim)
        self.project_view = projection(image_dim, embed_dim) if settings.image_weight else None
        # As logarithms: no update can make a temperature negative, and steps are relative.
        start = torch.full((2,), -math.log(settings.temperature))
        self.log_scales = nn.Parameter(start, requires_grad=settings.learn_temperature)
        self.lesion_weight = settings.lesion_weight
        if not schema.at("patient").columns:
            self.lesion_weight = 1.0
        elif not schema.at("lesion").columns:
            self.lesion_weight = 0.0
        self.train()

    @property
    def has_lesion_loss(self) -> bool:
        """Whether images are compared with lesion metadata."""
        return self.settings.nested_weight > 0.0 and self.lesion_weight > 0.0

    @property
    def has_patient_loss(self) -> bool:
        """Whether phenotypes are compared with patient metadata."""
        return self.settings.nested_weight > 0.0 and self.lesion_weight < 1.0

    def train(self, mode: bool = True) -> "SlimpModel":
        """Set the mode, as `nn.Module.train` does, but for the norms whose statistics are kept."""
        # After the call above, which puts them into training mode as well.
        super().train(mode)
        if self.settings.freezes_batch_norms:
            for norm in batch_norms(self.image_encoder):
                norm.eval()
        return self

    def encode(
        self,
        images: Float[Tensor, "m 3 h w"],
        lesions: Metadata,
        views: Float[Tensor, "m 3 h w"] | None = None,
    ) -> LesionFeatures:
        """Return the features of some lesions.

        Args:
            images: Normalised images.
            lesions: Their metadata.
            views: Second views of the images, where the loss compares views.
        """
        return LesionFeatures(
            images=_wide(self.encode_images(images)),
            lesions=_wide(self.lesion_encoder(lesions)),
            views=None if views is None else _wide(self.encode_images(views)),
        )

    def encode_images(self, images: Float[Tensor, "m 3 h w"]) -> Float[Tensor, "m d"]:
        """Return the vector of each image that the losses and the probes read."""
        # Evaluation is not compiled: encoders then read more, by hooks that a graph leaves out.
        encoder = self.image_encoder if self.training else self.image_encoder.forward
        tokens = encoder(images)
        # By the card, as probes do: what is trained is what is read.
        return tokens.prefix[:, 0] if self.reads_class_token else tokens.patches.mean(dim=1)

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

    def nested_loss(self, features: LesionFeatures, members: Members) -> NestedLoss:
        """Return the loss of a whole batch from its features."""
        settings, ignored = self.settings, self._ignored(members)
        views = self._view_pairs(features)
        total = features.images.new_zeros(())
        lesion = patient = image = lesion_pairs = patient_pairs = None
        lesion_scale, patient_scale = self.scales()
        if views is not None and (second := views[1]) is not None:
            # Its temperature is the start's: what is learned is the nested levels'.
            image = nt_xent(views[0], second, 1.0 / settings.temperature, ignored=ignored)
            total = total + settings.image_weight * image
        if self.has_lesion_loss:
            lesion_pairs = (
                _embed(self.project_image, features.images),
                _embed(self.project_lesion, features.lesions),
            )
            lesion = info_nce(*lesion_pairs, lesion_scale, ignored=ignored)
            total = total + settings.nested_weight * self.lesion_weight * lesion
        if self.has_patient_loss:
            patient_pairs = self._patient_pairs(features, members)
            spreads = settings.patient_positives == "same_metadata"
            positives = equal_pairs(members.patient_codes) if spreads else None
            # `ignored` is of lesions; rows are patients here.
            patient = info_nce(*patient_pairs, patient_scale, positives=positives)
            total = total + settings.nested_weight * (1.0 - self.lesion_weight) * patient
        watched = lesion_pairs or patient_pairs or views
        assert watched is not None, "settings refuse a run without any loss"
        return NestedLoss(total, lesion, patient, image, lesion_pairs, patient_pairs, *watched)

    def embed_images(self, features: Float[Tensor, "m d"]) -> Float[Tensor, "m e"] | None:
        """Return the embeddings of image features by a head that is trained, if there is one."""
        if self.has_lesion_loss:
            return _embed(self.project_image, features)
        return None if self.project_view is None else _embed(self.project_view, features)

    def _view_pairs(self, features: LesionFeatures) -> tuple[Tensor, Tensor | None] | None:
        head, second = self.project_view, features.views
        if head is None:
            return None
        return _embed(head, features.images), None if second is None else _embed(head, second)

    def _patient_pairs(self, features: LesionFeatures, members: Members) -> tuple[Tensor, Tensor]:
        patients = members.patients
        lesions = torch.cat([features.images, features.lesions], dim=1)  # pooled, then projected
        phenotypes = self.phenotype(lesions, members.segments, len(patients))
        return (
            _embed(self.project_phenotype, _wide(phenotypes)),
            _embed(self.project_patient, _wide(self.patient_encoder(patients))),
        )

    def _ignored(self, members: Members) -> Bool[Tensor, "m m"] | None:
        codes = {
            "all": None,
            "other_lesions": members.lesion_codes,
            "other_patients": members.segments,
        }[self.settings.lesion_negatives]
        return None if codes is None else equal_pairs(codes)


def build_model(
    settings: SlimpSettings, encoder: ImageEncoder, *, card: Card, schema: Schema
) -> SlimpModel:
    """Build the model around an image encoder; its other weights depend on the seed alone."""
    seed_everything(settings.seed, "model")
    return SlimpModel(encoder, card=card, schema=schema, settings=settings)


def _embed(head: nn.Module, features: Tensor) -> Tensor:
    return F.normalize(_wide(head(features)), dim=1)


def _wide(values: Tensor) -> Tensor:
    """Features leave autocast's bf16 here: sums over lesions and a loss are too fine for it."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
