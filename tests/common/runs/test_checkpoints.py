"""Checkpoints are whole or not used, and cannot run code."""

import logging
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from toolkit_common.errors import InputError
from toolkit_common.runs.checkpoints import load_checkpoint, save_checkpoint
from toolkit_common.runs.files import sha256_of


def state(step: int) -> dict[str, Any]:
    weight = torch.arange(3.0) + step
    return {"model": {"weight": weight}, "optimizer": [{"lr": 0.1, "step": step}], "best": None}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def save_steps(folder: Path, *steps: int) -> None:
    for step in steps:
        save_checkpoint(folder, step, state(step))


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    save_steps(tmp_path / "new/folder", 7)
    loaded = load_checkpoint(tmp_path / "new/folder")
    assert loaded is not None
    step, result = loaded
    assert step == 7
    assert torch.equal(result["model"].pop("weight"), state(7)["model"].pop("weight"))
    assert result == {"model": {}, "optimizer": [{"lr": 0.1, "step": 7}], "best": None}


def test_tensors_land_on_the_cpu_with_their_type(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, {"half": torch.ones(2, dtype=torch.bfloat16)})
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded[1]["half"].dtype == torch.bfloat16


@pytest.mark.parametrize("folder", ["empty", "missing"])
def test_without_checkpoints_there_is_none(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    assert load_checkpoint(tmp_path / folder) is None


def test_only_the_last_two_are_kept(tmp_path: Path) -> None:
    save_steps(tmp_path, 9, 10, 100, 1000)
    assert names(tmp_path) == [
        "step-000000100.pt", "step-000000100.sha256",
        "step-000001000.pt", "step-000001000.sha256",
    ]  # fmt: skip


def test_the_newest_is_used(tmp_path: Path) -> None:
    save_steps(tmp_path, 9, 10)
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded[0] == 10


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def drop_the_checksum(path: Path) -> None:
    path.with_suffix(".sha256").unlink()


@pytest.mark.parametrize("damage", [flip_a_byte, cut_short, drop_the_checksum])
def test_a_damaged_one_is_passed_over_with_a_warning(
    tmp_path: Path, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    save_steps(tmp_path, 1, 2)
    damage(tmp_path / "step-000000002.pt")
    with caplog.at_level(logging.WARNING):
        loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded[0] == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "step-000000002.pt is damaged" in caplog.text


def test_when_all_are_damaged_there_is_none(tmp_path: Path) -> None:
    save_steps(tmp_path, 1, 2)
    for path in tmp_path.glob("*.pt"):
        cut_short(path)
    assert load_checkpoint(tmp_path) is None


def test_a_failed_save_leaves_the_last_one(tmp_path: Path) -> None:
    save_steps(tmp_path, 1)
    before = names(tmp_path)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        save_checkpoint(tmp_path, 2, {"weight": torch.ones(1000), "function": lambda: 0})
    assert names(tmp_path) == before
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded[0] == 1


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("owned"),)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "step-000000001.pt"
    torch.save({"model": Payload()}, path)
    path.with_suffix(".sha256").write_text(sha256_of(path))
    with pytest.raises(
        InputError, match=f"{path} cannot be read .Weights only load failed.*delete it"
    ):
        load_checkpoint(tmp_path)
    assert not Path("owned").exists()
