"""What can be imported from `toolkit_probing` itself, and what that imports."""

import subprocess
import sys

import pytest

import toolkit_probing
from toolkit_probing import EfficientProbing, ProbeClassifier, estimator, probes


def test_the_names_of_the_library_are_those_of_their_modules() -> None:
    assert EfficientProbing is probes.EfficientProbing
    assert ProbeClassifier is estimator.ProbeClassifier


def test_another_name_is_refused_as_python_does() -> None:
    with pytest.raises(AttributeError, match="module 'toolkit_probing' has no attribute 'Nothing'"):
        _ = toolkit_probing.Nothing


@pytest.mark.slow
def test_torch_is_imported_with_a_name_and_not_before() -> None:
    code = (
        "import sys, toolkit_probing; assert 'torch' not in sys.modules; "
        "toolkit_probing.EfficientProbing; assert 'torch' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
