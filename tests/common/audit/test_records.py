"""Verdicts of audits are kept for pages of probes."""

from dataclasses import replace
from pathlib import Path

from helpers.shown_audit import shown_audit, sound_audit
from toolkit_common.audit.findings import Finding
from toolkit_common.audit.records import AuditRecord, find_audit, record_audit

WRONG = (
    '[{"made": "2026-01-01", "label": 3, "splits": [], "has_images": 1, "leaks": "a", '
    '"warnings": null}]'
)


def test_a_verdict_is_found_by_the_data_and_holds_kinds_alone(own_folder: Path):
    audit = shown_audit()
    shared = Finding("leak", "shared with csv:/home/me/t.csv", "2 patients (first: Miller)")
    record_audit(replace(audit, findings=[*audit.findings, shared]))
    found = find_audit(audit.data.fingerprint(), label="label", splits=audit.splits)
    assert found.leaks == ["missingness", "shared with other data"]
    assert found.warnings == ["label proxy"]
    (file,) = (own_folder / "cache/audits").iterdir()
    assert "Miller" not in file.read_text()
    assert "/home/me" not in file.read_text()
    assert find_audit("another", label="label", splits=audit.splits) is None


def test_of_several_audits_the_nearest_to_a_run_counts():
    audit = shown_audit()
    key = audit.data.fingerprint()
    record_audit(audit)
    record_audit(replace(audit, splits="given", findings=[]))
    record_audit(replace(sound_audit(), data=audit.data, splits="given"))
    assert find_audit(key, label="label", splits=audit.splits).leaks == ["missingness"]
    given = find_audit(key, label="label", splits="given")
    assert (given.leaks, given.label, given.has_images) == ([], "label", True)
    record_audit(replace(audit, findings=[]))  # again: the last one counts
    assert find_audit(key, label="label", splits=audit.splits).leaks == []


def test_a_file_of_another_version_is_as_good_as_none(own_folder: Path):
    audit = shown_audit()
    record_audit(audit)
    (file,) = (own_folder / "cache/audits").iterdir()
    for text in ("[{}]", "no json", '[{"made": 1, "more": 2}]', '{"made": 1}', WRONG):
        file.write_text(text)
        assert find_audit(audit.data.fingerprint(), label="label", splits="") is None
    assert AuditRecord.of(audit).has_images


def test_where_the_cache_cannot_be_written_one_line_says_so(own_folder: Path, capsys):
    (own_folder / "cache").write_text("a file")
    record_audit(shown_audit())
    assert "the verdict is not kept for pages of probes: " in capsys.readouterr().err
