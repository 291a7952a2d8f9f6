"""Under which key the features of some rows are kept, and whether they are there."""

import hashlib
from dataclasses import asdict
from pathlib import Path

import numpy as np

from toolkit_common.features.encode import RowEncoder
from toolkit_common.features.store import INDEX, StoreSpec


def store_spec(encoder: RowEncoder, rows: np.ndarray, view: int | None) -> StoreSpec:
    """Return everything that determines the features of rows, or of one random crop of each."""
    backbone, how = encoder.backbone, encoder.how
    keys = encoder.data.image_keys
    names = [keys[int(row)] for row in rows]
    crop = None
    if view is not None:
        crop = {"seed": how.seed, "view": view, **asdict(encoder.crop)}
        # What a crop shows depends on its row's number too.
        names = [f"{row}:{name}" for row, name in zip(rows, names, strict=True)]
    images = hashlib.sha256("\n".join(names).encode())
    return StoreSpec(
        encoder=backbone.fingerprint(),
        layers=backbone.info.layers,
        preprocess=asdict(backbone.info.preprocess),
        images=images.hexdigest(),
        num_images=len(rows),
        with_patches=how.with_patches,
        with_pooled=how.with_pooled,
        dtype=how.dtype,
        precision=str(encoder.accelerator.mixed_precision),
        crop=crop,
    )


def find_store(spec: StoreSpec, root: Path) -> Path | None:
    """Return the finished store of a specification under `root`, if there is one.

    A store that also holds patch tokens serves where vectors are asked for.
    """
    for candidate in (spec, spec.with_all_tokens()):
        folder = root / candidate.key()
        if (folder / INDEX).exists():
            return folder
    return None
