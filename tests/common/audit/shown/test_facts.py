"""An audit in words and rows."""

import json
from dataclasses import replace

import pytest

from helpers.shown_audit import shown_audit, sound_audit
from toolkit_common.audit.duplicates import Pair
from toolkit_common.audit.findings import Finding
from toolkit_common.audit.shown.facts import (
    audit_json,
    class_counts,
    difference,
    facts_line,
    tables,
    verdict,
)

SET = "A set of lesions (small)"


def test_a_verdict_says_whether_there_is_a_leak_and_counts_the_rest():
    audit = shown_audit()
    one = f"LEAK in {SET}: 1 leak would make a result look better than it is; 1 warning, 1 note"
    assert verdict(audit) == one
    more = replace(audit, findings=[*audit.findings, Finding("leak", "x", "y")])
    assert "2 leaks would make a result look" in verdict(more)


def test_a_verdict_without_leak_says_what_was_not_looked_at():
    assert verdict(sound_audit()) == (
        f"No leak found in {SET}; 0 warnings, 1 note; columns were not scored, for want of a "
        "label; images were not looked at"
    )
    looked = replace(shown_audit(), findings=[])
    assert verdict(looked) == f"No leak found in {SET}; 0 warnings, 0 notes"


def test_classes_are_counted_and_few_of_many_listed(monkeypatch: pytest.MonkeyPatch):
    audit = shown_audit()
    assert list(class_counts(audit).values()) == [4, 4, 4]
    assert class_counts(sound_audit()) == {}
    monkeypatch.setattr("toolkit_common.audit.shown.facts.MOST_CLASSES", 1)
    assert " and 2 more; splits: made" in facts_line(audit)
    assert "12 images; no label; splits: made" in facts_line(sound_audit())


def test_tables_name_their_thresholds_and_no_class_at_chance():
    columns, baselines, pairs = tables(shown_audit())
    assert "0.95" in columns.thresholds
    assert "0.7" in columns.thresholds
    assert "0.9" in baselines.thresholds
    assert "0.9" in pairs.thresholds
    assert columns.rows[0] == ["biopsed", "35.8%", "1.000", "nevus", "0.500", "", "1,077"]
    assert columns.rows[2][2:4] == ["undefined", ""]
    assert [row[-1] for row in pairs.rows] == ["equal", "correlate by 0.930, turned"]
    assert list(tables(sound_audit())) == []


def test_equal_pixels_are_called_equal():
    assert difference(Pair(0, 1, 0, exact=True)) == "equal"


def test_json_is_strict_and_undefined_figures_are_null():
    stored = json.loads(json.dumps(audit_json(shown_audit()), allow_nan=False))
    assert stored["columns"][1]["value_auroc"] is None
    assert (stored["leak"], stored["splits"][:4]) == (True, "made")
    assert stored["duplicates"][1]["correlation"] == 0.93
