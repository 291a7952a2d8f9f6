"""How far a cell is, by what lies in its folder."""

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from helpers.tiny_study import STUDY, study_of
from toolkit_common.cli import app as cli
from toolkit_common.errors import InputError
from toolkit_common.study.commands import find_command
from toolkit_common.study.grid import Cell, expand
from toolkit_common.study.run import call_of
from toolkit_common.study.state import State, begin, look_at

ONE = STUDY.replace("[0, 1, 2]", "[0]").replace("        poor: {quality: 0.2}\n", "").replace(
    "against: {encoder: poor}", "against: {encoder: good}")  # fmt: skip
TO_FILE = f"""{ONE.partition("table:")[0]}
  write:
    command: data schema
    output: schema.json
    options: {{identifier: lesions, split_seed: 20}}
"""


def cells_of(text: str = ONE) -> list[Cell]:
    return expand(study_of(text), Path("runs"), find_command)


def carry_out(cell: Cell) -> None:
    words = call_of(cell, look_at([*cell.needs.values(), cell])[cell.id])
    result = CliRunner().invoke(cli.app, words, prog_name="toolkit")
    assert result.exit_code == 0, result.output


def states(cells: list[Cell]) -> list[str]:
    return [status.state.value for status in look_at(cells).values()]


def test_a_cell_is_open_then_done():
    cells = cells_of()
    assert states(cells) == ["to do", "to do"]
    for cell in cells:
        carry_out(cell)
    assert states(cells) == ["done", "done"]
    assert look_at(cells)[cells[0].id].seconds is not None


def test_a_cell_without_its_mark_is_resumed():
    train, judge = cells_of()
    carry_out(train)
    (train.place / "DONE").unlink()
    assert states([train, judge]) == ["to resume", "to do"]
    assert call_of(train, look_at([train])[train.id])[-1] == "--resume"


def test_a_folder_that_holds_nothing_yet_is_begun():
    train, judge = cells_of()
    train.place.mkdir(parents=True)
    (train.place / ".lock").touch()
    assert states([train, judge]) == ["to do", "to do"]


def test_a_cell_of_other_settings_is_never_taken_for_this_one():
    train, _ = cells_of()
    carry_out(train)
    cells = cells_of(ONE.replace("quality: 0.8", "quality: 0.9"))
    status = look_at(cells)[train.id]
    assert status.state is State.OTHER
    assert status.why == "quality (was 0.8, now 0.9)"


def test_what_affects_no_result_is_no_other_setting():
    train, _ = cells_of()
    carry_out(train)
    cells = cells_of(ONE.replace("quality: 0.8", "quality: 0.8, seconds: 0.01"))
    assert look_at(cells)[train.id].state is State.DONE


@pytest.mark.slow
def test_what_was_judged_before_its_encoder_was_made_anew_is_judged_again():
    train, judge = cells_of()
    carry_out(train)
    carry_out(judge)
    time.sleep(1.1)  # times in run folders are whole seconds
    (train.place / "DONE").unlink()
    carry_out(train)
    assert states([train, judge]) == ["done", "to do again"]
    assert call_of(judge, look_at([train, judge])[judge.id])[-1] == "--overwrite"
    carry_out(judge)
    assert states([train, judge]) == ["done", "done"]


def test_a_cell_that_gives_a_file_is_known_by_its_call():
    *_, cell = cells_of(TO_FILE)
    assert look_at([cell])[cell.id].state is State.OPEN
    begin(cell)
    assert look_at([cell])[cell.id].state is State.OPEN
    cell.place.write_text("")
    assert look_at([cell])[cell.id].state is State.DONE
    *_, other = cells_of(TO_FILE.replace("split_seed: 20", "split_seed: 30"))
    assert look_at([other])[cell.id].why == "was 20, now 30"
    (cell.place.parent / "call.json").unlink()
    assert look_at([cell])[cell.id].why == "nothing says what made it"
    begin(cell)
    assert not cell.place.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"words": 3, "start": "2026-01-01"}'])
def test_a_damaged_note_of_a_call_says_nothing_of_what_made_a_file(text):
    *_, cell = cells_of(TO_FILE)
    begin(cell)
    cell.place.write_text("")
    (cell.place.parent / "call.json").write_text(text)
    status = look_at([cell])[cell.id]
    assert (status.state, status.why) == (State.OTHER, "nothing says what made it")


def test_a_file_in_the_place_of_a_folder_is_refused():
    train, _ = cells_of()
    train.place.parent.mkdir(parents=True)
    train.place.touch()
    with pytest.raises(InputError, match="is a file where a run folder is to be"):
        look_at([train])


@pytest.mark.parametrize("name", ["run.json", "config.yaml"])
def test_a_damaged_cell_is_named_with_what_to_do(name):
    train, _ = cells_of()
    carry_out(train)
    (train.place / name).write_text("[1")
    remedy = f"{name}.*; put that file back as it was, or remove {train.place}, which is then run"
    with pytest.raises(InputError, match=remedy):
        look_at([train])


def test_a_study_that_lies_elsewhere_now_is_done_there():
    for cell in cells_of():
        carry_out(cell)
    there = expand(study_of(ONE), Path("runs").absolute(), find_command)
    assert states(there) == ["done", "done"]
    Path("runs").rename("moved")
    moved = expand(study_of(ONE), Path("moved"), find_command)
    assert states(moved) == ["done", "done"]
