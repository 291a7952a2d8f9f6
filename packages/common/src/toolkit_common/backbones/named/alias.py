"""An encoder's short name, and the files that hold such names.

```yaml
# encoders.yaml in the user's configuration folder, or --encoders FILE
clinic-vit:                             # --backbone clinic-vit
  id: timm:vit_small_patch16_224
  weights: weights/clinic.pth           # starts at this file
  mean: imagenet                        # or [R, G, B] with std
  objective: mae
  note: continued on our own lesions
  licence: internal
panderm-large: {weights: panderm.pth}   # no id: changes the built-in one of that name
```
A key is an option of a backbone's id (`toolkit_common.backbones.ids`), or `id`, `note`, `licence`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from platformdirs import user_config_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from toolkit_common.config import read_yaml
from toolkit_common.errors import InputError
from toolkit_common.ids import refuse_options, split_options
from toolkit_common.registry import did_you_mean

Source = Literal["exported", "open_clip", "python", "timm"]
SOURCES: tuple[Source, ...] = get_args(Source)
OPTIONS = ("weights", "key", "prefix", "mean", "std", "crop_pct", "interpolation", "objective",
           "tokens", "vectors", "layer", "layers", "final_norm", "image_size", "name")  # fmt: skip
FILE = "encoders.yaml"
HUB = "hf-hub:"
LOCAL = "local-dir:"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
# What is said of one place: who gives another takes none of the rest over.
TOGETHER = (("weights", "key", "prefix"), ("mean", "std"), ("layer", "layers"))

Channels = Annotated[list[float], Field(min_length=3, max_length=3)]


@dataclass(frozen=True)
class Alias:
    """What a short name stands for.

    Attributes:
        place: The id without options: an encoder, or another short name.
        options: Options of the id.
        note: What it is, for humans.
        licence: Of its weights, as far as known.
        needs: Which file holds its weights and who has it, where it is not fetched by a name.
        origin: The file that it stands in.
    """

    place: str
    options: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    licence: str = ""
    needs: str = ""
    origin: str = "built in"


class _Entry(BaseModel):
    """An entry of a file, as it is written there."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    id: str | None = Field(None, min_length=1)
    weights: str | None = Field(None, min_length=1)
    key: str | None = Field(None, min_length=1)
    prefix: str | None = Field(None, min_length=1)
    mean: str | Channels | None = None
    std: Channels | None = None
    crop_pct: float | None = Field(None, gt=0, le=4)
    interpolation: str | None = None
    objective: str | None = None
    tokens: Literal["patches", "all"] | None = None
    vectors: Literal["cls", "mean", "pooled"] | None = None
    layer: int | None = None
    layers: str | list[int] | None = None
    final_norm: Literal["none"] | None = None
    image_size: int | None = Field(None, ge=1)
    note: str = ""
    licence: str = ""


def alias_file() -> Path:
    """Return the file of the user's own names, which need not exist."""
    return user_config_path("toolkit", appauthor=False) / FILE


def read_aliases(path: Path, known: Mapping[str, Alias]) -> dict[str, Alias]:
    """Read a file of short names.

    Args:
        path: The file.
        known: Names that an entry without id can change.

    Raises:
        InputError: If it is missing, no YAML, or holds what no short name can be; it names the
            entry and the key.
    """
    if not path.is_file():
        raise InputError(f"no file of encoders by name at {path}: NAME: {{id: timm:...}} in YAML")
    return {
        str(name): _read_entry(str(name), values, path=path, known=known)
        for name, values in read_yaml(path).values.items()
    }


def _read_entry(name: str, values: Any, *, path: Path, known: Mapping[str, Alias]) -> Alias:
    where = f"{path}: {name}"
    if not NAME.fullmatch(name) or name in SOURCES:
        raise InputError(
            f"{where!r} is no short name: it begins with a letter or digit, then come letters, "
            "digits and any of _.+-"
        )
    values = {"id": values} if isinstance(values, str) else values
    if not isinstance(values, dict):
        raise InputError(f"{where} must be an id, or `key: value` lines, got {values!r}")
    for key in values:
        if key not in _Entry.model_fields:
            hint = did_you_mean(str(key), _Entry.model_fields)
            raise InputError(f"{where} has an unknown key {key!r}{hint}")
    try:
        entry = _Entry.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"{where}.{first['loc'][0]}: {first['msg'][0].lower()}{first['msg'][1:]}, got "
            f"{first['input']!r}"
        ) from None
    alias = _to_alias(entry, where=where, path=path)
    if entry.id is not None:
        return alias
    if name not in known:
        near = did_you_mean(name, known).partition("; choose")[0].partition(" choose")[0]
        raise InputError(
            f"{where} has no id, and no encoder of that name is built in whose weights it could "
            f"give{near.rstrip(';')}"
        )
    return change(known[name], alias)


def _to_alias(entry: _Entry, *, where: str, path: Path) -> Alias:
    place, options = split_options(entry.id or "")
    refuse_options(where, options, OPTIONS)
    kept = entry.model_dump(exclude_none=True, exclude={"id", "note", "licence"})
    if twice := sorted(set(kept) & set(options)):
        raise InputError(f"{where}: {twice[0]} is in the id and beside it: give it once")
    options |= {key: _written(value) for key, value in kept.items()}
    folder = path.absolute().parent
    if "weights" in options and not options["weights"].startswith(HUB):
        options["weights"] = str(folder / Path(options["weights"]).expanduser())
    for key, value in options.items():
        if "&" in value:
            raise InputError(f"{where}.{key}: an id cannot hold a '&', got {value!r}: rename it")
    front, colon, rest = place.partition(":")
    if colon and front not in SOURCES:
        raise InputError(f"{where}.id: unknown source {front!r}{did_you_mean(front, SOURCES)}")
    if rest.startswith(LOCAL):
        place = f"{front}:{LOCAL}{folder / Path(rest.removeprefix(LOCAL)).expanduser()}"
    elif not colon and ("/" in place or place.startswith((".", "~"))):
        place = str(folder / Path(place).expanduser())
    return Alias(place, options, entry.note, entry.licence, origin=str(path))


def _written(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def change(below: Alias, above: Alias) -> Alias:
    """Return an alias in which what another says holds."""
    return Alias(
        below.place,
        {**left(below.options, above.options), **above.options},
        above.note or below.note,
        above.licence or below.licence,
        needs="" if "weights" in above.options else below.needs,
        origin=above.origin,
    )


def left(options: Mapping[str, str], given: Iterable[str]) -> dict[str, str]:
    """Return the options that others do not take the place of."""
    gone = set(given)
    for group in TOGETHER:
        if group[0] in gone or (group[0] == "layer" and group[1] in gone):
            gone |= set(group)
    return {key: value for key, value in options.items() if key not in gone}
