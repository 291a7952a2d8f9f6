"""Writes SLIMP's part of an exported encoder: what lies beside the image encoder.

```
encoder/
  encoder.safetensors, encoder.json    the image encoder (toolkit_common.backbones.exported)
  slimp.safetensors                    metadata encoders, phenotype, projection heads, temperatures
  schema.json                          columns of both metadata encoders, with fitted transforms
  bank.safetensors, bank.parquet       training lesions, see toolkit_slimp.exporting.bank
```
`encoder.json` has the settings that build the model again and the sha256 of these files.
"""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from toolkit_common.audit.overlaps import hash_group
from toolkit_common.backbones.contract import Card, TokenSource
from toolkit_common.backbones.exported import export_encoder
from toolkit_common.runs.files import atomic_path, sha256_of, write_text
from toolkit_slimp.exporting.bank import write_bank
from toolkit_slimp.training.setup import Setup

WEIGHTS, SCHEMA = "slimp.safetensors", "schema.json"
IMAGE = "image_encoder."


def export_slimp(folder: Path, setup: Setup) -> None:
    """Write the trained model of a run and its bank; all files are named with their sums."""
    model, linear = setup.model, setup.card.linear
    if model.settings.bank_size:
        write_bank(folder, setup)
    rest = {
        name: value.detach().cpu().contiguous()
        for name, value in model.state_dict().items()
        if not name.startswith(IMAGE)
    }
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(rest, temporary, metadata={"format": "pt"})
    write_text(folder / SCHEMA, setup.schema.to_json())
    # All but encoder.*: the description holds the sum of those weights itself.
    others = sorted(path for path in folder.iterdir() if not path.name.startswith("encoder."))
    files = {path.name: sha256_of(path) for path in others}
    reads: TokenSource = "all" if linear == "cls" else "patches"
    is_nested = model.has_lesion_loss or model.has_patient_loss
    objective = "nested contrastive (SLIMP)" if is_nested else "image contrastive (SimCLR)"
    export_encoder(
        folder,
        model.image_encoder,
        architecture=setup.architecture,
        card=Card(linear, reads, objective, f"trained on the {linear}"),
        provenance={**_provenance(setup), "files": files},
    )


def _provenance(setup: Setup) -> dict[str, Any]:
    data = setup.data
    assert data.groups is not None
    return {
        "method": "SLIMP",
        "data": data.id,
        "data_fingerprint": data.fingerprint(),
        "data_licence": data.sheet.licence,
        "data_source": data.sheet.source,
        "start": setup.start,
        "steps": setup.stream.total_steps,
        "settings": setup.model.settings.model_dump(mode="json"),
        "schema": setup.schema.digest(),
        "groups_seen": sorted({hash_group(group) for group in data.groups[setup.splits.train]}),
    }
