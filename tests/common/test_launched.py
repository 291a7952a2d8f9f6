"""A process knows whether it prints, and whether a launcher started it."""

import pytest

from toolkit_common.launched import in_worker, is_main_process


def test_a_process_knows_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_main_process()
    assert not in_worker()
    monkeypatch.setenv("RANK", "1")
    assert not in_worker()  # RANK alone is set by other programs, too
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert in_worker()
    assert not is_main_process()
