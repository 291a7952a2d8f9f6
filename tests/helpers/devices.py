"""Tests that need a GPU: `make gpu-check` runs them; elsewhere they are skipped.

`TOOLKIT_TEST_DEVICE=cpu pytest -m gpu` rehearses them on a CPU, as far as that tells anything.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
import torch

Test = TypeVar("Test", bound=Callable[..., Any])

DEVICE = os.environ.get("TOOLKIT_TEST_DEVICE", "cuda")
IS_ABSENT = DEVICE == "cuda" and not torch.cuda.is_available()


def on_gpu(test: Test) -> Test:
    """Mark a test that computes on DEVICE."""
    absent = pytest.mark.skipif(IS_ABSENT, reason="there is no CUDA device")
    marked: Test = pytest.mark.gpu(absent(test))
    return marked
