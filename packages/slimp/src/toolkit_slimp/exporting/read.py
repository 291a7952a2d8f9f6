"""Reads an export: the whole model, or its metadata encoders as probing wants them.

The contract of the latter is `toolkit_common.backbones.metadata`.

Shapes: n rows, k metadata width.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import load_file

from toolkit_common.backbones.exported import find_export, read_description
from toolkit_common.backbones.load import build_exported_encoder
from toolkit_common.backbones.metadata import LEVELS, EncodedMetadata
from toolkit_common.config import Layer, resolve
from toolkit_common.data.sheet import Level
from toolkit_common.errors import InputError
from toolkit_common.printable import shortened
from toolkit_common.runs.files import sha256_of
from toolkit_common.seed import untouched_streams
from toolkit_slimp.exporting.embed import Slimp, count_unseen, encode_level
from toolkit_slimp.exporting.write import IMAGE, SCHEMA, WEIGHTS
from toolkit_slimp.metadata.encoder import MetadataEncoder
from toolkit_slimp.metadata.schema import Schema
from toolkit_slimp.metadata.schema_file import read_schema_file
from toolkit_slimp.model.slimp import build_model
from toolkit_slimp.settings import SlimpSettings

# Of exports of before, and nothing that the model depends on.
TRAINING_ALONE = ("metadata_block_dropout", "bank_size", "bank")


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

    def encode(self, table: pd.DataFrame, level: Level) -> EncodedMetadata:
        """Encode the rows of a table at one level; a column that it lacks counts as missing.

        Raises:
            InputError: If a value is out of its column's range, or no number where one must be.
        """
        schema = self._schema.at(level)
        # A level's own columns in the schema's order, whatever the table's; absent ones are empty.
        keys = [name for name in ("group", "image_id") if name in table]  # for patients, messages
        # A label or leak that was hidden is absent too, and read as missing.
        known = table.reindex(columns=[*self.columns[level], *keys])
        vectors = encode_level(self._encoders[level], schema, known)
        return EncodedMetadata(vectors, count_unseen(schema, known))


def load_metadata_encoders(folder: Path) -> SlimpMetadataEncoders:
    """Load the metadata encoders of an exported folder, checked against its checksums.

    An encoder that no loss has trained (an ablation's) is left out.

    Raises:
        InputError: If it is no export of SLIMP, or damaged.
    """
    model, schema = load_slimp(folder)
    model.requires_grad_(requires_grad=False)
    # Of both: the same weights read a column otherwise under another schema.
    sums = "".join(sha256_of(folder / name) for name in (WEIGHTS, SCHEMA))
    encoders: dict[Level, MetadataEncoder] = {}
    if model.has_lesion_loss or model.has_patient_loss:
        encoders["lesion"] = model.lesion_encoder  # which the patient loss trains as well
    if model.has_patient_loss:
        encoders["patient"] = model.patient_encoder
    return SlimpMetadataEncoders(encoders, schema, digest=hashlib.sha256(sums.encode()).hexdigest())


def load_slimp(path: Path | str) -> Slimp:
    """Build an exported model again, in eval mode, with all its weights and its schema.

    The global random streams stay as they are.

    Args:
        path: The exported folder, or the run's.

    Returns:
        Model and schema, with what embeds images, lesions and patients.

    Raises:
        InputError: If it is no export of SLIMP, or a file's checksum differs.
    """
    folder = find_export(Path(path))
    description = read_description(folder)
    files = description.provenance.get("files", {})
    if not isinstance(files, dict):
        raise InputError(f"{folder} is no export of toolkit pretrain slimp: it lists no files")
    if description.provenance.get("method") != "SLIMP" or not {WEIGHTS, SCHEMA} <= set(files):
        raise InputError(f"{folder} is no export of toolkit pretrain slimp: it has no {WEIGHTS}")
    settings = _stored_settings(description.provenance.get("settings"), folder)
    with untouched_streams():  # every weight is overwritten
        encoder, _ = build_exported_encoder(folder, pretrained=True)  # which compares checksums
        schema = read_schema_file(folder / SCHEMA)
        model = build_model(settings, encoder, card=description.card, schema=schema)
    # The image encoder lies in its own file, which any library can read.
    image = {name: value for name, value in model.state_dict().items() if name.startswith(IMAGE)}
    try:
        model.load_state_dict({**load_file(folder / WEIGHTS), **image})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InputError(
            f"{folder / WEIGHTS} does not fit its description: {shortened(str(error))}"
        ) from None
    return Slimp(model.eval(), schema)


def _stored_settings(stored: Any, folder: Path) -> SlimpSettings:
    """Return the settings of an export, also of one that an earlier version has written."""
    if not isinstance(stored, dict):
        raise InputError(f"{folder} is no export of toolkit pretrain slimp: it has no settings")
    left = {
        key: value
        for key, value in stored.items()
        if SlimpSettings.gone.get(key, ...) != value and key not in TRAINING_ALONE
    }
    return resolve(SlimpSettings, [Layer(str(folder), left)]).settings
