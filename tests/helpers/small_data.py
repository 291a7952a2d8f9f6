"""Small data sets for tests: in memory, as folders, and as tables."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from toolkit_common.data.dataset import ImageData, build_image_data
from toolkit_common.data.sheet import Sheet


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(size: tuple[int, int] = (12, 10), *, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


def image_bytes(seed: int) -> bytes:
    return encode(noise(seed=seed))


def build_data(
    labels: Sequence[Any],
    *,
    groups: Sequence[Any] | None = None,
    splits: Sequence[str] | None = None,
    images: Sequence[bytes | str] | None = None,
    sheet: Sheet | None = None,
    **columns: Sequence[Any],
) -> ImageData:
    """A data set in memory; images of one pixel unless given."""
    pixel = encode(Image.new("RGB", (1, 1)))
    frame = pd.DataFrame({"image_id": [f"i{row}" for row in range(len(labels))], "label": labels})
    frame["image"] = pd.Series(images or [pixel] * len(labels), dtype=object)
    for name, column in {"group": groups, "split": splits, **columns}.items():
        if column is not None:
            frame[name] = pd.Series(column, dtype=object)
    return build_image_data("small", frame, sheet or Sheet("small"))


def write_images(root: Path, *names: str) -> None:
    for seed, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(image_bytes(seed))


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def classes_and_counts(data: ImageData) -> dict[str, int]:
    labels = data.labels()
    return {name: int((labels.targets == code).sum()) for code, name in enumerate(labels.classes)}


def column(data: ImageData, name: str) -> list[Any]:
    """The cells of a column, None where they are empty."""
    values = data.table[name].astype(object)
    return values.where(values.notna(), None).tolist()
