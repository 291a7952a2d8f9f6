"""A trained model as people use it from Python: images, lesions and patients become vectors.

Shapes: n rows, e embedding width (or that of the features).
"""

from collections.abc import Callable
from typing import NamedTuple
from warnings import warn

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from toolkit_common.data.sheet import Level
from toolkit_common.errors import InputError
from toolkit_common.images.batches import Pictures, as_batches
from toolkit_slimp.metadata.columns import unseen_words
from toolkit_slimp.metadata.encoder import MetadataEncoder
from toolkit_slimp.metadata.schema import Schema
from toolkit_slimp.metadata.table import encode_rows
from toolkit_slimp.model.slimp import SlimpModel

METADATA_BATCH = 4096


class Slimp(NamedTuple):
    """A trained model, in eval mode, and the schema of its metadata.

    Embeddings are projected and of length 1: those of images and lesions lie in one space, where a
    dot product is a similarity. With `projected=False` they are the features below, which
    probes read, also of a level that no loss has trained.
    """

    model: SlimpModel
    schema: Schema

    def embed_images(self, images: Pictures, *, projected: bool = True) -> Float[Tensor, "n e"]:
        """Return a vector of each image (PIL, files, arrays, or a tensor: see `as_batches`).

        Raises:
            InputError: If an image does not decode, or the run has trained no embedding of images.
        """
        encoder, device = self.model.image_encoder, next(self.model.parameters()).device
        with torch.inference_mode():
            parts = [
                self.model.encode_images(batch.to(device)).float()
                for batch in as_batches(images, encoder.preprocess)
            ]
        features = torch.cat(parts)  # a copy that a backward pass may need
        return (
            self._projected("image", self.model.embed_images, features) if projected else features
        )

    def embed_lesions(self, table: pd.DataFrame, *, projected: bool = True) -> Tensor:
        """Return a vector `(n, e)` of each row's lesion metadata; empty cells count as missing.

        Raises:
            InputError: If a column is absent, a value cannot be one of its column's, or the run has
                trained no embedding of lesions.
        """
        features = self._encode("lesion", self.model.lesion_encoder, table)
        embed = self.model.embed_lesions
        return self._projected("lesion", embed, features) if projected else features

    def embed_patients(self, table: pd.DataFrame, *, projected: bool = True) -> Tensor:
        """Return a vector `(n, e)` of each row's patient metadata; arguments as `embed_lesions`.

        Where there is a column `group`, a patient's known values count for all its rows.
        """
        features = self._encode("patient", self.model.patient_encoder, table)
        embed = self.model.embed_patients
        return self._projected("patient", embed, features) if projected else features

    def _encode(self, level: Level, encoder: MetadataEncoder, table: pd.DataFrame) -> Tensor:
        schema = self.schema.at(level)
        if absent := [item.name for item in schema.columns if item.name not in table]:
            raise InputError(
                f"the table has no {level} column {', '.join(absent)} of the schema: add it, empty "
                "where it is not known"
            )
        unseen = count_unseen(schema, table)
        if unseen:
            shown = ", ".join(f"{count} of {name}" for name, count in unseen.items())
            warn(f"values that no training row had are read as missing: {shown}", stacklevel=3)
        return encode_level(encoder, schema, table)

    def _projected(
        self, what: str, embed: Callable[[Tensor], Tensor | None], features: Tensor
    ) -> Tensor:
        with torch.no_grad():
            embeddings = embed(features)
        if embeddings is None:
            raise InputError(
                f"this run has trained no embedding of the {what}: projected=False gives features"
            )
        return embeddings


@torch.no_grad()
def encode_level(
    encoder: MetadataEncoder, schema: Schema, table: pd.DataFrame
) -> Float[Tensor, "n k"]:
    """Return the features of one level of some rows.

    Args:
        encoder: Of the level.
        schema: Its columns, all of which the table has.
        table: The rows.

    Raises:
        InputError: If a value is out of its column's range, or no number where one must be.
    """
    metadata, device = encode_rows(schema, table), encoder.cls.device
    parts = [
        encoder(metadata.take(slice(start, start + METADATA_BATCH)).to(device))
        for start in range(0, len(table), METADATA_BATCH)
    ]
    return torch.cat(parts).float()


def count_unseen(schema: Schema, table: pd.DataFrame) -> dict[str, int]:
    """Return how many values of each column no training row had, where there are any."""
    counts = {item.name: sum(unseen_words(item, table).values()) for item in schema.columns}
    return {name: count for name, count in counts.items() if count}
