"""The data card of a run."""

from dataclasses import replace

import pytest

from toolkit_common.audit.audit import audit_data
from toolkit_common.audit.records import record_audit
from toolkit_common.audit.settings import AuditSettings
from toolkit_probing.reports.data.at_hand import AtHand, find_data
from toolkit_probing.reports.data.card import data_card, data_cards
from toolkit_probing.results.saved import read_run


def test_a_card_counts_every_class_and_group_of_every_split(runs):
    run = read_run(runs / "b")
    card = data_card(run, AtHand(None, "why."))
    data = run.results.data
    assert {name: sum(counts) for name, counts in card.counts.items()} == data.sizes
    facts = dict(card.facts)
    assert facts["groups"] == "train 6, val 2, test 2"
    assert facts["images"] == "train 24, val 8, test 8"
    assert facts["licence"] == "unknown"
    assert (card.examples, card.why_no_examples) == ([], "why.")


def test_pictures_are_of_the_data_at_hand(runs):
    run = read_run(runs / "b")
    card = data_card(run, find_data(run))
    assert [(item.name, item.count, len(item.pictures)) for item in card.examples] == [
        ("dark", 20, 4),
        ("light", 20, 4),
    ]
    assert card.why_no_examples == ""


def test_results_of_before_are_counted_again_where_the_data_are_at_hand(runs):
    run = read_run(runs / "b")
    before = replace(run.results.data, class_counts={}, num_groups={}, grouped_by="")
    old = replace(run, results=replace(run.results, data=before))
    assert data_card(old, AtHand(None)).counts == {}
    card = data_card(old, find_data(run))
    assert card.counts == {
        name: list(counts) for name, counts in run.results.data.class_counts.items()
    }
    assert dict(card.facts)["groups of test"] == "2"


def test_without_an_audit_it_says_what_the_run_itself_checked(runs):
    run = read_run(runs / "b")
    audited = data_card(run, AtHand(None)).audited
    assert (audited.source, audited.is_bad) == ("checked by this run", False)
    assert audited.text == "No group is on two sides of the splits."
    assert "no audit of these data is recorded here" in audited.lines[0]
    nameless = replace(run.results.data, grouped_by="")
    alone = replace(run, results=replace(run.results, data=nameless))
    assert "is not known: the data name no groups" in data_card(alone, AtHand(None)).audited.text


def test_the_verdict_of_a_recorded_audit_is_told_with_what_differs(runs):
    run = read_run(runs / "b")
    data = find_data(run).data
    record_audit(audit_data(data, AuditSettings(images=False, split_seed=3)))
    audited = data_card(run, AtHand(None)).audited
    assert audited.source.startswith("toolkit data audit, 20")
    assert audited.text.startswith(("No leak found.", "LEAK: "))
    assert "It did not look at images." in audited.lines
    assert any("of other splits than this run's: made: " in line for line in audited.lines)


def test_what_the_encoder_has_seen_is_told(runs):
    run = read_run(runs / "b")
    for status, part in (
        ("seen", "The encoder was pre-trained on patients or images that it is judged on."),
        ("unseen", "The encoder has seen none of the test rows in pre-training."),
    ):
        rows = [replace(row, seen=status) for row in run.results.rows]
        changed = replace(run, results=replace(run.results, rows=rows))
        assert part in data_card(changed, AtHand(None)).audited.lines


@pytest.mark.slow
def test_pictures_of_one_set_stand_with_its_first_run(runs):
    a, b = read_run(runs / "a"), read_run(runs / "b")
    ((names, both),) = data_cards({"a": a, "b": b})
    assert (names, both.count("<img")) == (["a", "b"], 8)  # one card of the same data
    rows = [replace(row, seen="seen") for row in b.results.rows]
    other = replace(b, results=replace(b.results, rows=rows))
    (_, first), (names, second) = data_cards({"a": a, "b": other})
    assert (names, first.count("<img"), second.count("<img")) == (["b"], 8, 0)
    assert "No example pictures: they stand with a above." in second
