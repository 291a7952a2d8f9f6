"""What a version has written is read by every later one, and says the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from formats.kept import ELSEWHERE, HERE, TEXTS, VALUES, read

VERSIONS = sorted(path.parent for path in HERE.glob(f"*/{VALUES}"))
PLACES = ("/tmp", "/home", "/root", "/work")
MOST_BYTES = 300_000  # of a version's folder


def close(value: Any) -> Any:
    """Return a value that equals others whose numbers are as near as other kernels make them."""
    if isinstance(value, dict):
        return {key: close(item) for key, item in value.items()}
    if isinstance(value, list):
        return [close(item) for item in value]
    return pytest.approx(value, rel=1e-3, abs=1e-4) if isinstance(value, float) else value


@pytest.mark.slow
@pytest.mark.parametrize("folder", VERSIONS, ids=lambda folder: folder.name)
def test_files_of_a_version_say_what_they_said(folder: Path) -> None:
    expected = json.loads((folder / VALUES).read_text(encoding="utf-8"))
    kept = read(folder)
    assert kept.keys() == expected.keys()
    for name, value in expected.items():
        assert kept[name] == close(value), name


@pytest.mark.parametrize("folder", VERSIONS, ids=lambda folder: folder.name)
def test_files_of_a_version_are_small_and_name_no_machine(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    for path in files:
        if path.suffix in TEXTS:
            text = path.read_text(encoding="utf-8").replace(ELSEWHERE, "")
            assert [word for word in PLACES if word in text] == [], path


def test_there_is_a_version() -> None:
    assert VERSIONS
