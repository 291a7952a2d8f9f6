"""Tables of figures at any width."""

import pytest

from toolkit_common.console import result_console
from toolkit_probing.results.layout import Column, best_rows, print_columns, with_room_for

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


@pytest.mark.parametrize(("metric", "rows"), [("auroc", [0, 2, 4]), ("log_loss", [1, 3])])
def test_the_best_of_each_kind_is_what_is_shown_as_such(metric, rows):
    values, kinds = [0.8381, 0.7, 0.8379, 0.5, 0.6, None, 0.9], "aaabbbc"
    assert sorted(best_rows(values, kinds, metric)) == rows


def test_control_characters_are_shown(capsys):
    print_columns(result_console(as_json=False), [Column("", ["\x1b[2J"])], [Column("", ["\x07"])])
    assert "\\x1b[2J  \\x07" in capsys.readouterr().out
