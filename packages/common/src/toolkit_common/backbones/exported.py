"""The exported encoder: the folder in which pre-training and probing meet.

```
encoder/
  encoder.safetensors   the image encoder's weights under its own library's names (timm loads them)
  encoder.json          architecture, preprocessing, card, provenance, sha256 of the weights
  config.json           the architecture and its input as timm reads them, of a model of timm's
```
A method may put more files beside these (SLIMP: metadata encoders, schema, reference bank). Nothing
of it names a place on the machine that wrote it: of an architecture that lies in a folder
(`timm:local-dir:PATH`) or on the Hub (`open_clip:hf-hub:ORG/REPO`) the configuration is copied into
`architecture-HASH/`.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from toolkit_common.backbones.contract import Card, ImageEncoder, Receipt
from toolkit_common.backbones.ids import parse_backbone_id
from toolkit_common.backbones.named.alias import HUB, LOCAL, SOURCES
from toolkit_common.backbones.named.on_disk import in_hub_cache
from toolkit_common.errors import InputError
from toolkit_common.images.transforms import Preprocess
from toolkit_common.runs.files import atomic_path, read_json, sha256_of, sha256_of_text, write_json

FORMAT = 1
LIBRARIES = [source for source in SOURCES if source != "exported"]
WEIGHTS, DESCRIPTION, TIMM = "encoder.safetensors", "encoder.json", "config.json"
ARCHITECTURE = "architecture"  # folder with the configuration of an architecture of the user's own
CONFIGURATIONS = ("config.json", "open_clip_config.json")


@dataclass(frozen=True)
class Description:
    """What `encoder.json` says.

    Attributes:
        architecture: Id of the untrained encoder, such as `timm:vit_small_patch16_224`.
        preprocess: Its input.
        card: How probes read it.
        provenance: Method, data, settings, the groups (patients) it has seen, licence notes.
        weights_sha256: Checksum of the weights file.
    """

    architecture: str
    preprocess: Preprocess
    card: Card
    provenance: dict[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""


def export_encoder(
    folder: Path,
    encoder: ImageEncoder,
    *,
    architecture: str,
    card: Card,
    provenance: Mapping[str, Any],
) -> None:
    """Write an encoder so that `--backbone FOLDER` and plain timm can read it.

    Args:
        folder: Where to.
        encoder: The trained encoder.
        architecture: Backbone id that builds the same encoder untrained.
        card: How probes are to read it.
        provenance: JSON-able facts about its training.
    """
    state = {
        # Cloned: tied weights share memory, which safetensors refuses.
        name: value.detach().cpu().contiguous().clone()
        for name, value in encoder.model.state_dict().items()
    }
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})  # transformers asks for it
    description = {
        "format": FORMAT,
        "architecture": _make_portable(folder, architecture),
        "preprocess": asdict(encoder.preprocess),
        "card": asdict(card),
        "provenance": dict(provenance),
        "weights_sha256": sha256_of(folder / WEIGHTS),
    }
    if (timm_config := _timm_config(architecture, encoder)) is not None:
        write_json(folder / TIMM, timm_config)
    # Last: a folder without description is no export.
    write_json(folder / DESCRIPTION, description)


def _timm_config(architecture: str, encoder: ImageEncoder) -> dict[str, Any] | None:
    """Return what `timm.create_model("local-dir:FOLDER")` reads; None of what it cannot name."""
    parsed = parse_backbone_id(architecture)
    if parsed.source != "timm" or ":" in parsed.name:
        return None
    preprocess = encoder.preprocess
    height, width = preprocess.image_size
    own: Any = getattr(encoder.model, "pretrained_cfg", {})
    # Convolutions take any size: timm has no argument for it.
    takes_size = parsed.image_size is not None and not encoder.facts.is_convolutional
    return {
        "architecture": parsed.name.partition(".")[0],
        "num_classes": 0,
        "model_args": {"img_size": parsed.image_size} if takes_size else {},
        "pretrained_cfg": {
            "num_classes": 0,
            "input_size": [3, height, width],
            # Position tables are then made for that input.
            "fixed_input_size": bool(own.get("fixed_input_size")),
            "interpolation": preprocess.interpolation,
            "crop_pct": preprocess.crop_pct,
            "crop_mode": "squash" if preprocess.resize == "squash" else "center",
            "mean": list(preprocess.mean),
            "std": list(preprocess.std),
        },
    }


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
        )
    except (json.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{file} is damaged ({type(error).__name__}: {error})") from error


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
    source = _configuration_folder(parsed.name)
    if source is None:
        return architecture
    files = [source / name for name in CONFIGURATIONS if (source / name).is_file()]
    # Its name tells two configurations apart, as encoders are compared by it.
    place = f"{ARCHITECTURE}-{sha256_of_text(''.join(map(sha256_of, files)))[:8]}"
    (folder / place).mkdir(exist_ok=True)
    for file in files:
        shutil.copyfile(file, folder / place / file.name)
    return architecture.replace(parsed.name, f"{LOCAL}{place}")


def _configuration_folder(name: str) -> Path | None:
    """Return where the configuration of an architecture lies that no library knows by name."""
    if name.startswith(LOCAL):
        return Path(name.removeprefix(LOCAL))
    if not name.startswith(HUB):
        return None
    # The Hub's, too: who reads the export need not reach it.
    cached = (in_hub_cache(name.removeprefix(HUB), file) for file in CONFIGURATIONS)
    return next((path.parent for path in cached if path is not None), None)


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
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise InputError(f"{folder} has no {WEIGHTS}")
    if sha256_of(weights) != read_description(folder).weights_sha256:
        raise InputError(f"{weights} is damaged: its sha256 differs from the one in {DESCRIPTION}")
    encoder.model.load_state_dict(load_file(weights))
    return Receipt(str(weights), 1.0)
