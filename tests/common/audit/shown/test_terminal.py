"""An audit in a terminal, at any width."""

from pathlib import Path

import pytest

from helpers.shown_audit import shown_audit, sound_audit
from helpers.snapshots import assert_fits, assert_snapshot
from toolkit_common.audit.shown.terminal import print_audit

SHOWN = Path(__file__).parent / "shown"
AUDITS = {"leak": shown_audit, "sound": sound_audit}


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("name", AUDITS)
def test_an_audit_is_readable_at_any_width(name, width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    print_audit(AUDITS[name]())
    shown = capsys.readouterr().out
    assert_fits(shown, width)
    assert_snapshot(shown, SHOWN / f"audit-{name}-{width}.txt")


def test_a_file_is_as_wide_as_files_are(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS")
    print_audit(shown_audit())
    shown = capsys.readouterr().out
    assert_snapshot(shown, SHOWN / "audit-leak-120.txt")
    assert shown.startswith("LEAK in ")
    assert "\x1b" not in shown
    assert "#" not in shown  # no Markdown
