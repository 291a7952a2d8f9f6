"""Features are finite numbers, or the row at fault is named."""

import numpy as np
import pytest
import torch

from helpers.small_data import build_data, image_bytes
from toolkit_common.errors import InputError
from toolkit_common.features.contract import Features
from toolkit_common.features.finite import find_equal, refuse_not_finite, row_names
from toolkit_common.features.store import MemoryStore

BAD = [float("nan"), float("inf"), -float("inf")]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_value_among_many_is_seen(bad: float, dtype: torch.dtype) -> None:
    patches = torch.ones(4, 3, 5, dtype=dtype)
    patches[2, 1, 4] = bad
    message = r"no finite numbers: 12.patches of 1 of 4 rows .* first row 2; of some rows alone"
    with pytest.raises(InputError, match=message):
        refuse_not_finite({"12.cls": torch.ones(4, 5), "12.patches": patches}, "row {}".format)


def test_where_all_rows_are_at_fault_it_is_the_encoder() -> None:
    with pytest.raises(InputError, match=r"3 of 3 rows .* of all rows: look at the encoder's w"):
        refuse_not_finite({"cls": torch.full((3, 2), float("nan"))}, "row {}".format)


def test_the_remedy_of_who_asks_comes_first() -> None:
    with pytest.raises(InputError, match=r"first row 0; delete it$"):
        refuse_not_finite({"a": torch.tensor([float("nan")])}, "row {}".format, remedy="delete it")


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_largest_numbers_are_numbers(dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype).max
    values = torch.tensor([[largest, -largest, 0.0]], dtype=dtype)
    refuse_not_finite({"a": values, "whole": torch.ones(1, 2).to(torch.int8)}, str)


def test_nothing_is_finite() -> None:
    refuse_not_finite({}, str)
    refuse_not_finite({"no rows": torch.zeros(0, 3)}, str)


def test_rows_are_called_by_number_and_image() -> None:
    data = build_data("abab", images=[image_bytes(row) for row in range(4)])
    name = row_names(data, np.array([3, 1]))
    assert name(0) == f"row 3 (image {data.rows['image_id'][3]})"


def source_of(**vectors: torch.Tensor) -> MemoryStore:
    return MemoryStore({3: Features(vectors, None, (1, 1))})


def test_vectors_that_are_the_same_for_every_image_are_said() -> None:
    same, other = torch.ones(40, 5), torch.arange(40.0)[:, None].expand(40, 5)
    assert find_equal(source_of(mean=other, cls=same + 1e-6 * other / 40)) == (
        "FEATURES ARE ALL EQUAL: all 16 images that were compared have the same cls of layer 3, by "
        "which no probe can tell them apart: look at the images, the encoder's weights, and the "
        "mean and std of its input"
    )
    assert find_equal(source_of(mean=other, cls=same + 1e-4 * other)) == ""
    assert find_equal(source_of(mean=torch.zeros(2, 5))).startswith("FEATURES ARE ALL EQUAL: all 2")
    assert find_equal(source_of(mean=same[:1])) == ""
    assert find_equal(source_of(mean=same), batch_size=3).startswith(
        "FEATURES ARE ALL EQUAL: all 16"
    )
    assert find_equal(source_of(mean=other), batch_size=1) == ""
