"""The exported encoder: the folder in which pre-training and probing meet.

```
encoder/
  encoder.safetensors   the image encoder's weights under its own library's names (timm loads them)
  encoder.json          architecture, preprocessing, card, provenance, sha256 of the weights
  config.json           the architecture and its input as timm reads them, of a model of timm's
```
In a folder that is published (`toolkit_common.sharing`) the weights are `model.safetensors`.
A method may put more files beside these (SLIMP: metadata encoders, schema, reference bank). Nothing
of it names a place on the machine that wrote it: of an architecture that lies in a folder
(`timm:local-dir:PATH`) or on the Hub (`open_clip:hf-hub:ORG/REPO`) the configuration is copied into
`architecture-HASH/`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from toolkit_common.backbones.contract import Card, ImageEncoder, Receipt
from toolkit_common.backbones.ids import parse_backbone_id
from toolkit_common.backbones.named.alias import LOCAL, SOURCES
from toolkit_common.backbones.portable import ARCHITECTURE, copy_configuration, timm_config
from toolkit_common.errors import InputError
from toolkit_common.images.transforms import Preprocess
from toolkit_common.runs.files import atomic_path, read_json, sha256_of, write_json

FORMAT = 1
LIBRARIES = [source for source in SOURCES if source != "exported"]
WEIGHTS, DESCRIPTION, TIMM = "encoder.safetensors", "encoder.json", "config.json"
SHARED = "model.safetensors"  # weights of a folder that is published: as the Hub calls them


@dataclass(frozen=True)
class Description:
    """What `encoder.json` says.

    Attributes:
        architecture: Id of the untrained encoder, such as `timm:vit_small_patch16_224`.
        preprocess: Its input.
        card: How probes read it.
        provenance: Method, data, settings, the groups (patients) it has seen, licence notes.
        weights_sha256: Checksum of the weights file.
        weights: Name of that file.
    """

    architecture: str
    preprocess: Preprocess
    card: Card
    provenance: dict[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""
    weights: str = WEIGHTS


def export_encoder(
    folder: Path,
    encoder: ImageEncoder,
    *,
    architecture: str,
    card: Card,
    provenance: Mapping[str, Any],
    weights: str = WEIGHTS,
) -> None:
    """Write an encoder so that `--backbone FOLDER` and plain timm can read it.

    Args:
        folder: Where to.
        encoder: The trained encoder.
        architecture: Backbone id that builds the same encoder untrained.
        card: How probes are to read it.
        provenance: JSON-able facts about its training.
        weights: Name of the weights file, `WEIGHTS` or `SHARED`.
    """
    state = {
        # Cloned: tied weights share memory, which safetensors refuses.
        name: value.detach().cpu().contiguous().clone()
        for name, value in encoder.model.state_dict().items()
    }
    with atomic_path(folder / weights) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})  # transformers asks for it
    description = {
        "format": FORMAT,
        "architecture": _make_portable(folder, architecture),
        "preprocess": asdict(encoder.preprocess),
        "card": asdict(card),
        "provenance": dict(provenance),
        "weights": weights,
        "weights_sha256": sha256_of(folder / weights),
    }
    if (of_timm := timm_config(architecture, encoder)) is not None:
        write_json(folder / TIMM, of_timm)
    # Last: a folder without description is no export.
    write_json(folder / DESCRIPTION, description)


def find_export(path: Path) -> Path:
    """Return the folder that holds `encoder.json`: `path`, or `path/encoder` of a run.

    Raises:
        InputError: If there is none.
    """
    for folder in (path, path / "encoder"):
        if (folder / DESCRIPTION).is_file():
            return folder
    raise InputError(
        f"{path} is no exported encoder: neither it nor its encoder/ has {DESCRIPTION}"
    )


def read_description(path: Path) -> Description:
    """Read `encoder.json`.

    Raises:
        InputError: If it is missing, damaged or of another format.
    """
    file = find_export(path) / DESCRIPTION
    try:
        content = read_json(file)
        if content.get("format") != FORMAT:
            raise InputError(
                f"{path} has encoder format {content.get('format')!r}, this version reads {FORMAT}"
            )
        raw = content["preprocess"]
        # JSON has lists, and settings are compared with tuples.
        sequences = {key: tuple(raw[key]) for key in ("image_size", "mean", "std")}
        architecture = str(content["architecture"])
        _refuse_circle(file.parent, architecture)
        return Description(
            architecture=_place(architecture, file.parent),
            preprocess=Preprocess(**{**raw, **sequences}),
            card=Card(**content["card"]),
            provenance=content["provenance"],
            weights_sha256=content["weights_sha256"],
            weights=_known_weights(content.get("weights", WEIGHTS)),
        )
    except (json.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{file} is damaged ({type(error).__name__}: {error})") from error


def _known_weights(name: Any) -> str:
    if name not in (WEIGHTS, SHARED):  # any other name could lead out of the folder
        raise InputError(f"weights of an export are {WEIGHTS} or {SHARED}, got {name!r}")
    return str(name)


def _refuse_circle(folder: Path, architecture: str) -> None:
    """Follow what exports of before name, the export that they were continued from."""
    seen = {folder.resolve()}
    while architecture.partition(":")[0] not in LIBRARIES and Path(architecture).exists():
        place = find_export(Path(architecture)).resolve()
        if place in seen:
            raise InputError(
                f"{folder / DESCRIPTION} is damaged: its architecture {architecture!r} leads back "
                f"to itself, expected an id of {', '.join(LIBRARIES)}"
            )
        seen.add(place)
        architecture = str(read_json(place / DESCRIPTION)["architecture"])


def _make_portable(folder: Path, architecture: str) -> str:
    """Return an architecture's id as any machine can read it, its configuration in the folder."""
    parsed = parse_backbone_id(architecture)
    if parsed.source == "exported":  # the encoder was continued from one: it is what that is
        return _make_portable(folder, read_description(Path(parsed.name)).architecture)
    place = copy_configuration(folder, parsed.name)
    if place is None:
        return architecture
    return architecture.replace(parsed.name, f"{LOCAL}{place}")


def _place(architecture: str, folder: Path) -> str:
    """Return an architecture's id with the place of the configuration that the folder holds."""
    front, mark, place = architecture.partition(LOCAL)
    if not mark or not place.startswith(f"{ARCHITECTURE}-"):
        return architecture
    return f"{front}{LOCAL}{folder / place}"


def load_exported_(encoder: ImageEncoder, folder: Path) -> Receipt:
    """Load the weights of an export into an encoder of its architecture.

    Raises:
        InputError: If they are missing, or their checksum differs.
    """
    description = read_description(folder)
    weights = folder / description.weights
    if not weights.is_file():
        raise InputError(f"{folder} has no {weights.name}")
    if sha256_of(weights) != description.weights_sha256:
        raise InputError(f"{weights} is damaged: its sha256 differs from the one in {DESCRIPTION}")
    encoder.model.load_state_dict(load_file(weights))
    return Receipt(str(weights), 1.0)
