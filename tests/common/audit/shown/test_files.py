"""Files of an audit are whole and safe, whatever the columns are called."""

import json
from pathlib import Path

import pytest

from helpers.audited import IMAGES, ROWS, audit_with_images, data
from helpers.shown_audit import shown_audit
from toolkit_common.audit.shown.facts import audit_json
from toolkit_common.audit.shown.files import audit_markdown, write_audit


@pytest.mark.slow
def test_a_report_is_whole_and_its_json_strict(tmp_path: Path) -> None:
    audit = audit_with_images(data(images=[IMAGES[1], *IMAGES[1:]], smoke=[None] * ROWS))
    paths = write_audit(tmp_path / "out", audit)
    assert [path.name for path in paths] == ["audit.html", "audit.md", "audit.json"]
    stored = json.loads((tmp_path / "out/audit.json").read_text())
    assert stored == json.loads(json.dumps(audit_json(audit), allow_nan=False))
    page = (tmp_path / "out/audit.html").read_text()
    assert page.count("data:image/jpeg;base64") == 2 * len(audit.pairs) > 0
    assert "i0 | i1" in (tmp_path / "out/audit.md").read_text()


def test_markdown_holds_the_verdict_first_and_nothing_of_the_data_is_markup() -> None:
    text = audit_markdown(shown_audit())
    assert text.startswith("# LEAK in A set of lesions (small): 1 leak would make")
    assert "<script>" not in text
    assert "\x1b" not in text
    assert r"\<script\>alert(1)\</script\>" in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert len(tables) == 4 + 2 + 2 + 2 + 2 + 2  # rows, and two lines of headings a table
    assert {line.replace("\\|", "").count("|") for line in tables[:6]} == {8}


def test_a_report_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> str:
        raise OSError("no space left")

    monkeypatch.setattr("toolkit_common.audit.shown.files.audit_page", fail)
    with pytest.raises(OSError, match="no space left"):
        write_audit(tmp_path / "out", shown_audit())
    assert not any(path for path in tmp_path.iterdir() if "out" in path.name)
