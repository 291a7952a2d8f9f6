"""The metadata encoders of an export, for whoever reads one (`toolkit_common.backbones.metadata`).

Shapes: n rows, k metadata width.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch

from toolkit_common.backbones.metadata import LEVELS, EncodedMetadata
from toolkit_common.data.sheet import Level
from toolkit_common.runs.files import sha256_of
from toolkit_slimp.exporting.bank import METADATA_BATCH
from toolkit_slimp.exporting.write import SCHEMA, WEIGHTS, load_slimp
from toolkit_slimp.metadata.columns import unseen_words
from toolkit_slimp.metadata.encoder import MetadataEncoder
from toolkit_slimp.metadata.schema import Schema


class SlimpMetadataEncoders:
    """The lesion and the patient encoder of a trained model, frozen, with their schema.

    Args:
        encoders: Encoder of each level that was trained, in eval mode.
        schema: Columns of both levels.
        digest: Hash of weights and schema.
    """

    def __init__(
        self, encoders: Mapping[Level, MetadataEncoder], schema: Schema, *, digest: str
    ) -> None:
        self._encoders = encoders
        self._schema = schema
        self.digest = digest
        self.columns: Mapping[Level, tuple[str, ...]] = {
            level: tuple(column.name for column in schema.at(level).columns)
            if level in encoders
            else ()
            for level in LEVELS
        }

    @torch.no_grad()
    def encode(self, table: pd.DataFrame, level: Level) -> EncodedMetadata:
        """Encode the rows of a table at one level; a column that it lacks counts as missing.

        Raises:
            InputError: If a value is out of its column's range, or no number where one must be.
        """
        schema = self._schema.at(level)
        # A level's own columns in the schema's order, whatever the table's; absent ones are empty.
        keys = [name for name in ("group", "image_id") if name in table]  # for patients, messages
        known = table.reindex(columns=[*self.columns[level], *keys])
        metadata = schema.encode(known)
        parts = [
            self._encoders[level](metadata.take(slice(start, start + METADATA_BATCH)))
            for start in range(0, len(table), METADATA_BATCH)
        ]
        unseen = {
            column.name: sum(unseen_words(column, known[column.name]).values())
            for column in schema.columns
        }
        return EncodedMetadata(
            torch.cat(parts).float(), {name: count for name, count in unseen.items() if count}
        )


def load_metadata_encoders(folder: Path) -> SlimpMetadataEncoders:
    """Load the metadata encoders of an exported folder, checked against its checksums.

    An encoder that no loss has trained (an ablation's) is left out.

    Raises:
        InputError: If it is no export of SLIMP, or damaged.
    """
    model, schema = load_slimp(folder)
    model.requires_grad_(requires_grad=False)
    sums = "".join(sha256_of(folder / name) for name in (WEIGHTS, SCHEMA))
    encoders: dict[Level, MetadataEncoder] = {}
    if model.loss.nested_weight > 0.0:
        encoders["lesion"] = model.lesion_encoder
        if model.lesion_weight < 1.0:
            encoders["patient"] = model.patient_encoder
    return SlimpMetadataEncoders(
        encoders,
        schema,
        digest=hashlib.sha256(sums.encode()).hexdigest(),
    )
