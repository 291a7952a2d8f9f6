"""Extrapolated metadata: the file between what writes them for images without any and a probe.

```
FILE.parquet   a row an image: image_id, content (the first 16 hexadecimal digits of the sha256 of
               the image file), neighbour (keyed digest of the nearest lesion), similarity, a column
               for each that was extrapolated, abstained, seen (whether the encoder was trained on
               it); schema metadata `toolkit.extrapolated`: JSON of `version`, `columns` (name,
               level, kind, unit) and facts (docs/formats.md)
```
A file says whose images it is of by what these hold: names of images repeat from one data set to
another.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.loaders import map_images
from toolkit_common.data.sheet import Column, Kind, Level
from toolkit_common.errors import InputError
from toolkit_common.foreign.rows import read_rows
from toolkit_common.foreign.values import checked, parse_json
from toolkit_common.images.content import content_hash
from toolkit_common.runs.files import atomic_path, sha256_of

VERSION = 1
KEY = b"toolkit.extrapolated"
OWN = ("image_id", "content", "neighbour", "similarity", "abstained", "seen")  # of any such file
CONTENT = 16  # hexadecimal digits
LOOKED_AT = 64  # images whose content is compared when a file is read
NUMBERS = ("numeric", "angle")


@dataclass(frozen=True)
class Extrapolated:
    """Extrapolated metadata of a data set.

    Attributes:
        rows: See the module's docstring.
        columns: Those that were extrapolated; where a row has not abstained it has a value of each.
        facts: Who made it, of what, by which reference, and what it is worth.
        sha256: Of the file.
    """

    rows: pd.DataFrame
    columns: tuple[Column, ...]
    facts: Mapping[str, Any]
    sha256: str = ""

    def table_of(self, data: ImageData, rows: np.ndarray) -> pd.DataFrame:
        """Return `image_id` and the extrapolated columns of all rows of a data set, in their order.

        Args:
            data: The data set; a few of the images of `rows` are looked at.
            rows: Those that must be in the file; others are empty.

        Raises:
            InputError: If the file lacks some of them, or is of other images.
        """
        ids = data.table["image_id"].astype(str)
        places = pd.Series(np.arange(len(self.rows)), index=self.rows["image_id"]).reindex(ids)
        absent = rows[places.isna().to_numpy()[rows]]
        if len(absent):
            raise InputError(
                f"extrapolated metadata have no row for {len(absent)} of {len(rows)} images of "
                f"{data.id!r} (first: {ids.iloc[absent[0]]}): make them for all of it, with "
                "toolkit extrapolate"
            )
        self._refuse_other_images(data, rows, places.to_numpy())
        names = [column.name for column in self.columns]
        # By name: rows outside of `rows` may be missing from the file.
        table = self.rows.set_index("image_id")[names].reindex(ids).reset_index(drop=True)
        table.insert(0, "image_id", ids.to_numpy())
        return table

    def num_abstained(self, data: ImageData, rows: np.ndarray) -> int:
        """Return how many of some rows have no value, as nothing was near enough."""
        ids = data.table["image_id"].astype(str).iloc[rows]
        return int(self.rows.set_index("image_id")["abstained"].reindex(ids).sum())

    def _refuse_other_images(self, data: ImageData, rows: np.ndarray, places: np.ndarray) -> None:
        if data.is_streamed:  # would be read over the network once more
            return
        few = rows[np.linspace(0, len(rows) - 1, min(len(rows), LOOKED_AT)).astype(int)]
        known = self.rows["content"].to_numpy()
        for row, content in map_images(data, np.unique(few), content_hash, title="comparing"):
            if content[:CONTENT] != known[int(places[row])]:
                raise InputError(
                    f"extrapolated metadata are of other images than {data.id!r}: "
                    f"{data.table['image_id'].iloc[row]} is another file here; make them for this "
                    "data set, with toolkit extrapolate"
                )


@dataclass(frozen=True)
class _DescribedColumn:
    name: str
    level: Level
    kind: Kind
    unit: str = ""


@dataclass(frozen=True)
class _Described:
    """What a file says of itself, as far as it is relied on; facts stand beside it."""

    version: Annotated[int, Field(ge=1)]
    columns: tuple[_DescribedColumn, ...]


def write_extrapolated(path: Path, item: Extrapolated) -> None:
    """Write extrapolated metadata: parquet, or of another suffix a table in CSV for people.

    Raises:
        InputError: If a column has the name of one that any such file has.
    """
    for column in item.columns:
        if column.name in OWN:
            raise InputError(
                f"column {column.name!r} of the reference has the name of one that the file of "
                "extrapolated metadata has for itself: rename it"
            )
    with atomic_path(path) as temporary:
        if path.suffix != ".parquet":
            item.rows.to_csv(temporary, index=False)
            return
        described = {
            "version": VERSION,
            "columns": [
                {key: value for key, value in asdict(column).items() if key in _DESCRIBED}
                for column in item.columns
            ],
            **item.facts,
        }
        table = pa.Table.from_pandas(item.rows, preserve_index=False)
        kept = {KEY: json.dumps(described, sort_keys=True, allow_nan=False).encode()}
        pq.write_table(table.replace_schema_metadata(kept), temporary)


def read_extrapolated(path: Path) -> Extrapolated:
    """Read what `write_extrapolated` has written as parquet.

    Raises:
        InputError: If it is not there, no such file, damaged, or of a newer version.
    """
    if not path.exists():
        raise InputError(
            f"{path} does not exist: toolkit extrapolate slimp --from RUN --data ID -o {path} "
            "makes it"
        )
    try:
        table = read_rows(path)
    except InputError as error:
        raise InputError(
            f"{path} is no file of extrapolated metadata, which toolkit extrapolate writes as "
            f".parquet ({error})"
        ) from None
    described = (table.schema.metadata or {}).get(KEY)
    if described is None or not set(OWN) <= set(table.column_names):
        raise InputError(
            f"{path} is no file of extrapolated metadata: a table of your own is data "
            "(csv:FILE), and toolkit extrapolate writes what --metadata reads"
        )
    facts = parse_json(described, f"what {path} says of itself")
    version = facts.get("version") if isinstance(facts, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise InputError(f"{path} is of a newer toolkit: update this one")
    said: _Described = checked(_Described, facts, f"{path} is damaged")
    rows = _checked_rows(table, said, path)
    if rows["image_id"].duplicated().any():
        twice = rows["image_id"][rows["image_id"].duplicated()].iloc[0]
        raise InputError(f"{path} is damaged: image {twice!r} occurs more than once")
    others = {key: value for key, value in facts.items() if key not in ("version", "columns")}
    columns = tuple(Column(**asdict(item)) for item in said.columns)
    return Extrapolated(rows, columns, others, sha256_of(path))


def _checked_rows(table: pa.Table, said: "_Described", path: Path) -> pd.DataFrame:
    """Return the rows of a file, whose columns are of the kinds that it says."""
    kinds: dict[str, Callable[[pa.DataType], bool]] = {
        "image_id": _is_text, "content": _is_text, "abstained": pa.types.is_boolean,
        "seen": pa.types.is_boolean,
        **{item.name: _is_number if item.kind in NUMBERS else _is_text for item in said.columns},
    }  # fmt: skip
    for name, is_kind in kinds.items():
        if table.column_names.count(name) != 1:
            raise InputError(f"{path} is damaged: column {name!r} is not there once")
        kind = table[name].type
        if not is_kind(kind) and not pa.types.is_null(kind):
            raise InputError(f"{path} is damaged: column {name!r} holds {kind}")
    for name in OWN:
        if table[name].null_count and name in kinds:
            raise InputError(f"{path} is damaged: column {name!r} has empty cells")
    rows: pd.DataFrame = table.to_pandas()
    for item in said.columns:
        if item.kind in NUMBERS and np.isinf(rows[item.name].astype(float)).any():
            raise InputError(f"{path} is damaged: column {item.name!r} holds no finite number")
    return rows


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def with_metadata(data: ImageData, table: pd.DataFrame, columns: tuple[Column, ...]) -> ImageData:
    """Return a data set whose metadata are these alone; labels and its own metadata are gone.

    Args:
        data: Gives images and groups.
        table: A row for each of its rows, in their order.
        columns: Of the table, those that are metadata.
    """
    kept = [name for name in data.rows.column_names if name in ("image", "image_id", "group")]
    rows = data.rows.select_columns(kept)
    for column in columns:
        kind = pa.float64() if column.kind in NUMBERS else pa.string()
        cells = pa.array(table[column.name], kind, from_pandas=True)
        rows = rows.add_column(column.name, cells)
    return replace(data, rows=rows, sheet=replace(data.sheet, columns=columns))


_DESCRIBED = ("name", "level", "kind", "unit")
