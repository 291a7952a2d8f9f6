"""Reports are whole, strict and safe, whatever the columns are called."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.audited import IMAGES, ROWS, audit_with_images, data, run_audit
from toolkit_common.audit.findings import Finding
from toolkit_common.audit.report import audit_json, write_audit


def test_a_report_is_whole_and_its_json_strict(tmp_path: Path) -> None:
    audit = audit_with_images(data(images=[IMAGES[1], *IMAGES[1:]], smoke=[None] * ROWS))
    write_audit(tmp_path / "out", audit)
    stored = json.loads((tmp_path / "out/audit.json").read_text())
    assert stored == json.loads(json.dumps(audit_json(audit), allow_nan=False))
    page = (tmp_path / "out/audit.html").read_text()
    assert page.count("data:image/png;base64") == len(audit.pairs) > 0
    assert "i0 | i1" in (tmp_path / "out/audit.md").read_text()


@pytest.mark.slow
def test_columns_of_any_name_and_number_are_reported(tmp_path: Path) -> None:
    names = ["a$b_{$", "$x^$ and $y", "<b>", "a|b", "two\nlines", "\u4e2d\u6587", "long " * 60]
    columns = {name: [0.0, 0.5, 1.0, 1.5] * 15 for name in names}
    columns |= {f"measure {number}": [1.0, 2.0] * 30 for number in range(80)}
    write_audit(tmp_path / "out", run_audit(data(**columns)))
    page = (tmp_path / "out/audit.html").read_text()
    assert page.count("<tr><td>") == 89 + 2  # columns, baselines
    assert "1.000\n<meter min='0.5' max='1' value='1.000'>" in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    lines = (tmp_path / "out/audit.md").read_text().splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table if "measure" in line}) == 1
    assert any(line.startswith("| two lines |") for line in table)


def test_a_report_that_fails_leaves_nothing(tmp_path: Path) -> None:
    audit = run_audit(data())
    broken = replace(audit, findings=[Finding("note", "x", "\ud800")])  # no text to encode
    with pytest.raises(UnicodeEncodeError):
        write_audit(tmp_path / "out", broken)
    assert not any(path for path in tmp_path.iterdir() if "out" in path.name)
