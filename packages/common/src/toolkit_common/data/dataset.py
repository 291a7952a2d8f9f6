"""The contract of a data set: typed rows with an image, and what is known about them.

Columns of the rows: `image` (place of the image, undecoded), `image_id` (unique), the label
columns, and where they exist `split` (train, val or test), `group` (what must not be on two sides
of a split: the patient, else the lesion), `patient_id`, `lesion_id`, and metadata.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property, partial
from math import isnan, nan
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from toolkit_common.data.cells import refuse_near, same_word
from toolkit_common.data.labels import is_no_class, refuse_no_classes
from toolkit_common.data.sheet import Sheet
from toolkit_common.errors import InputError
from toolkit_common.images.keys import image_keys
from toolkit_common.images.streams import STREAM
from toolkit_common.images.wide import PixelRange
from toolkit_common.registry import did_you_mean

if TYPE_CHECKING:
    from datasets import Dataset

SPLITS = ("train", "val", "test")
NO_LABELS = ["image_id", "split", "group"]
MOST_OFFERED = 8  # columns, in a message


@dataclass(frozen=True)
class Labels:
    """One label column, encoded.

    Attributes:
        name: Of the column.
        classes: Names of the classes in the order of their indices.
        targets: Class index of every row `(n,)`, -1 where it has no label.
    """

    name: str
    classes: tuple[str, ...]
    targets: np.ndarray


@dataclass(frozen=True)
class ImageData:
    """A data set: its id, its rows and its sheet.

    Attributes:
        id: As the user wrote it.
        rows: See the module's docstring.
        sheet: What is known beyond the rows.
        withheld: Columns of the file that must never be an input (the sheet's leaks), row by row;
            the audit alone reads them.
        choices: What the reader chose among several, and what it passed over: a line each, printed
            when the data set is loaded and recorded with every result.
        pixel_range: Which values become black and white; None where all images hold 8 bits.
    """

    id: str
    rows: "Dataset"
    sheet: Sheet
    withheld: pd.DataFrame = field(default_factory=pd.DataFrame)
    choices: tuple[str, ...] = ()
    pixel_range: PixelRange | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def table(self) -> pd.DataFrame:
        """All columns but the images, as a table."""
        frame: pd.DataFrame = self.rows.remove_columns("image").to_pandas()
        return frame

    @cached_property
    def images(self) -> "Dataset":
        """The image column alone: places, undecoded, with the range of the data set."""
        images = self.rows.select_columns("image")
        if self.pixel_range is None:
            return images
        return images.with_transform(partial(_add_range, pixels=self.pixel_range))

    @property
    def groups(self) -> np.ndarray | None:
        """The group of each row, or None if the data set has none."""
        return self.table["group"].to_numpy() if "group" in self.table else None

    def labels(self, name: str | None = None, *, min_classes: int = 2) -> Labels:
        """Encode a label column, the sheet's default one when none is named.

        Args:
            name: Of the column.
            min_classes: Fewer are refused: to learn takes two, to be judged one.

        Raises:
            InputError: If there is no such label, it has too few classes, or its words are no
                classes: quantities, several a row, two spellings of one, words for missing.
        """
        name = name or self.sheet.labels[0]
        if name not in self.table:
            known = [item for item in self.sheet.labels if item in self.table]
            hint = did_you_mean(name, known) if known else self._hint_at_columns(name)
            raise InputError(f"data set {self.id!r} has no label {name!r}{hint}")
        # NaN is not itself: pandas' missing among strings.
        values = [value if value == value else None for value in self.rows[name][:]]
        names = getattr(self.rows.features[name], "names", None)
        # Names that the data set gives keep its order, classes without a row included.
        if names:
            classes = tuple(names)
            targets = [-1 if value is None else value for value in values]
        else:
            counts = Counter(str(value) for value in values if value is not None)
            self._refuse_doubtful(name, counts)
            classes = tuple(sorted(counts, key=_natural))
            codes = {str(value): code for code, value in enumerate(classes)}
            targets = [-1 if value is None else codes[str(value)] for value in values]
        if len(classes) < min_classes:
            only = f"only {classes[0]!r}" if classes else "no value"
            raise InputError(
                f"label {name!r} of {self.id!r} has {only}: a probe needs at least two classes"
            )
        return Labels(name, classes, np.asarray(targets, np.int64))

    def _refuse_doubtful(self, name: str, counts: "Counter[str]") -> None:
        """Refuse words that are no classes, and words of classes that were read as missing."""
        if words := self.sheet.empty_words.get(name):
            shown = " and ".join(f"{count} cells say {word!r}" for word, count in words.items())
            raise InputError(
                f"label {name!r} of {self.id!r}: {shown}, read as missing: add ?missing=empty if "
                f"that is a class, ?missing={','.join(words)} if those rows have none"
            )
        what = f"label {name!r} of {self.id!r}"
        # Of a label the reader has said what -1 is; of any other column nobody has.
        if name not in self.sheet.labels and is_no_class({same_word(word) for word in counts}):
            raise InputError(
                f"{what} has -1 beside codes that count from 0: is that a class, or no label? name "
                f"the column in the data set's id (?label={name})"
            )
        refuse_no_classes(counts, what=what)
        if not self.sheet.spellings_differ:
            refuse_near(counts, what=what)

    def _hint_at_columns(self, name: str) -> str:
        """Offer the columns of a table, where any may be the label; not all of very many."""
        others = [str(item) for item in self.table.columns.difference(NO_LABELS)]
        if len(others) <= MOST_OFFERED:
            return did_you_mean(name, others)
        near = get_close_matches(name, others, n=3, cutoff=0.5)
        meant = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        return f"; {meant}name one of its {len(others)} columns that holds the classes"

    @property
    def is_streamed(self) -> bool:
        """Whether images come from a stream, which gives them in their order only."""
        return str(self.images[0]["image"]["path"]).startswith(STREAM)

    @cached_property
    def image_keys(self) -> list[str]:
        """A content key for each row's image, see `toolkit_common.images.keys`."""
        # The same file under another range is another image to every encoder.
        head = "" if self.pixel_range is None else self.pixel_range.key
        return [f"{head}{key}" for key in image_keys(self.images)]

    def fingerprint(self) -> str:
        """Return a hash that changes when images, labels or metadata change."""
        digest = hashlib.sha256("\n".join(self.image_keys).encode())
        digest.update("\n".join(map(str, self.table.columns)).encode())
        # With a key that is fixed: Python's own hash of a string is another in each process.
        digest.update(pd.util.hash_pandas_object(self.table, index=False).to_numpy().tobytes())
        return digest.hexdigest()


def build_image_data(
    identifier: str, frame: pd.DataFrame, sheet: Sheet, *, class_names: tuple[str, ...] = ()
) -> ImageData:
    """Turn a table into a data set.

    Args:
        identifier: The data set's id.
        frame: Columns as in the module's docstring; `image` holds paths, or bytes.
        sheet: What is known about it.
        class_names: Names of the classes where `label` holds indices.

    Raises:
        InputError: If there is no row, or an `image_id` occurs twice.
    """
    from datasets import ClassLabel, Dataset, DatasetInfo, Features, Image, Value
    from datasets.fingerprint import generate_random_fingerprint
    from datasets.table import InMemoryTable

    if frame.empty:
        raise InputError(f"data set {identifier!r} has no images")
    # Ids name rows in splits and predictions: two of one name would be two rows of one split.
    doubled = frame["image_id"].duplicated(keep=False)
    if doubled.any():
        rows = np.flatnonzero(doubled.to_numpy())
        raise InputError(
            f"data set {identifier!r}: image id {frame['image_id'].iloc[rows[0]]!r} occurs "
            f"{int((frame['image_id'] == frame['image_id'].iloc[rows[0]]).sum())} times "
            f"(first in rows {rows[0] + 1} and {rows[1] + 1})"
        )
    features: dict[str, Any] = {"image": Image(decode=False)}
    arrays = [_places(frame["image"])]
    for name in frame.columns.drop("image"):
        column = frame[name]
        if name == "label" and class_names:
            features[name] = ClassLabel(names=list(class_names))
            arrays.append(pa.array(column, pa.int64()))
        # Booleans are words here: True and False, not 1.0 and 0.0.
        elif pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            features[name] = Value("float64")
            arrays.append(pa.array(column, pa.float64(), from_pandas=True))
        else:
            features[name] = Value("string")
            arrays.append(_words(column))
    table = pa.Table.from_arrays(arrays, schema=Features(features).arrow_schema)
    info = DatasetInfo(features=Features(features))
    # Without a fingerprint of ours the whole table would be pickled to make one.
    rows = Dataset(InMemoryTable(table), info=info, fingerprint=generate_random_fingerprint())
    return ImageData(identifier, rows, sheet)


def number_groups(groups: "np.ndarray | pd.Series") -> np.ndarray:
    """Return a number for each row's group `(n,)`; a row without one is a group of its own."""
    codes = pd.factorize(groups)[0]
    # Numbers behind all that are taken, so that no two rows without a group are one.
    return np.where(codes < 0, codes.max(initial=0) + 1 + np.arange(len(codes)), codes)


def replace_images(rows: "Dataset", places: Iterable[tuple[int, str]]) -> "Dataset":
    """Return the rows with other images.

    Args:
        rows: Rows of a data set.
        places: Row and path of each image that is replaced.
    """
    before = rows.select_columns("image")[:]["image"]  # not the other columns, row by row
    paths = [place["path"] for place in before]
    contents = [place["bytes"] for place in before]
    for row, path in places:
        paths[row], contents[row] = path, None
    arrays = [pa.array(contents, pa.binary()), pa.array(paths, pa.string())]
    images = pa.StructArray.from_arrays(arrays, names=["bytes", "path"])
    others = rows.remove_columns("image")
    return others.add_column("image", images, feature=rows.features["image"])


def _add_range(batch: dict[str, list[Any]], *, pixels: PixelRange) -> dict[str, list[Any]]:
    return {"image": [{**place, "range": pixels} for place in batch["image"]]}


def _words(column: pd.Series) -> pa.Array:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return pa.array(column, from_pandas=True).dictionary_decode().cast(pa.string())
    if not isinstance(column.dtype, pd.StringDtype):
        column = column.map(str, na_action="ignore").astype(object)
    words = pa.array(column, pa.string(), from_pandas=True)
    return words.combine_chunks() if isinstance(words, pa.ChunkedArray) else words


def _places(column: pd.Series) -> pa.StructArray:
    is_bytes = column.map(lambda item: isinstance(item, bytes))
    in_memory = pa.array(column.where(is_bytes, None).astype(object), pa.binary())
    paths = _words(column.mask(is_bytes, None))
    return pa.StructArray.from_arrays([in_memory, paths], names=["bytes", "path"])


def _natural(name: str) -> tuple[int, float, str]:
    """Sort `2` before `10`, and numbers before words."""
    try:
        number = float(name)
    except ValueError:
        number = nan
    return (1, 0.0, name) if isnan(number) else (0, number, name)  # NaN has no place in an order
