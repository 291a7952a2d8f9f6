"""A leaderboard between the markers of a Markdown file."""

import re

import pytest

from toolkit_common.errors import InputError
from toolkit_probing.leaderboard.block import BEGIN, END, out_of_date, read_block, write_block

TEXT = f"# Mine\n\nabove\n\n{BEGIN}\nold\n{END}\n\nbelow\n"


@pytest.fixture
def page(tmp_path):
    (tmp_path / "README.md").write_text(TEXT)
    return tmp_path / "README.md"


def test_only_what_is_between_the_markers_is_replaced(page):
    assert write_block(page, "| a |\n")
    text = page.read_text()
    assert text.startswith(f"# Mine\n\nabove\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nbelow\n")
    assert "| a |" in text
    assert "old" not in text


def test_writing_it_again_changes_nothing(page):
    write_block(page, "| a |\n")
    before = page.read_bytes()
    assert not write_block(page, "| a |\n")
    assert page.read_bytes() == before
    assert out_of_date(page, "| a |\n") == ""


def test_lines_end_as_those_of_the_file_do(page):
    page.write_bytes(TEXT.replace("\n", "\r\n").encode())
    assert write_block(page, "| a |\n")
    assert page.read_bytes().count(b"\r\n") == page.read_bytes().count(b"\n") > 8
    assert out_of_date(page, "| a |\n") == ""
    line = page.read_text().splitlines().index("| a |") + 1
    assert f"line {line}: " in out_of_date(page, "| b |\n")


def test_what_is_out_of_date_is_said_with_its_line(page):
    write_block(page, "| a |\n| b |\n")
    line = page.read_text().splitlines().index("| b |") + 1
    why = out_of_date(page, "| a |\n| c |\n")
    assert why.startswith(f"{page}, line {line}: the leaderboard is out of date: ")
    assert why.endswith("| b | should be | c |")
    assert out_of_date(page, "| a |\n| b |\n| c |\n").endswith("nothing should be | c |")
    assert len(out_of_date(page, "x" * 500)) < len(str(page)) + 250


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no markers", "has them 0 and 0 times: the table goes between"),
        (f"{BEGIN}\n{BEGIN}\n{END}", "has them 2 and 1 times"),
        (f"{END}\n{BEGIN}", "1 and 1 times the other way round"),
    ],
)
def test_a_file_without_both_markers_once_is_refused(page, text, message):
    page.write_text(text)
    with pytest.raises(InputError, match=message):
        write_block(page, "| a |")
    assert page.read_text() == text


def test_what_is_no_markdown_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"give a Markdown file, \.md"):
        read_block(tmp_path / "a.txt")
    with pytest.raises(InputError, match=re.escape(f"make one with the lines {BEGIN} and {END}")):
        read_block(tmp_path / "a.md")
    (tmp_path / "b.md").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read"):
        read_block(tmp_path / "b.md")
