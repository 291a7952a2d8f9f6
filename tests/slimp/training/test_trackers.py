"""Trackers show what metrics.jsonl holds, go on after a resume, and never ask for a network."""

import sys
from types import ModuleType

import pytest

from toolkit_common.errors import InputError
from toolkit_common.runs.files import write_json
from toolkit_common.runs.folder import RunFolder
from toolkit_common.training.distributed import build_accelerator
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.training.trackers import open_trackers, refuse_missing


@pytest.fixture(autouse=True)
def accelerator():
    """Accelerate's trackers log through its state, which a run builds first."""
    return build_accelerator(device="cpu")


def read_scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: {item.step: item.value for item in events.Scalars(tag)}
        for tag in events.Tags()["scalars"]
    }


def test_a_resumed_run_replaces_what_was_shown_after_its_checkpoint(tmp_path):
    pytest.importorskip("tensorboard")
    settings, run = SlimpSettings(tracker=("tensorboard",)), RunFolder(tmp_path)
    with open_trackers(settings, run, 0) as track:
        for step in (1, 2, 3):
            track({"loss": 1.0}, step)
    with open_trackers(settings, run, 1) as track:
        track({"loss": 2.0}, 2)
    assert read_scalars(tmp_path / "tensorboard") == {"loss": {1: 1.0, 2: 2.0}}


WANDB = SlimpSettings(tracker=("wandb",))


class Recorder(ModuleType):
    """Stands for the package wandb: remembers its calls."""

    def __init__(self, error=None):
        super().__init__("wandb")
        self.error, self.started, self.logged, self.finished = error, None, [], 0

    def init(self, **options):
        if self.error is not None:
            raise self.error
        self.started = options
        return self

    def log(self, values, step):
        self.logged.append((step, values))

    def finish(self):
        self.finished += 1


@pytest.fixture
def run(tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    write_json(tmp_path / "run.json", {"kind": "pretrain-slimp", "starts": ["2026-01-01"]})
    return RunFolder(tmp_path)


@pytest.mark.parametrize(
    ("variables", "mode"),
    [
        ({}, "offline"),
        ({"WANDB_API_KEY": "x"}, "online"),
        ({"WANDB_API_KEY": "x", "WANDB_MODE": "offline"}, "offline"),
        ({"WANDB_MODE": "disabled"}, "disabled"),
    ],
)
def test_wandb_is_offline_unless_the_environment_says_otherwise(run, monkeypatch, variables, mode):
    wandb = Recorder()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with open_trackers(WANDB, run, 0) as track:
        track({"loss": 1.0}, 10)
    assert wandb.started["mode"] == mode
    assert wandb.started["config"] == WANDB.model_dump(mode="json")
    assert wandb.logged == [(10, {"loss": 1.0})]
    assert wandb.finished == 1
    first = wandb.started["id"]
    with open_trackers(WANDB, run, 10):
        assert wandb.started["id"] == first
    write_json(run.path / "run.json", {"kind": "pretrain-slimp", "starts": ["2026-01-02"]})
    with open_trackers(WANDB, run, 0):
        assert wandb.started["id"] != first


def test_trackers_are_closed_when_the_run_fails(run, monkeypatch):
    wandb = Recorder()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    with pytest.raises(KeyboardInterrupt), open_trackers(WANDB, run, 0):
        raise KeyboardInterrupt
    assert wandb.finished == 1


def test_wandb_that_does_not_start_is_one_sentence(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", Recorder(OSError("no route")))
    with (
        pytest.raises(InputError, match=r"mode offline \(OSError: no route\).*WANDB_MODE=offline"),
        open_trackers(WANDB, run, 0),
    ):
        pass


def test_a_tracker_that_is_not_installed_is_refused_with_the_command(monkeypatch):
    monkeypatch.setattr("toolkit_slimp.training.trackers.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"'wandb' needs.*pip install 'toolkit-slimp\[wandb\]'"):
        refuse_missing(("wandb",))
    refuse_missing(())
