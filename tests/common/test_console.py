"""Bars and tables for humans stay away from stdout."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from toolkit_common import console as module
from toolkit_common.console import (
    Column,
    Ids,
    PrintableConsole,
    after_marks,
    plain_table,
    print_columns,
    progress,
    result_console,
    with_room_for,
)


def test_without_a_terminal_one_line_stands_for_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("reading tokens", 3) as advance:
        advance()
        advance(2, note="loss 0.500")
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert len(lines) == 1
    assert all(part in lines[0] for part in ("reading tokens", "3/3", "loss 0.500"))


def test_a_long_note_stands_below_the_whole_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    terminal = Console(file=shown, force_terminal=True, width=60, soft_wrap=True, no_color=True)
    monkeypatch.setattr(module, "console", terminal)
    with module.progress("pre-training", 7) as advance:
        advance(7, note="loss 0.500 " * 9 + "end")
    last = shown.getvalue().rsplit("pre-training", 1)[1]
    assert "\u2501 7/7" in re.sub(r"\x1b\[[0-9;]*m", "", last).splitlines()[0]
    assert "end" in last


def test_a_note_stays_until_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("training", 2) as advance:
        advance(note="loss 0.5")
        advance()
    assert "loss 0.5" in capsys.readouterr().err


def test_the_bar_is_closed_when_the_block_fails(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # rich refuses a second live display while one is open
        with pytest.raises(RuntimeError, match="boom"), progress("training", 2):
            raise RuntimeError("boom")
    assert "0/2" in capsys.readouterr().err


PROSE = "picked by log_loss, which is a sentence that no line of a terminal has room for"
COMMAND = "next: toolkit report runs/a-folder-with-a-long-name -o report.html"


@pytest.mark.parametrize(("is_terminal", "lines"), [(True, 3), (False, 1)])
def test_a_terminal_breaks_prose_between_words_and_a_command_nowhere(is_terminal, lines):
    shown = io.StringIO()
    out = PrintableConsole(file=shown, force_terminal=is_terminal, width=40, no_color=True)
    for text in (PROSE, Text(PROSE, style="bold"), COMMAND):
        out.print(text, soft_wrap=True, highlight=False)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue()).splitlines()
    assert len(plain) == 2 * lines + 1
    assert plain[-1] == COMMAND
    assert " ".join(line.strip() for line in plain[:lines]) == PROSE
    assert all(len(line) <= 40 for line in plain[:-1]) == is_terminal


@pytest.mark.parametrize("as_json", [False, True])
def test_a_table_goes_to_stdout_unless_json_does(
    as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    result_console(as_json=as_json).print("top1 0.5")
    shown = capsys.readouterr()
    assert (shown.out == "") is as_json
    assert "top1 0.5" in (shown.err if as_json else shown.out)


def test_only_the_main_process_prints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    result_console(as_json=False).print("top1 0.5")
    with progress("training", 2) as advance:
        advance(2)
    shown = capsys.readouterr()
    assert shown.out + shown.err == ""


def test_a_call_from_python_may_print_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with module.quieted(True):
        module.console.print("data: ...")
        result_console(as_json=False).print("top1 0.5")
        with progress("reading tokens", 3) as advance:
            advance(3)
        with module.quieted(False):  # who calls is not asked again
            module.console.print("within")
    assert capsys.readouterr() == ("", "")
    with module.quieted(False):
        module.console.print("data: ...")
    assert capsys.readouterr().err == "data: ...\n"


@pytest.fixture
def logged() -> module.LoggedConsole:
    return module.LoggedConsole(file=io.StringIO(), highlight=False, soft_wrap=True)


def test_a_log_holds_what_was_printed_before_it_began_and_until_it_ends(
    logged: module.LoggedConsole, tmp_path: Path
) -> None:
    logged.print("forgotten")
    logged.forget()
    logged.print("[bold]before[/bold] \x1b", markup=True)
    logged.begin_log(tmp_path)
    logged.print("inside [1]", markup=False)
    (tmp_path / "fold-0").mkdir()
    logged.begin_log(tmp_path / "fold-0")
    logged.print("both")
    logged.end_log(tmp_path / "fold-0")
    logged.print("outer")
    logged.end_log(tmp_path)
    logged.print("after")
    assert (tmp_path / "log.txt").read_text() == "before \\x1b\ninside [1]\nboth\nouter\n"
    assert (tmp_path / "fold-0/log.txt").read_text() == "both\n"


def test_a_log_holds_no_frames_of_a_bar(
    logged: module.LoggedConsole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = module.LoggedConsole(file=io.StringIO(), force_terminal=True, width=60)
    monkeypatch.setattr(module, "console", terminal)
    terminal.begin_log(tmp_path)
    with module.progress("training", 3) as advance:
        advance(3, note="loss 0.5")
    terminal.print("done")
    assert (tmp_path / "log.txt").read_text() == "done\n"


def test_a_silent_console_and_one_that_said_nothing_leave_no_log(
    logged: module.LoggedConsole, tmp_path: Path
) -> None:
    logged.begin_log(tmp_path)
    logged.quiet = True
    logged.print("not of this process")
    assert list(tmp_path.iterdir()) == []


# Tables at any width

NAMES = [Column("method", ["ep", "a name that has very many words to be read", "knn"])]


def test_no_figure_is_broken_or_left_out(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    cells = [f"0.{at}38 [0.73, 0.92]" for at in range(3)]
    figures = [Column(f"metric {at}", cells) for at in range(4)]
    print_columns(result_console(as_json=False), NAMES, figures)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 40
    for cell in cells:
        assert shown.count(cell) == 4


def test_names_take_the_room_that_figures_leave(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    print_columns(result_console(as_json=False), NAMES, [Column("top-1", ["0.5", "0.6", "0.7"])])
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("a name that has very many words to be read") for line in lines)
    assert max(map(len, lines)) <= 60


@pytest.mark.parametrize(
    ("width", "lines"),
    [(80, ["x  pad-ufes-20:pad-ufes-20-sample"]), (26, ["x  pad-ufes-20:pad-ufes-", "20-sample"])],
)
def test_ids_in_a_cell_are_broken_as_its_column_needs(width, lines, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    table = plain_table()
    table.add_column("run")
    table.add_column("data")
    table.add_row("x", Ids(["pad-ufes-20:pad-ufes-20-sample", "digits"]))
    result_console(as_json=False).print(table)
    shown = [line.strip() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [line.replace("x    ", "x  ") for line in shown] == [*lines, "digits"]


def test_rows_without_a_figure_in_a_part_are_left_out_of_it(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    figures = [Column("one", ["x" * 9, "", ""]), Column("two", ["", "", "y" * 9])]
    print_columns(result_console(as_json=False), [Column("", ["a", "b", "c"])], figures)
    assert [line[:1] for line in capsys.readouterr().out.splitlines() if line[:1] in "abc"] == [
        "a",
        "c",
    ]


def test_what_is_less_needed_is_shown_where_it_makes_no_further_part(monkeypatch):
    names, more = [Column("", ["a"])], [Column("wide", ["w" * 50]), Column("narrow", ["n"])]
    for width, shown in ((40, ["figure", "narrow"]), (80, ["figure", "wide", "narrow"])):
        monkeypatch.setenv("COLUMNS", str(width))
        out = result_console(as_json=False)
        columns = with_room_for(out, names, [Column("figure", ["0.5"])], more=more)
        assert [column.heading for column in columns] == shown


def test_control_characters_are_shown(capsys):
    print_columns(result_console(as_json=False), [Column("", ["\x1b[2J"])], [Column("", ["\x07"])])
    assert "\\x1b[2J  \\x07" in capsys.readouterr().out


def test_words_stand_on_the_left_and_figures_on_the_right(capsys):
    names = [Column("method", ["a", "b"])]
    columns = [Column("class", ["nevus", "x"], justify="left"), Column("share", ["100", "9"])]
    print_columns(result_console(as_json=False), names, columns)
    *_, last = capsys.readouterr().out.splitlines()
    assert last.rstrip() == "b       x          9"


@pytest.mark.parametrize("name", ["a[/b].csv", "[red]a", ":smile:", "a\x1b[31m"])
def test_a_name_is_no_markup(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module.console.print(f"data: {name}")
    shown = capsys.readouterr().err
    assert shown.strip() == f"data: {name}".replace("\x1b", "\\x1b")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            "timm:vit_tiny_patch16_224?image_size=64",
            ["timm:vit_tiny_patch16_224?", "image_size=64"],
        ),
        ("pad-ufes-20:pad-ufes-20-sample", ["pad-ufes-20:pad-ufes-20-", "sample"]),
        ("digits", ["digits"]),
        ("a" * 30, ["a" * 30]),
        ("", [""]),
    ],
)
def test_an_id_is_broken_after_its_marks(text, lines):
    assert after_marks(text, 26).split("\n") == lines
