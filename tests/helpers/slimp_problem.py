"""A small SLIMP model and a batch for it, without files: what tests of a step begin with."""

from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from toolkit_common.backbones.cards import choose_card
from toolkit_common.backbones.ids import parse_backbone_id
from toolkit_common.backbones.load import build_encoder
from toolkit_common.images.transforms import Preprocess
from toolkit_slimp.metadata.schema import ColumnSchema, Metadata, Schema
from toolkit_slimp.model.slimp import SlimpModel
from toolkit_slimp.model.terms import Members
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.training.batches import Batch

SCHEMA = Schema(
    (
        ColumnSchema("size", "lesion", "numeric", quantiles=(0.0, 1.0)),
        ColumnSchema("site", "lesion", "categorical", categories=("arm", "leg")),
        ColumnSchema("age", "patient", "numeric", quantiles=(0.0, 1.0)),
        ColumnSchema("sex", "patient", "categorical", categories=("female", "male")),
    )
)
SIZES = (3, 1, 4, 2)  # lesions of each patient


def build_metadata(schema: Schema, m: int, draws: torch.Generator) -> Metadata:
    return Metadata(
        torch.randn(m, len(schema.number_owners), generator=draws),
        torch.rand(m, len(schema.word_owners), generator=draws) > 0.5,
        torch.rand(m, len(schema.columns), generator=draws) > 0.2,
    )


def build_batch(*, sizes: tuple[int, ...] = SIZES, views: bool = False, seed: int = 0) -> Batch:
    draws = torch.Generator().manual_seed(seed)
    m = sum(sizes)

    def images() -> Tensor:
        return torch.randint(256, (m, 3, 32, 32), generator=draws, dtype=torch.uint8)

    members = Members(
        segments=torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)),
        lesion_codes=torch.arange(m) // 2,
        metadata_codes=torch.arange(m) // 3,
        patients=build_metadata(SCHEMA.at("patient"), len(sizes), draws),
        patient_codes=torch.arange(len(sizes)) // 2,
    )
    return Batch(
        rows=torch.arange(m),
        images=images(),
        views=images() if views else None,
        lesions=build_metadata(SCHEMA.at("lesion"), m, draws),
        members=members,
    )


def build_settings(**values: Any) -> SlimpSettings:
    """Settings of a small model, random encoder."""
    small = {"metadata_dim": 16, "metadata_heads": 2, "embed_dim": 8, "random_init": True}
    return SlimpSettings(**{**small, **values})


def build_model(
    text: str = "timm:test_vit?image_size=32", *, seed: int = 0, **values: Any
) -> SlimpModel:
    """A model in float64."""
    encoder, _ = build_encoder(parse_backbone_id(text), random_init=True, seed=seed)
    torch.manual_seed(seed)
    card, settings = choose_card(text, encoder.facts), build_settings(seed=seed, **values)
    return SlimpModel(encoder, card=card, schema=SCHEMA, settings=settings).double()


class Float64Preprocess(Preprocess):
    """Normalises in float64, where an encoder's own works in fp32."""

    @override
    def normalize(self, images: Tensor) -> Tensor:
        return images.double() / 255.0 - 0.5
