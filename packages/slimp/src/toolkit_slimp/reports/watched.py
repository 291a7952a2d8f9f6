"""Held-out patients as the kept state sees them: what a page shows of them, kept in the run folder.

```
RUN/held_out/
  embeddings.safetensors   `features` (m, d) of the images; of the losses that are on, normalised:
                           `images` and `lesions` (m, e), `phenotypes` and `patients` (p, e),
                           `views` (m, e) of SimCLR alone
  rows.parquet             a row an image: its id, numbers that are equal for one patient, equal
                           lesion metadata, equal patient metadata, its label, its metadata
```
As confidential as the data. Both are of the rows that were watched (`watching/held_out.py`).

Shapes: m images, p patients, d feature width, e embedding width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from toolkit_common.data.dataset import Labels
from toolkit_common.data.sheet import Level
from toolkit_common.errors import InputError
from toolkit_common.foreign.rows import read_rows
from toolkit_common.outside import reason_of
from toolkit_common.runs.files import atomic_path
from toolkit_slimp.metadata.schema import Schema
from toolkit_slimp.model.losses import equal_pairs
from toolkit_slimp.model.slimp import SlimpModel
from toolkit_slimp.watching.held_out import HeldOut

FOLDER, TENSORS, ROWS = "held_out", "embeddings.safetensors", "rows.parquet"
KEPT = (f"{FOLDER}/{TENSORS}", f"{FOLDER}/{ROWS}")
METADATA = "metadata."  # before the names of the data set's columns
PAIRS: Mapping[Level, tuple[str, str, str]] = {  # two modalities, and which rows are alike
    "lesion": ("images", "lesions", "metadata_code"),
    "patient": ("phenotypes", "patients", "patient_code"),
}
CODES = ("patient", "metadata_code", "patient_code")  # numbers of rows that are alike
_PAIRED = [pair[:2] for pair in PAIRS.values()]


@dataclass(frozen=True)
class Pairs:
    """The embeddings that a loss compares.

    Attributes:
        first: Of images, or of phenotypes.
        second: Of lesions' metadata, or of patients'.
        same: Which pairs are of identical metadata.
        groups: Patient of each row.
    """

    first: Tensor
    second: Tensor
    same: Bool[Tensor, "m m"]
    groups: np.ndarray


@dataclass(frozen=True)
class Watched:
    """Held-out patients as the kept state sees them.

    Attributes:
        tensors: Embeddings by name, see the module's docstring.
        rows: A row an image.
        label: Name of the label; None where the data set does not say.
    """

    tensors: Mapping[str, Tensor]
    rows: pd.DataFrame
    label: str | None

    def pairs(self, level: Level) -> Pairs | None:
        """Return what a level's loss compares; None where that is off."""
        first, second, code = PAIRS[level]
        if first not in self.tensors:
            return None
        rows = self.rows
        if level == "patient":  # in the order of their numbers
            rows = rows.drop_duplicates("patient").sort_values("patient")
        same = equal_pairs(torch.tensor(rows[code].tolist()))
        return Pairs(self.tensors[first], self.tensors[second], same, rows["patient"].to_numpy())

    def column(self, name: str) -> pd.Series:
        """Return a metadata column of the images, as it stands in the data set."""
        values: pd.Series = self.rows[METADATA + name]
        return values

    def has(self, name: str) -> bool:
        """Whether the images have a metadata column of that name."""
        return METADATA + name in self.rows


def watch_again(
    held_out: HeldOut, model: SlimpModel, schema: Schema, *, labels: Labels | None
) -> Watched:
    """Encode the held-out rows once more, with the state that is kept.

    Args:
        held_out: The rows.
        model: The state; in eval mode afterwards.
        schema: Its columns.
        labels: Of the data set, to colour by; nothing is learned of them.

    Raises:
        FloatingPointError: If an embedding is no finite number.
    """
    features, members, loss = held_out.encode(model)
    tensors = {"features": features.images}
    if loss.lesion_pairs is not None:
        tensors["images"], tensors["lesions"] = loss.lesion_pairs
    if loss.patient_pairs is not None:
        tensors["phenotypes"], tensors["patients"] = loss.patient_pairs
    if loss.lesion_pairs is None and loss.patient_pairs is None:
        tensors["views"] = loss.embeddings
    data, rows = held_out.data.table, held_out.rows
    segments = members.segments.cpu().numpy()
    frame = pd.DataFrame(
        {
            "image_id": data["image_id"].to_numpy()[rows],
            "patient": segments,
            "metadata_code": members.metadata_codes.cpu().numpy(),
            "patient_code": members.patient_codes.cpu().numpy()[segments],
        }
    )
    if labels is not None:
        words = np.array([*labels.classes, None], object)  # -1, no label, is the last
        frame["label"] = words[labels.targets[rows]]
    for column in schema.columns:
        frame[METADATA + column.name] = data[column.name].to_numpy()[rows]
    kept = {name: value.float().cpu().contiguous() for name, value in tensors.items()}
    return Watched(kept, frame, None if labels is None else labels.name)


def write_watched(run: Path, watched: Watched) -> None:
    """Keep what a page shows, so that it can be drawn again without the encoder."""
    with atomic_path(run / FOLDER / TENSORS) as temporary:
        save_file(dict(watched.tensors), temporary, metadata={"label": watched.label or ""})
    with atomic_path(run / FOLDER / ROWS) as temporary:
        watched.rows.to_parquet(temporary, index=False)


def read_watched(run: Path) -> Watched | None:
    """Return what a run has kept, None if it has kept nothing.

    Raises:
        InputError: If it is damaged.
    """
    folder = run / FOLDER
    if not (folder / TENSORS).is_file() or not (folder / ROWS).is_file():
        return None
    try:
        with safe_open(folder / TENSORS, "pt") as file:
            label = file.metadata()["label"] or None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _checked(Watched(tensors, read_rows(folder / ROWS).to_pandas(), label))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder} is damaged ({reason_of(error)}): remove it, and the images are encoded anew"
        ) from None


def _checked(watched: Watched) -> Watched:
    """Return what was kept, where its parts fit each other.

    Raises:
        ValueError: If they do not; its reader says where.
    """
    rows, tensors = watched.rows, watched.tensors
    for name in CODES:
        if rows[name].dtype.kind not in "iu":
            raise ValueError(f"{name} are no numbers")
    if rows["image_id"].isna().any() or (watched.label and "label" not in rows):
        raise ValueError("rows have no ids or no labels")
    counts = dict.fromkeys(tensors, len(rows))
    counts |= dict.fromkeys(PAIRS["patient"][:2], rows["patient"].nunique())
    for name, tensor in tensors.items():
        if tensor.ndim != 2 or len(tensor) != counts[name] or not tensor.isfinite().all():
            raise ValueError(f"{name} do not fit the rows")
    if "features" not in tensors or any((a in tensors) != (b in tensors) for a, b in _PAIRED):
        raise ValueError("embeddings are missing")
    return watched
