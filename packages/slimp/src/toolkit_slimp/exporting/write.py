"""Writes SLIMP's part of an exported encoder: what lies beside the image encoder.

```
encoder/
  encoder.safetensors, encoder.json    the image encoder (toolkit_common.backbones.exported)
  slimp.safetensors                    metadata encoders, phenotype, projection heads, temperatures
  schema.json                          columns of both metadata encoders, with fitted transforms
  seen.safetensors                     whom it was trained on, see toolkit_common.seen.record
  bank.safetensors, bank.parquet       lesions of the run (--bank), see toolkit_slimp.exporting.bank
```
`encoder.json` has the settings that build the model again and the sha256 of these files. Nothing
here names a person, or a place on the machine.
"""

from pathlib import Path
from typing import Any, Literal, get_origin

from safetensors.torch import save_file

from toolkit_common.backbones.contract import Card, TokenSource
from toolkit_common.backbones.exported import DESCRIPTION, TIMM, export_encoder
from toolkit_common.backbones.named.licences import weights_licence
from toolkit_common.config import field_extra
from toolkit_common.data.splits import make_splits
from toolkit_common.runs.files import atomic_path, sha256_of, write_text
from toolkit_common.seen.record import SEEN, build_record, rekeyed, write_seen
from toolkit_common.seen.secret import make_secret
from toolkit_common.sharing.provenance import public_data
from toolkit_common.training.settings import MACHINE
from toolkit_slimp.exporting.bank import write_bank
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.training.setup import Setup

WEIGHTS, SCHEMA = "slimp.safetensors", "schema.json"
IMAGE = "image_encoder."
# What the description and its twin for timm know, or are: of a resumed run all may be there.
OWN = ("encoder.safetensors", DESCRIPTION, TIMM, SEEN)
# Settings that name files of a machine, or say how another run is continued or what is drawn.
UNKEPT = {
    "data", "splits", "metadata_schema", "backbone", "from_run", "train", "allow_seen", "report",
}  # fmt: skip


def export_slimp(folder: Path, setup: Setup) -> None:
    """Write the trained model of a run and its bank; all files are named with their sums."""
    model, linear = setup.model, setup.card.linear
    if model.settings.bank:
        write_bank(folder, setup)
    rest = {
        name: value.detach().cpu().contiguous()
        for name, value in model.state_dict().items()
        if not name.startswith(IMAGE)
    }
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(rest, temporary, metadata={"format": "pt"})
    write_text(folder / SCHEMA, setup.schema.to_json())
    seen = _write_seen(folder, setup)
    others = sorted(path for path in folder.iterdir() if path.is_file() and path.name not in OWN)
    files = {path.name: sha256_of(path) for path in others}
    reads: TokenSource = "all" if linear == "cls" else "patches"
    is_nested = model.has_lesion_loss or model.has_patient_loss
    objective = "nested contrastive (SLIMP)" if is_nested else "image contrastive (SimCLR)"
    export_encoder(
        folder,
        model.image_encoder,
        architecture=setup.architecture,
        card=Card(linear, reads, objective, f"trained on the {linear}"),
        provenance={**_provenance(setup), "seen": seen, "files": files},
    )


def _write_seen(folder: Path, setup: Setup) -> dict[str, Any]:
    """Write whom the run has trained on, and whom the encoders that it continues."""
    secret, settings = make_secret(), setup.model.settings
    own = build_record(
        setup.data,
        setup.splits.train,
        make_splits(setup.data, settings).train,
        secret=secret,
        reader=public_data(setup.data.id),
    )
    return write_seen(folder, [*(rekeyed(item, secret) for item in setup.ancestry.records), own])


def _public_start(start: str) -> str:
    """Return where weights came from without the folders of this machine."""
    place = Path(start.rpartition(":")[2])
    return place.name if place.is_absolute() or place.exists() else start


def _provenance(setup: Setup) -> dict[str, Any]:
    data, settings = setup.data, setup.model.settings
    kept = settings.model_dump(mode="json", exclude=UNKEPT)
    if settings.backbone is not None or settings.from_run is not None:
        # Whether there was one decides how batch norms are read.
        kept["backbone"] = _public_start(f"{setup.backbone.source}:{setup.backbone.name}")
    return {
        "method": "SLIMP",
        "data": public_data(data.id),
        "data_fingerprint": data.fingerprint(),
        "data_licence": data.sheet.licence,
        "data_source": data.sheet.source,
        "start": _public_start(setup.start),
        "start_licence": _start_licence(setup),
        "steps": setup.stream.total_steps,
        "train": settings.train or "all",
        "trained_levels": list(setup.trained_levels),
        "splits": setup.splits.origin,
        "settings": kept,
        "protocol": _protocol(settings),
        "schema": setup.schema.digest(),
        "lineage": list(setup.ancestry.lineage),
    }


def _start_licence(setup: Setup) -> str:
    """Return the licence of the first weights; of an export continued its lineage says it."""
    return weights_licence("random" if setup.start == "random" else setup.backbone.text)


def _protocol(settings: SlimpSettings) -> dict[str, Any]:
    """Return the settings that can be published: no text of the user's, nothing of the machine."""
    kept: dict[str, Any] = {"ablation": settings.ablation}
    for name, field in SlimpSettings.model_fields.items():
        value = getattr(settings, name)
        is_closed = isinstance(value, str) and get_origin(field.annotation) is Literal
        if field_extra(field)["panel"] != MACHINE and (
            is_closed or isinstance(value, (bool, int, float))
        ):
            kept[name] = value
    return kept
