"""The short form of `make drill`: some commands ended, some faults, and nothing is lost."""

import random
import signal
import sys
from functools import partial
from pathlib import Path
from types import FrameType, SimpleNamespace

import pytest

from drill import ATTEMPTS, KILLS, make_row
from lib.drill import ended
from lib.drill.ended import IN_ONE_LINE
from lib.drill.forked import FAULT, INTERRUPTED, Forked
from lib.drill.kept import contents, leftovers
from lib.drill.world import Case, World


def test_the_long_form_ends_commands_a_hundred_times() -> None:
    assert sum(KILLS.values()) >= 100
    assert {f"{name}, ended" for name in KILLS} <= ATTEMPTS.keys()


@pytest.mark.dist
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
@pytest.mark.parametrize(
    "what",
    [
        "extraction, ended",
        "attention, ended",
        "pre-training, ended",
        "one process of two, ended",
        "a store changed in use",
        "file-size limit",
    ],
)
def test_nothing_is_lost(drilled: World, what: str) -> None:
    row = make_row(drilled, what, seed=0, number=1)
    assert row == {"what": what, "attempts": 1, "survived": 1, "lost": 0}


@pytest.mark.slow
def test_what_is_lost_is_counted(drilled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ATTEMPTS, "a", (lambda *_: "a weight", 3))  # type: ignore[arg-type]
    row = make_row(drilled, "a", seed=0)
    assert row == {"what": "a", "attempts": 3, "survived": 0, "lost": 3}


def raise_on_sigterm(started: Path) -> None:
    """Meet a signal with a traceback, as a command should not."""

    def fail(number: int, frame: FrameType | None) -> None:
        raise ZeroDivisionError

    signal.signal(signal.SIGTERM, fail)
    started.touch()
    signal.pause()


@pytest.mark.slow
def test_a_command_that_meets_a_signal_badly_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(name: str, case: Case) -> Forked:
        return Forked(["--version"], log=case.log, first=partial(raise_on_sigterm, case.at / name))

    monkeypatch.setattr(ended, "SIGNALS", (signal.SIGTERM,))
    world = SimpleNamespace(
        commands={"begun": SimpleNamespace(signs=("begun",))},
        undisturbed=lambda name: SimpleNamespace(seconds=0.01),
        start=start,
        finish=lambda name, case: "",
    )
    case = Case(tmp_path, tmp_path, tmp_path / "cache")
    lost = ended.kill("begun")(world, case, random.Random(0))  # type: ignore[arg-type]
    assert lost == f"exit codes [{FAULT}]: ZeroDivisionError"


def test_what_is_kept_is_all_but_times(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"top1": 0.5, "seconds": 1.0}')
    before = contents(tmp_path)
    (tmp_path / "a.json").write_text('{"top1": 0.5, "seconds": 2.0}')
    assert contents(tmp_path) == before
    (tmp_path / "a.json").write_text('{"top1": 0.25, "seconds": 2.0}')
    assert contents(tmp_path) != before
    (tmp_path / ".b.json.tmp").touch()
    assert [path.name for path in leftovers(tmp_path)] == [".b.json.tmp"]


@pytest.mark.slow
def test_a_fork_ends_with_the_code_of_its_end(tmp_path: Path) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    def wait() -> None:
        signal.pause()

    words, log = ["--version"], tmp_path / "log"
    assert Forked(words, log=log).wait() == 0
    assert log.read_text().startswith("toolkit")
    assert Forked(words, log=log, first=fail).wait() not in (0, *IN_ONE_LINE)
    assert "ZeroDivisionError" in log.read_text()
    stopped = Forked(words, log=log, first=wait)
    assert stopped.end_at(0.0, number=signal.SIGKILL)
    assert stopped.code == 128 + signal.SIGKILL != INTERRUPTED
