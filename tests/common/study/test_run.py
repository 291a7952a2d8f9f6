"""A study's cells are carried out once each, and a failure takes along what needs it alone."""

import re
import signal
from pathlib import Path

import pytest

from helpers.kills import run_forked
from helpers.tiny_study import STUDY, Ended, InProcess, calls, study_of
from toolkit_common.errors import InputError
from toolkit_common.study.commands import find_command
from toolkit_common.study.executors import Job
from toolkit_common.study.grid import Cell, expand
from toolkit_common.study.run import Outcome, call_of, refuse_other_settings, run_cells
from toolkit_common.study.state import State, Status, look_at

OUTPUT = Path("runs/toy")


def cells_of(text: str = STUDY) -> list[Cell]:
    return expand(study_of(text), OUTPUT, find_command)


def run(text: str = STUDY, *, jobs: int = 1, executor=None) -> Outcome:
    cells = cells_of(text)
    where = executor or InProcess()
    return run_cells(cells, look_at(cells), OUTPUT, executor=where, jobs=jobs)


def test_each_cell_runs_once_after_what_it_needs():
    outcome = run()
    assert (len(outcome.ran), outcome.failed, outcome.skipped) == (12, {}, {})
    order = calls()
    for cell in cells_of():
        for need in cell.needs.values():
            assert order.index(need.id) < order.index(cell.id)
    assert run().ran == []
    assert calls() == order


def test_what_was_cut_short_is_resumed():
    run()
    cell = cells_of()[-1]
    (cell.place / "DONE").unlink()
    assert run().ran == [cell.id]
    assert calls()[-1] == f"{cell.id} --resume"


def test_a_failed_cell_is_named_with_its_last_line_and_the_others_go_on():
    text = STUDY.replace("poor: {quality: 0.2}", "poor: {fails: true}")
    outcome = run(text)
    failed = [f"train/encoder=poor,fold={fold}" for fold in range(3)]
    assert outcome.failed == dict.fromkeys(failed, "the loss diverged")
    assert outcome.skipped == {f"judge/encoder=poor,fold={n}": failed[n] for n in range(3)}
    assert len(outcome.ran) == 6


def test_so_many_run_at_once():
    class Slow(Ended):
        def __init__(self, job: Job) -> None:
            self.job, self.looks = job, 3

        def poll(self) -> int | None:
            self.looks -= 1
            return None if self.looks else self.job.poll()

    class Counting(InProcess):
        def __init__(self):
            self.most, self.jobs = 0, []

        def start(self, words, log):
            self.jobs.append(Slow(super().start(words, log)))
            self.most = max(self.most, sum(job.looks > 0 for job in self.jobs))
            return self.jobs[-1]

    executor = Counting()
    run(jobs=3, executor=executor)
    assert executor.most == 3


def test_a_cell_that_leaves_no_result_has_failed():
    class Lazy(InProcess):
        def start(self, words, log):
            return Ended(0)

    outcome = run(executor=Lazy())
    assert len(outcome.failed) == 6
    assert set(outcome.failed.values()) == {"it ended well and left no result"}


@pytest.mark.parametrize("code", [130, 137, 1])
def test_a_cell_that_is_done_has_not_failed_however_its_process_ended(code):
    class Interrupted(InProcess):
        def start(self, words, log):
            super().start(words, log)
            return Ended(code)

    outcome = run(executor=Interrupted())
    assert (len(outcome.ran), outcome.failed) == (12, {})


def test_what_was_done_before_is_no_result_of_a_cell_that_is_to_be_done_again():
    run()

    class Dies(InProcess):
        def start(self, words, log):
            return Ended(137)

    outcome = run(STUDY.replace("0.8", "0.9"), executor=Dies())
    assert set(outcome.failed) == {f"train/encoder=good,fold={fold}" for fold in range(3)}


@pytest.mark.parametrize(
    ("said", "told"),
    [("", "interrupted: exit code 130"), ("interrupted: go on\n", "interrupted: go on")],
)
def test_an_interrupted_cell_has_not_failed(said, told, capsys):
    class Waits(Ended):
        def poll(self) -> int | None:
            return self.code if self.asked else None

        def interrupt(self) -> None:
            self.asked = True

        asked = False

    class Slow(InProcess):
        def start(self, words, log):
            if said:
                log.parent.mkdir(parents=True, exist_ok=True)
                log.write_text(said)
            signal.raise_signal(signal.SIGINT)
            return Waits(130)

    with pytest.raises(KeyboardInterrupt):
        run(executor=Slow())
    printed = capsys.readouterr().err
    assert f"train/encoder=good,fold=0: {told}\n" in printed
    assert "FAILED" not in printed


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_at_most_the_running_cell():
    kills = 0
    for moment in range(12):
        done = {name for name, status in look_at(cells_of()).items() if status.state is State.DONE}
        before = len(calls())
        kills += not run_forked(run, kill_after_s=0.013 * moment)
        assert not done.intersection(name.split()[0] for name in calls()[before:])
        # One at a time: what had begun and is not done is the one that was running.
        statuses = look_at(cells_of())
        assert sum(item.state not in (State.DONE, State.OPEN) for item in statuses.values()) <= 1
    assert kills >= 3
    run()
    assert {item.state for item in look_at(cells_of()).values()} == {State.DONE}
    assert 12 <= len(calls()) <= 12 + kills


def test_cells_of_other_settings_are_refused_unless_they_are_to_be_replaced():
    run()
    cells = cells_of(STUDY.replace("0.8", "0.9"))
    statuses = look_at(cells)
    problem = "3 cells were run with other settings, such as train/encoder=good,fold=0: quality"
    with pytest.raises(InputError, match=re.escape(problem)):
        refuse_other_settings(statuses, overwrite=False)
    refuse_other_settings(statuses, overwrite=True)
    ran = run(STUDY.replace("0.8", "0.9")).ran
    assert len(ran) == 6  # what was judged with the old ones is judged again
    assert all("encoder=good" in name for name in ran)


@pytest.mark.parametrize(
    ("state", "last"),
    [
        (State.OPEN, "--output"), (State.STARTED, "--resume"), (State.STALE, "--overwrite"),
        (State.OTHER, "--overwrite"),
    ],
)  # fmt: skip
def test_a_call_says_how_to_go_on(state, last):
    words = call_of(cells_of()[0], Status(state))
    at = -2 if last == "--output" else -1
    assert words[at] == last
