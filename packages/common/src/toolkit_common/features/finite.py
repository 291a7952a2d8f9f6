"""Features are finite numbers, and differ: what is to be known of them before a figure.

A NaN that comes through makes every probability of a head NaN, which is then reported as undefined
figures of a run that went well; in a token store it waits for the next run too. Features that are
the same for every image give an AUROC of 0.500, as those of a poor encoder may.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.loaders import chunks
from toolkit_common.errors import InputError
from toolkit_common.features.contract import FeatureSource, concatenate
from toolkit_common.printable import first_of

EQUAL = "FEATURES ARE ALL EQUAL"
SAMPLE = 16  # images that tell it
ROUNDING = 1e-6  # of the largest value: less is no difference
ALL = "of all rows: look at the encoder's weights, and at the mean and std of its input"
SOME = "of some rows alone: look at these images"


def refuse_not_finite(
    tensors: Mapping[str, Tensor], name_row: Callable[[int], str], *, remedy: str | None = None
) -> None:
    """Check some rows.

    Args:
        tensors: By what the message calls them, `(b, ...)` each.
        name_row: Position in the batch -> what the message calls the row and its image.
        remedy: What to do; told by how many rows are at fault when not given.

    Raises:
        InputError: If a value is NaN or infinite, naming the tensor and the first such row.
    """
    floating = {
        name: tensor
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and tensor.numel()
    }
    # NaN and infinity pass through both ends of the range: one read, and nothing of the size of
    # the tokens is made. One question to the device for all tensors.
    ends = [torch.stack(tensor.detach().aminmax()).float() for tensor in floating.values()]
    if not ends or bool(torch.stack(ends).isfinite().all()):
        return
    name, tensor = next(item for item in floating.items() if not item[1].isfinite().all())
    bad = (~tensor.isfinite()).reshape(len(tensor), -1).any(dim=1)
    rows = bad.nonzero().flatten().tolist()
    raise InputError(
        f"features are no finite numbers: {name} of {len(rows)} of {len(bad)} rows has NaN or "
        f"infinity, first {name_row(rows[0])}; {remedy or (ALL if bad.all() else SOME)}"
    )


def find_equal(source: FeatureSource, *, batch_size: int = SAMPLE) -> str:
    """Return which vectors are the same for every image, as far as a few tell; nothing of none.

    Args:
        source: Of the features.
        batch_size: How many images are read at once, at most.
    """
    rows = np.unique(np.linspace(0, len(source) - 1, SAMPLE).astype(int))
    if len(rows) < 2:
        return ""
    features = concatenate([*source.iterate(chunks(rows, batch_size), patches=False)])
    equal = [
        f"{name} of layer {layer}"
        for layer, item in features.items()
        for name, vectors in item.vectors.items()
        if _are_equal(vectors)
    ]
    if not equal:
        return ""
    return (
        f"{EQUAL}: all {len(rows)} images that were compared have the same {first_of(equal)}, by "
        "which no probe can tell them apart: look at the images, the encoder's weights, and the "
        "mean and std of its input"
    )


def _are_equal(vectors: Tensor) -> bool:
    spread = (vectors.amax(dim=0) - vectors.amin(dim=0)).max()
    return bool(spread <= ROUNDING * vectors.abs().max())


def row_names(data: ImageData, rows: np.ndarray) -> Callable[[int], str]:
    """Return what calls a position in `rows` by its row of the data set and the row's image."""

    def name(position: int) -> str:
        row = int(rows[position])
        place = data.images[row]["image"]["path"] or data.rows["image_id"][row]
        return f"row {row} (image {place})"

    return name
