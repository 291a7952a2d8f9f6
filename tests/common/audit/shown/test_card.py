"""The data card that pages share."""

import numpy as np
import pytest

from helpers.shown_audit import HOSTILE, shown_data
from toolkit_common.audit.shown.card import Audited, DataCard, count_classes, render_card
from toolkit_common.audit.shown.examples import examples_of

COUNTS = {"train": [7, 0], "val": [2, 1], "test": [1, 1200]}


def card(**more) -> DataCard:
    facts = [("licence", "CC BY <4.0>")]
    return DataCard(facts, **{"label": "dx", "counts": COUNTS, "classes": [HOSTILE, "b"]} | more)


@pytest.mark.slow
def test_a_card_holds_counts_as_bars_and_as_a_table_and_the_licence():
    text = " ".join(render_card(card()).split())
    assert "<dt>licence</dt><dd>CC BY &lt;4.0&gt;</dd>" in text
    assert '<td class="n">0</td><td class="n">1</td><td class="n">1,200</td>' in text
    assert '<th scope="row">all classes</th><td class="n">7</td><td class="n">3</td>' in text
    assert 'aria-label="Images of each class of dx in each split"' in text
    assert "<script" not in text
    assert "Dashed: 10 images" in text


@pytest.mark.slow
def test_a_card_says_who_looked_for_leaks_and_why_there_are_no_pictures():
    bad = Audited("toolkit data audit, 2026-01-01", "LEAK: x.", is_bad=True, lines=["More."])
    text = render_card(card(audited=bad, why_no_examples="the data are gone."))
    assert '<p class="flaw">LEAK: x. <span class="soft">(toolkit data audit, 2026' in text
    assert '<p class="note">More.</p>' in text
    assert "No example pictures: the data are gone." in text
    good = render_card(card(audited=Audited("s", "No leak found.", is_bad=False)))
    assert '<p class="sound">No leak found.' in good


@pytest.mark.slow
def test_a_card_shows_pictures_and_says_under_which_licence():
    data = shown_data()
    text = render_card(card(examples=list(examples_of(data, data.labels()))))
    assert text.count("<img") == 12
    assert "4 of 4" in text
    assert "it says whether this page may be passed on" in text


def test_a_card_without_counts_has_no_figure():
    text = render_card(card(counts={}))
    assert "<svg" not in text
    assert "<table" not in text


def test_classes_are_counted_in_each_split():
    targets = np.array([0, 1, 1, -1])
    splits = {"train": np.array([0, 1, 3]), "test": np.array([2])}
    assert count_classes(targets, splits, 2) == {"train": [1, 1], "test": [0, 1]}
