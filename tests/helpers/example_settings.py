"""Settings of every kind of field that commands use, nested and with groups."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from toolkit_common.config import (
    Groups,
    Names,
    PositiveFloats,
    Settings,
    option,
    split_commas,
)


class Crop(Settings):
    size: int = option(224, "Side.", ge=1)
    mode: Literal["center", "random"] = option("center", "Where.")


class Transform(Settings):
    crop: Crop = Crop()
    flip: bool = option(False, "Mirror.")
    note: str = option("", "Text.")


Counts = Annotated[
    tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1), BeforeValidator(split_commas)
]


class Example(Settings):
    """One field of each type that the commands use."""

    protocol: str = option("honest", "Preset.")
    lr: float = option(0.1, "Learning rate.", gt=0)
    lrs: PositiveFloats = option((0.1, 0.2), "Learning rates.")
    queries: Counts = option((32,), "Queries.")
    method: Names = option(("ep",), "Methods.", flag="-m", panel="Probe")
    label: str | None = option(None, "Column.")
    folder: Path | None = option(None, "Folder.", affects_result=False)
    epochs: int = option(90, "Epochs.")
    transform: Transform = Transform()


PRESETS = {"honest": {}, "paper": {"lr": 5.0, "epochs": 100}}


def file_of(folder: Path, text: str | bytes) -> Path:
    path = folder / "settings.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


class Grouped(Settings):
    renamed: ClassVar[Mapping[str, str]] = {"size": "image_size", "k": "knn.k"}
    image_size: int = option(224, "Side.")
    options: Groups = option({}, "Options.", holds_groups=True)
