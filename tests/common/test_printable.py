"""What would steer a terminal is shown."""

import pytest

from toolkit_common.console import PrintableConsole
from toolkit_common.printable import one_line, printable


@pytest.mark.parametrize(
    ("text", "shown", "in_a_line"),
    [
        ("plain äß 🙂", "plain äß 🙂", "plain äß 🙂"),
        ("a\x1b[31mred", "a\\x1b[31mred", "a\\x1b[31mred"),
        ("a\x9b31m\x7f\x00\r", "a\\x9b31m\\x7f\\x00\\r", "a\\x9b31m\\x7f\\x00\\r"),
        ("two\nlines\tapart", "two\nlines\tapart", "two\\nlines\\tapart"),
        ("not \udcff text", "not \\udcff text", "not \\udcff text"),
    ],
)
def test_control_characters_are_shown(text: str, shown: str, in_a_line: str) -> None:
    assert printable(text) == shown
    assert one_line(text) == in_a_line


def test_a_console_sends_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    PrintableConsole(highlight=False).print("a\x1b[2Jb")
    assert capsys.readouterr().out == "a\\x1b[2Jb\n"
