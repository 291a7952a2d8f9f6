"""Vectors beside features stay with their rows, whatever is read in whatever order."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from toolkit_common.features.codec import keep
from toolkit_common.features.contract import Features
from toolkit_common.features.store import MemoryStore
from toolkit_probing.task.beside import CropsBeside, SourceBeside

ROWS = 7


def numbered(width: int = 2) -> torch.Tensor:
    """Row i holds i."""
    return torch.arange(ROWS, dtype=torch.float32).unsqueeze(1).expand(ROWS, width).clone()


def images() -> MemoryStore:
    kept = Features({"mean": numbered()}, numbered()[:, None], (1, 1))
    return MemoryStore(keep({3: kept, 6: kept}, "fp32"))


@few_examples
@given(
    batches=st.lists(st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=5), max_size=4),
)
def test_every_row_keeps_its_own_vector_at_every_layer(batches):
    source = SourceBeside(images(), {"lesion": numbered(3), "patient": 10 + numbered(1)})
    assert len(source) == ROWS
    features = list(source.iterate([np.array(batch) for batch in batches]))
    assert len(features) == len(batches)
    for batch, layers in zip(batches, features, strict=True):
        assert set(layers) == {3, 6}
        for kept in layers.values():
            assert kept.vectors["mean"][:, 0].tolist() == batch
            assert kept.vectors["lesion"][:, 2].tolist() == batch
            assert kept.vectors["patient"][:, 0].tolist() == [10 + row for row in batch]
            assert kept.patches is not None


def test_crops_change_images_and_no_metadata():
    class Crops:
        def iterate(self, batches, *, epoch, patches=True):
            for batch in batches:
                yield {6: Features({"mean": numbered()[batch] + 100 * epoch}, None, (1, 1))}

    source = CropsBeside(Crops(), {"lesion": numbered()})
    (features,) = source.iterate([np.array([4, 1])], epoch=2)
    assert features[6].vectors["mean"][:, 0].tolist() == [204, 201]
    assert features[6].vectors["lesion"][:, 0].tolist() == [4, 1]
