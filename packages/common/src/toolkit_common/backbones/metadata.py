"""The metadata encoders that an export may hold: their contract, and who reads them.

The method that made an export is named in its `encoder.json`; the package of that method installs
a loader under the method's name in the entry-point group `toolkit.metadata_encoders`. So metadata
meet probing as images do, in a file, and no package imports another.

Shapes: n rows, k width of a level's vectors.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from toolkit_common.backbones.exported import find_export, read_description
from toolkit_common.data.sheet import Level
from toolkit_common.errors import InputError

GROUP = "toolkit.metadata_encoders"
DISTRIBUTIONS = {"slimp": "toolkit-slimp"}  # ours alone: a file must not say what to install

LEVELS: tuple[Level, ...] = ("lesion", "patient")


@dataclass(frozen=True)
class EncodedMetadata:
    """One level's metadata of some rows.

    Attributes:
        vectors: A vector a row, in the order of the rows.
        unseen: Column -> number of its values that the encoder has no word for; they were read as
            missing.
    """

    vectors: Float[Tensor, "n k"]
    unseen: Mapping[str, int]


@runtime_checkable
class MetadataEncoders(Protocol):
    """What an export knows about metadata.

    Attributes:
        columns: Names of the columns that each level reads; none where it has no such level.
        digest: A hash of weights and schema: equal exactly for encoders that compute the same.
    """

    columns: Mapping[Level, tuple[str, ...]]
    digest: str

    def encode(self, table: pd.DataFrame, level: Level) -> EncodedMetadata:
        """Encode the rows of a table at one level; a column that it lacks counts as missing.

        Raises:
            InputError: If a value cannot be one of its column's.
        """
        ...


Loader = Callable[[Path], MetadataEncoders]


def load_metadata_encoders(path: Path) -> MetadataEncoders:
    """Load the metadata encoders of an export.

    Args:
        path: The exported folder, or the run's.

    Raises:
        InputError: If it is no export, has none, or the package that reads them is not installed.
    """
    folder = find_export(path)
    method: Any = read_description(folder).provenance.get("method")
    if not isinstance(method, str):
        raise InputError(
            f"{folder} has an image encoder alone: metadata are read by encoders of toolkit "
            "pretrain slimp"
        )
    name = method.lower()
    loaders = {point.name: point for point in entry_points(group=GROUP)}
    if name not in loaders:
        how = f": pip install {DISTRIBUTIONS[name]}" if name in DISTRIBUTIONS else ""
        raise InputError(
            f"the metadata encoders of {folder} were made by {method}, which is not installed{how}"
        )
    loader: Loader = loaders[name].load()
    return loader(folder)
