"""SLIMP's part of an exported encoder: what lies beside the image encoder, written and read.

```
encoder/
  encoder.safetensors, encoder.json    the image encoder (toolkit_common.backbones.exported)
  slimp.safetensors                    metadata encoders, phenotype, projection heads, temperatures
  schema.json                          columns of both metadata encoders, with fitted transforms
  bank.safetensors, bank.parquet       training lesions, see toolkit_slimp.exporting.bank
```
`encoder.json` has the settings that build the model again and the sha256 of these files.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from toolkit_common.backbones.cards import Card, TokenSource
from toolkit_common.backbones.exported import (
    build_exported_encoder,
    export_encoder,
    find_export,
    read_description,
)
from toolkit_common.errors import InputError
from toolkit_common.runs.files import atomic_path, sha256_of, write_text
from toolkit_common.seed import untouched_streams
from toolkit_slimp.metadata.schema import Schema
from toolkit_slimp.model.slimp import SlimpModel
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.training.setup import build_model

WEIGHTS, SCHEMA = "slimp.safetensors", "schema.json"
IMAGE = "image_encoder."


def export_slimp(
    folder: Path,
    model: SlimpModel,
    *,
    architecture: str,
    card: Card,
    schema: Schema,
    provenance: Mapping[str, Any],
) -> None:
    """Write a trained model; files that are there already (the bank) are named with their sums.

    Args:
        folder: Where to.
        model: The trained model.
        architecture: Backbone id that builds its image encoder untrained.
        card: How the image encoder was read in training.
        schema: Its metadata columns.
        provenance: JSON-able facts about its training, `settings` among them.
    """
    reads: TokenSource = "all" if card.linear == "cls" else "patches"
    is_nested = model.loss.nested_weight > 0
    objective = "nested contrastive (SLIMP)" if is_nested else "image contrastive (SimCLR)"
    trained = Card(card.linear, reads, objective, f"trained on the {card.linear}")
    rest = {
        name: value.detach().cpu().contiguous()
        for name, value in model.state_dict().items()
        if not name.startswith(IMAGE)
    }
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(rest, temporary, metadata={"format": "pt"})
    write_text(folder / SCHEMA, schema.to_json())
    others = sorted(path for path in folder.iterdir() if not path.name.startswith("encoder."))
    export_encoder(
        folder,
        model.image_encoder,
        architecture=architecture,
        card=trained,
        provenance={**provenance, "files": {path.name: sha256_of(path) for path in others}},
    )


def load_slimp(path: Path) -> tuple[SlimpModel, Schema]:
    """Build an exported model again, in eval mode, with all its weights and its schema.

    The global random streams stay as they are.

    Args:
        path: The exported folder, or the run's.

    Raises:
        InputError: If it is no export of SLIMP, or a file's checksum differs.
    """
    folder = find_export(path)
    description = read_description(folder)
    files = description.provenance.get("files", {})
    if description.provenance.get("method") != "SLIMP" or not {WEIGHTS, SCHEMA} <= set(files):
        raise InputError(f"{folder} is no export of toolkit pretrain slimp: it has no {WEIGHTS}")
    for name in (WEIGHTS, SCHEMA):
        if not (folder / name).is_file() or sha256_of(folder / name) != files[name]:
            raise InputError(f"{folder / name} is missing or damaged: its sha256 differs")
    schema = Schema.from_json((folder / SCHEMA).read_text(encoding="utf-8"))
    settings = SlimpSettings(**description.provenance["settings"])
    with untouched_streams():  # every weight is overwritten
        encoder, _ = build_exported_encoder(folder, pretrained=True)
        model = build_model(settings, encoder, description.card, schema)
    image = {name: value for name, value in model.state_dict().items() if name.startswith(IMAGE)}
    model.load_state_dict({**load_file(folder / WEIGHTS), **image})
    return model.eval(), schema
