"""SLIMP's model: an image encoder, two metadata encoders, a projection head for each embedding.

Lesion and image features are computed apart from the loss (`encode`, `nested_loss`), so that a
training step may encode a batch in pieces and still lose against the whole of it.

Shapes: m lesions, p patients, d image width, k metadata width, e embedding width.
"""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from toolkit_common.backbones.contract import Card, ImageEncoder
from toolkit_common.data.sheet import Level
from toolkit_common.images.transforms import Preprocess
from toolkit_common.seed import seed_everything
from toolkit_slimp.metadata.encoder import MetadataEncoder
from toolkit_slimp.metadata.schema import Metadata, Schema
from toolkit_slimp.model.losses import equal_pairs, info_nce, nt_xent
from toolkit_slimp.model.phenotype import PHENOTYPES
from toolkit_slimp.model.terms import LesionFeatures, Members, NestedLoss
from toolkit_slimp.settings import Positives, SlimpSettings

Pair = tuple[Tensor, Tensor | None]  # what a term compares; no second view, no second part

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
    def preprocess(self) -> Preprocess:
        """What makes an image the normalised tensor that the image encoder takes."""
        return self.image_encoder.preprocess

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
        for norm in batch_norms(self.image_encoder):
            # One that is not trained must not move its statistics either.
            learns = any(item.requires_grad for item in norm.parameters())
            if self.settings.freezes_batch_norms or (self.settings.is_partial and not learns):
                norm.eval()
        return self

    @property
    def trains(self) -> tuple[Level, ...]:
        """The levels whose metadata encoder a loss reads."""
        on: dict[Level, bool] = {
            "lesion": self.has_lesion_loss or self.has_patient_loss,
            "patient": self.has_patient_loss,
        }
        return tuple(level for level in on if on[level])

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
        pairs = self._pairs(features, members)
        with torch.no_grad():
            # Where all embeddings are alike every answer is a guess: that is chance.
            blank = {name: _zeros_like(pair) for name, pair in pairs.items()}
            chance = self._terms(blank, members)
        lesions, patients = pairs.get("lesion"), pairs.get("patient")
        watched = lesions or patients or pairs.get("image")
        assert watched is not None, "settings refuse a run without any loss"
        terms = self._terms(pairs, members)
        return NestedLoss(
            total=terms["total"],
            lesion=terms.get("lesion"),
            patient=terms.get("patient"),
            image=terms.get("image"),
            chance=chance,
            lesion_pairs=lesions,  # type: ignore[arg-type]
            patient_pairs=patients,  # type: ignore[arg-type]
            embeddings=watched[0],
            partners=watched[1],
        )

    def embed_images(self, features: Float[Tensor, "m d"]) -> Float[Tensor, "m e"] | None:
        """Return the embeddings of image features by a head that is trained, if there is one."""
        if self.has_lesion_loss:
            return _embed(self.project_image, features)
        return None if self.project_view is None else _embed(self.project_view, features)

    def embed_lesions(self, features: Float[Tensor, "m k"]) -> Float[Tensor, "m e"] | None:
        """Return the embeddings of lesion features, if their head is trained."""
        return _embed(self.project_lesion, features) if self.has_lesion_loss else None

    def embed_patients(self, features: Float[Tensor, "p k"]) -> Float[Tensor, "p e"] | None:
        """Return the embeddings of patient features, if their head is trained."""
        return _embed(self.project_patient, features) if self.has_patient_loss else None

    def _pairs(self, features: LesionFeatures, members: Members) -> dict[str, Pair]:
        """Return the embeddings that each term compares, of those terms that are on."""
        pairs: dict[str, Pair] = {}
        if (head := self.project_view) is not None:
            second = None if features.views is None else _embed(head, features.views)
            pairs["image"] = _embed(head, features.images), second
        if self.has_lesion_loss:
            pairs["lesion"] = (
                _embed(self.project_image, features.images),
                _embed(self.project_lesion, features.lesions),
            )
        if self.has_patient_loss:
            pairs["patient"] = self._patient_pairs(features, members)
        return pairs

    def _terms(self, pairs: Mapping[str, Pair], members: Members) -> dict[str, Tensor]:
        """Return each term that has a pair, and `total`: their weighted sum."""
        settings, ignored = self.settings, self._ignored(members)
        lesion_scale, patient_scale = self.scales()
        terms: dict[str, Tensor] = {}
        for name, (first, second) in pairs.items():
            if second is None:  # no second view was encoded
                continue
            if name == "image":
                # Its temperature is the start's: what is learned is the nested levels'.
                terms[name] = nt_xent(first, second, 1.0 / settings.temperature, ignored=ignored)
            elif name == "lesion":
                same = _matches(settings.lesion_positives, members.metadata_codes)
                terms[name] = info_nce(first, second, lesion_scale, positives=same, ignored=ignored)
            else:
                # `ignored` is of lesions; rows are patients here.
                same = _matches(settings.patient_positives, members.patient_codes)
                terms[name] = info_nce(first, second, patient_scale, positives=same)
        weights = {
            "image": settings.image_weight,
            "lesion": settings.nested_weight * self.lesion_weight,
            "patient": settings.nested_weight * (1.0 - self.lesion_weight),
        }
        total = self.log_scales.new_zeros(())
        return {**terms, "total": sum((weights[name] * terms[name] for name in terms), total)}

    def _patient_pairs(self, features: LesionFeatures, members: Members) -> tuple[Tensor, Tensor]:
        patients = members.patients
        lesions = torch.cat([features.images, features.lesions], dim=1)  # pooled, then projected
        phenotypes = self.phenotype(lesions, members.segments, len(patients))
        return (
            _embed(self.project_phenotype, _wide(phenotypes)),
            _embed(self.project_patient, _wide(self.patient_encoder(patients))),
        )

    def _ignored(self, members: Members) -> Bool[Tensor, "m m"] | None:
        """Return which lesions are no negatives of each other."""
        lesions, patients = members.lesion_codes, members.segments
        match self.settings.lesion_negatives:
            case "all":
                return None
            case "other_lesions":
                return equal_pairs(lesions)
            case "other_patients":
                return equal_pairs(patients)
            case "same_patient":
                # Two photographs of one lesion have its metadata: no negatives either.
                return ~equal_pairs(patients) | equal_pairs(lesions)


def build_model(
    settings: SlimpSettings, encoder: ImageEncoder, *, card: Card, schema: Schema
) -> SlimpModel:
    """Build the model around an image encoder; its other weights depend on the seed alone."""
    seed_everything(settings.seed, "model")
    return SlimpModel(encoder, card=card, schema=schema, settings=settings)


def _matches(which: Positives, codes: Tensor) -> Bool[Tensor, "m m"] | None:
    """Return who matches whom besides each row its own; None for nobody."""
    return equal_pairs(codes) if which == "same_metadata" else None


def _zeros_like(pair: Pair) -> Pair:
    first, second = pair
    return torch.zeros_like(first), None if second is None else torch.zeros_like(second)


def _embed(head: nn.Module, features: Tensor) -> Tensor:
    return F.normalize(_wide(head(features)), dim=1)


def _wide(values: Tensor) -> Tensor:
    """Features leave autocast's bf16 here: sums over lesions and a loss are too fine for it."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
