"""The exported encoder: the folder in which pre-training and probing meet.

```
encoder/
  encoder.safetensors   the image encoder's weights under its own library's names (timm loads them)
  encoder.json          architecture, preprocessing, card, provenance, sha256 of what lies beside it
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
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from toolkit_common.backbones.contract import Card, ImageEncoder, Receipt
from toolkit_common.backbones.ids import parse_backbone_id
from toolkit_common.backbones.named.alias import LOCAL, SOURCES
from toolkit_common.backbones.portable import ARCHITECTURE, copy_configuration, timm_config
from toolkit_common.errors import InputError
from toolkit_common.foreign.values import checked, shown
from toolkit_common.images.transforms import Preprocess
from toolkit_common.outside import reason_of
from toolkit_common.printable import shortened
from toolkit_common.runs.files import atomic_path, read_json, sha256_of, sha256_of_text, write_json

FORMAT = 2
FORMATS = (1, FORMAT)  # 1 has no checksum of the description
LIBRARIES = [source for source in SOURCES if source != "exported"]
WEIGHTS: Final = "encoder.safetensors"
DESCRIPTION, TIMM = "encoder.json", "config.json"
SHARED: Final = "model.safetensors"  # weights of a folder that is published: as the Hub calls them


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


@dataclass(frozen=True, kw_only=True)
class _File:
    """`encoder.json` as it is read: strictly, as anybody may have written it."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False
    )

    format: int
    architecture: Annotated[str, Field(min_length=1, max_length=1000)]
    preprocess: Preprocess
    card: Card
    provenance: dict[str, Any]
    weights_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    # Any other name could lead out of the folder.
    weights: Literal["encoder.safetensors", "model.safetensors"] = WEIGHTS
    sha256: str = ""


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
        provenance: JSON-able facts about its training; `files` in it, sha256 of what else lies in
            the folder by name, is completed by what is written here.
        weights: Name of the weights file, `WEIGHTS` or `SHARED`.
    """
    state = {
        # Cloned: tied weights share memory, which safetensors refuses.
        name: value.detach().cpu().contiguous().clone()
        for name, value in encoder.model.state_dict().items()
    }
    with atomic_path(folder / weights) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})  # transformers asks for it
    portable = _make_portable(folder, architecture)
    if (of_timm := timm_config(architecture, encoder)) is not None:
        write_json(folder / TIMM, of_timm)
    # A configuration builds other layers for the same weights.
    own = [folder / TIMM, *folder.glob(f"{ARCHITECTURE}-*/*.json")]
    sums = {file.relative_to(folder).as_posix(): sha256_of(file) for file in own if file.is_file()}
    files = {**provenance.get("files", {}), **dict(sorted(sums.items()))}
    description = {
        "format": FORMAT,
        "architecture": portable,
        "preprocess": asdict(encoder.preprocess),
        "card": asdict(card),
        "provenance": {**provenance, "files": files},
        "weights": weights,
        "weights_sha256": sha256_of(folder / weights),
    }
    # Last: a folder without description is no export.
    write_json(folder / DESCRIPTION, sealed(description))


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


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `encoder.json` holds with the checksum of all of it."""
    rest = {key: value for key, value in content.items() if key != "sha256"}
    return {**rest, "sha256": sha256_of_text(json.dumps(rest, sort_keys=True))}


def read_description(path: Path) -> Description:
    """Read `encoder.json`.

    Raises:
        InputError: If it is missing, damaged or of another format.
    """
    file = find_export(path) / DESCRIPTION
    try:
        content = read_json(file)
    except OSError as error:
        raise InputError(f"cannot read {file}: {reason_of(error)}") from None
    if not isinstance(content, dict):
        raise InputError(f"{file} is damaged: it holds no JSON object")
    if "format" not in content:
        raise InputError(f"{file} is damaged: it has no format")
    if content.get("format") not in FORMATS:
        known = " and ".join(map(str, FORMATS))
        raise InputError(
            f"{path} has encoder format {shown(content.get('format'))}, this version reads {known}"
        )
    given = content.get("preprocess")
    # What is left out would be ImageNet's, without a word.
    left_out = {"image_size", "mean", "std"} - set(given if isinstance(given, dict) else ())
    if left_out:
        raise InputError(f"{file} is damaged: preprocess has no {min(left_out)}")
    described: _File = checked(_File, content, f"{file} is damaged")
    # Files of format 1 have none; one that has it is to be what it says as well.
    if (described.format > 1 or "sha256" in content) and content != sealed(content):
        raise InputError(
            f"{file} is damaged: its sha256 is not that of what it says; export it again"
        )
    _refuse_circle(file.parent, described.architecture)
    return Description(
        architecture=_place(described.architecture, file.parent),
        preprocess=described.preprocess,
        card=described.card,
        provenance=described.provenance,
        weights_sha256=described.weights_sha256,
        weights=described.weights,
    )


def _refuse_circle(folder: Path, architecture: str) -> None:
    """Follow what exports of before name, the export that they were continued from."""
    seen = {folder.resolve()}
    while (place := _export_of(architecture)) is not None:
        if place in seen:
            raise InputError(
                f"{folder / DESCRIPTION} is damaged: its architecture {shown(architecture)} leads "
                f"back to itself, expected an id of {', '.join(LIBRARIES)}"
            )
        seen.add(place)
        content = read_json(place / DESCRIPTION)
        architecture = str(content.get("architecture") if isinstance(content, dict) else "")


def _export_of(architecture: str) -> Path | None:
    """Return the export that an id names, however it is spelled; None of any other."""
    try:
        parsed = parse_backbone_id(architecture)
    except InputError:  # for who builds it to say
        return None
    is_there = parsed.source == "exported" and Path(parsed.name).exists()
    return find_export(Path(parsed.name)).resolve() if is_there else None


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


def refuse_changed_files(folder: Path, description: Description) -> None:
    """Refuse an export of which a file that its description lists is not as it was written.

    Also one that is not needed: of a folder that is damaged nothing is taken for whole.

    Raises:
        InputError: If one is missing or another, or lies outside of the folder.
    """
    where = f"{folder / DESCRIPTION} is damaged: files"
    listed: dict[str, str] = checked(dict[str, str], description.provenance.get("files", {}), where)
    for name, known in listed.items():
        path = folder / name
        # By its name: files of the Hub are links to elsewhere.
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(f"{where} lie outside of it, such as {shown(name)}")
        if not path.is_file() or sha256_of(path) != known:
            raise InputError(
                f"{path} is missing or damaged: its sha256 differs from the one in {DESCRIPTION}; "
                "put it back, or export the encoder again"
            )


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
    try:
        encoder.model.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError) as error:
        # As good a file as any: of another architecture than the description says.
        text = shortened(" ".join(str(error).split()))
        raise InputError(f"{weights} does not fit {description.architecture}: {text}") from None
    return Receipt(str(weights), 1.0)
