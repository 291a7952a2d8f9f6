"""Data sets with known patients, and exports that have seen some of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from helpers.small_data import build_data, image_bytes
from helpers.tiny_encoders import export
from toolkit_common.backbones.exported import sealed
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.splits import make_splits
from toolkit_common.runs.files import write_json
from toolkit_common.seen.record import Record, build_record, write_seen
from toolkit_common.seen.secret import make_secret

ROWS = 40
IMAGES = [image_bytes(row) for row in range(2 * ROWS)]


def patients(prefix: str = "p", first: int = 0, *, images: int = 0, **columns: Any) -> ImageData:
    """40 images of 20 patients, numbered from `first` on; pictures from number `images` on."""
    names = [f"{prefix}{first + row // 2}" for row in range(ROWS)]
    given = {"groups": names, "images": IMAGES[images : images + ROWS]} | columns
    return build_data(["a", "a", "b", "b"] * (ROWS // 4), **given)


def record_of(data: ImageData, rows: np.ndarray | None = None) -> Record:
    train = make_splits(data).train if rows is None else rows
    return build_record(data, train, train, secret=make_secret(), reader="small")


def export_seen(folder: Path, *records: Record, **provenance: Any) -> Path:
    """Export a random encoder that says that it has seen what the records hold."""
    export(folder)
    described = json.loads((folder / "encoder.json").read_text())
    seen = {"seen": write_seen(folder, records)} if records else {}
    described["provenance"] = {"method": "SLIMP", **provenance, **seen}
    write_json(folder / "encoder.json", sealed(described))
    return folder
