"""State dicts in a file: all of them, whatever lies beside, and no code is run."""

import argparse
import datetime
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from toolkit_common.backbones.weights.state_dicts import (
    State,
    choose_state_dict,
    read_state_dict,
    read_state_dicts,
)
from toolkit_common.errors import InputError


def test_both_kinds_of_files_are_read(tmp_path: Path) -> None:
    state = {"a.weight": torch.rand(2, 3)}
    save_file(state, tmp_path / "w.safetensors")
    torch.save(state, tmp_path / "w.pth")
    torch.save(state, tmp_path / "w.ckpt", _use_new_zipfile_serialization=False)
    for name in ("w.safetensors", "w.pth", "w.ckpt"):
        assert torch.equal(read_state_dict(tmp_path / name)["a.weight"], state["a.weight"])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3, "args": {"lr": 0.1}},
        lambda state: {"model": state, "optimizer": {"state": {0: {"step": torch.tensor(1)}}}},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {"student": {"x": torch.zeros(1)}, "teacher": state},
        lambda state: {"epoch": torch.tensor(3), "module": state},
        lambda state: {**state, "step": 3},
    ],
)
def test_containers_are_opened(wrap: Callable[[State], Any], tmp_path: Path) -> None:
    state = {"a": torch.rand(2), "b": torch.rand(3)}
    torch.save(wrap(state), tmp_path / "w.pth")
    result = read_state_dict(tmp_path / "w.pth")
    assert result.keys() == state.keys()
    assert all(torch.equal(result[name], value) for name, value in state.items())


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("ran"),))


def test_a_file_that_carries_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    torch.save({"model": {"a": torch.zeros(1)}, "args": Malicious()}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"cannot read .*w.pth as plain tensors") as caught:
        read_state_dict(tmp_path / "w.pth")
    assert not Path("ran").exists()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(1)], "holds a list, not a state dict"),
        (torch.zeros(1), "holds a Tensor, not a state dict"),
        ({"model": 3}, "holds a int, not a state dict"),
        ({"epoch": 1, "loss": 0.5}, "holds no state dict, but: epoch, loss"),
        ({}, "holds no state dict, but: "),
    ],
)
def test_a_file_without_a_state_is_refused(content: Any, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(InputError, match=message):
        read_state_dict(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("keep", [0, 7, 200])
def test_a_file_cut_short_is_refused(name: str, keep: int, tmp_path: Path) -> None:
    state = {"a": torch.rand(100)}
    torch.save(state, tmp_path / "w.pth")
    save_file(state, tmp_path / "w.safetensors")
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=str(path)) as caught:
        read_state_dict(path)
    assert "\n" not in str(caught.value)


# What lies beside


class AttributeDict(dict[str, object]):
    """As Lightning keeps its settings."""


AttributeDict.__module__ = "lightning.fabric.utilities.data"


@pytest.fixture
def lightning(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType(AttributeDict.__module__)
    module.AttributeDict = AttributeDict  # type: ignore[attr-defined]
    for name in ("lightning", "lightning.fabric", "lightning.fabric.utilities", module.__name__):
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.usefixtures("lightning")
@pytest.mark.parametrize(
    "settings",
    [
        argparse.Namespace(lr=0.1, output=Path("runs"), scale=np.float64(3)),
        SimpleNamespace(lr=0.1),
        AttributeDict(lr=0.1, layers=[1, 2]),
        defaultdict(int, a=1),
        {"made": datetime.datetime(2024, 1, 1), "values": np.ones(3), "dtype": np.dtype("int64")},
    ],
    ids=lambda settings: type(settings).__name__,
)
@pytest.mark.parametrize("zipped", [True, False])
def test_settings_that_were_pickled_beside_the_weights_do_no_harm(
    settings: object, zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {"model": {"a": torch.rand(2)}, "args": settings}
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    monkeypatch.setattr(argparse.Namespace, "__init__", None)  # nothing of theirs is called
    result = read_state_dicts(tmp_path / "w.pth")
    assert list(result) == ["model"]
    assert torch.equal(result["model"]["a"], content["model"]["a"])


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        (["a"], [""]),
        ({"state_dict_ema": ["a"], "state_dict": ["a"], "epoch": 3},
         ["state_dict", "state_dict_ema"]),
        ({"student": ["b"], "teacher": ["a"], "dino_loss": ["c"]},
         ["teacher", "student", "dino_loss"]),
        ({"model": {"state_dict": ["a"]}}, ["model.state_dict"]),
        ({"encoder": ["a"], "target_encoder": ["a"], "opt": {"state": {0: ["a"]}}},
         ["target_encoder", "encoder"]),
        ({"model": ["a"], "optimizer_states": ["a"], "lr_schedulers": ["a"]}, ["model"]),
    ],
)  # fmt: skip
def test_all_state_dicts_are_named_the_preferred_one_first(
    content: Any, keys: list[str], tmp_path: Path
) -> None:
    def fill(item: Any) -> Any:
        if isinstance(item, list):
            return {name: torch.zeros(1) for name in item}
        return {key: fill(value) for key, value in item.items()} if isinstance(item, dict) else item

    torch.save(fill(content), tmp_path / "w.pth")
    assert list(read_state_dicts(tmp_path / "w.pth")) == keys


def test_a_key_that_is_not_there_is_refused_with_those_that_are() -> None:
    states: dict[str, State] = {"model": {}, "model_ema": {}}
    assert choose_state_dict(states, "model_ema", where="w.pth") is states["model_ema"]
    with pytest.raises(InputError, match=r"w.pth has no state dict 'ema'.*model, model_ema"):
        choose_state_dict(states, "ema", where="w.pth")
