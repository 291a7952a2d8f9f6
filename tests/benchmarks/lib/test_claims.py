"""What was not judged is no evidence: claims of missing rows do not hold."""

from pathlib import Path

import numpy as np
import pytest

from helpers.shown_results import results, row
from lib import claims
from lib.claims import ELSEWHERE, OTHERS, Studies, all_claims
from lib.evidence import ABSENT, FAILS, HOLDS, OPEN, Cell
from toolkit_common.scores.metrics import Predictions
from toolkit_probing.results.saved import SavedRow, SavedRun

COUNT = 60
TARGETS = np.arange(COUNT) % 3


def saved(method: str, right: int, **more) -> SavedRow:
    """Return a row that is right on the first images."""
    guesses = np.where(np.arange(COUNT) < right, TARGETS, (TARGETS + 1) % 3)
    parts = [Predictions(np.eye(3)[guesses], TARGETS)]
    return SavedRow(Path(), row(method, method, 0.5, **more), np.arange(COUNT),
                    np.arange(COUNT), parts)  # fmt: skip


def cell(*rows: SavedRow, encoder: str = "MAE", step: str = "probe", **axes) -> Cell:
    run = SavedRun(Path(), results([]))
    run.__dict__["rows"] = dict(enumerate(rows))  # as its cached property would
    return Cell(step, {"encoder": encoder, **axes}, run)


def judge(monkeypatch, **studies: list[Cell]) -> dict[str, claims.Claim]:
    """Return claims by their text, of studies whose names have _ for -."""
    named = {name.replace("_", "-"): cells for name, cells in studies.items()}
    monkeypatch.setattr(claims, "read_cells", lambda folder: named.get(folder.name, []))
    return {item.claim: item for item in all_claims(Studies(Path("none"), "MAE"))}


def test_an_every_of_some_rivals_is_a_claim_of_those(monkeypatch):
    rows = [saved("ep", 50, num_parameters=100), saved("abmilp", 20, num_parameters=90)]
    found = judge(monkeypatch, ep_rivals=[cell(*rows)])
    assert "EP is above every earlier attentive probe" not in found
    some = found["EP is above 1 of 14 earlier attentive probes"]
    assert some.verdict == HOLDS
    assert "not run: simpool, esimpool" in some.run
    assert found["EP is above every judged pooling of more parameters"].verdict == ABSENT


def test_the_front_is_of_all_poolings(monkeypatch):
    rows = [saved("ep", 40, num_parameters=100), saved("linear", 55, num_parameters=9)]
    rows += [saved(method, 20, num_parameters=90) for method in claims.EARLIER]
    found = judge(monkeypatch, ep_rivals=[cell(*rows)])
    assert found["EP is above every earlier attentive probe"].verdict == HOLDS
    (front,) = (item for text, item in found.items() if "Pareto front" in text)
    assert front.verdict == FAILS  # linear probing is smaller and better


@pytest.mark.parametrize("queries", [(1, 32), (32, 96), (8, 64), (32,)])
def test_queries_need_fewer_and_more_beside_the_default(queries, monkeypatch):
    rows = [saved("ep", 10 + at * 30, options={"num_queries": number})
            for at, number in enumerate(queries)]  # fmt: skip
    found = judge(monkeypatch, ep_queries=[cell(*rows, step="queries-of-ep")])
    assert found["More queries are better up to about 32"].verdict == ABSENT
    assert not any("beyond" in text for text in found)


def test_queries_are_held_against_those_beyond(monkeypatch):
    rows = [saved("ep", right, options={"num_queries": number})
            for number, right in ((1, 10), (32, 50), (96, 51))]  # fmt: skip
    found = judge(monkeypatch, ep_queries=[cell(*rows, step="queries-of-ep")])
    assert found["Queries up to 32 gain more than those beyond"].verdict == HOLDS


def test_a_layer_is_not_held_against_itself(monkeypatch):
    rows = [
        saved(method, right + 2 * (method == "ep"), layer=layer, select_score=score)
        for layer, right, score in ((2, 20, None), (4, 40, 0.0), (6, 50, 0.1))
        for method in ("ep", "linear")
    ]
    found = judge(monkeypatch, ep_layers=[cell(*rows)])
    earlier = found["An earlier layer is better for EP than the last that was judged"]
    assert earlier.run == "MAE: layer 4 (selected on val, of 2, 4) - layer 6"
    assert earlier.figure.startswith("-16.7 [")
    assert earlier.verdict == FAILS
    found = judge(monkeypatch, ep_layers=[cell(*rows[-2:])])
    assert found[earlier.claim].verdict == ABSENT


def test_tuned_encoders_are_held_against_the_frozen_one(monkeypatch):
    def pair(ep, linear, **axes):
        rows = [saved("ep", ep, num_parameters=9), saved("linear", linear, num_parameters=7)]
        return cell(*rows, **axes)

    frozen = pair(40, 10, tuning="frozen")
    tuned = [pair(55, 20, tuning="LoRA", lora_rank=1), pair(56, 54, tuning="LoRA", lora_rank=4)]
    found = judge(monkeypatch, ep_tuning=[frozen, *tuned])
    stands = found["EP on the frozen encoder is above a linear head on a tuned one"]
    assert stands.verdict == FAILS
    assert stands.run.endswith("EP, frozen (9 parameters) - linear with LoRA 1, LoRA 4 (each 7, 7)")
    assert stands.figure.startswith("least -23.3 [")
    assert stands.figure.endswith("(LoRA 4); 1 above, 1 below, 0 open")
    assert found["EP helps beside light tuning"].verdict == OPEN
    assert found["EP helps beside light tuning"].figure.startswith("least +3.3 [")
    assert found["Light tuning helps beside EP"].verdict == HOLDS
    for cells in ([frozen], tuned):
        found = judge(monkeypatch, ep_tuning=cells)
        assert found["EP helps beside light tuning"].verdict == ABSENT


def test_without_twins_nothing_is_said_of_diverse_pre_training(monkeypatch):
    rows = [saved(method, 30) for method in ("ep", "linear", "mean", "knn")]
    found = judge(monkeypatch, ep_pretraining=[cell(*rows), cell(*rows, encoder="random")])
    assert found[claims.DIVERSE].verdict == ABSENT
    gains = found["EP gains more on a masked-image encoder than on random weights"]
    assert gains.verdict == OPEN
    assert "linear on random, 333 labels, EP of 1 seed reads cls)" in gains.run


def test_what_was_run_is_not_called_not_run(monkeypatch):
    other = [cell(saved("ep", 30), encoder="MIM")]
    found = judge(monkeypatch, ep_benchmarks=other, ep_low_shot=other)
    assert [found[claim].verdict for claim in OTHERS] == [ELSEWHERE]
    few = found["EP keeps its lead where labels are few"]
    assert (few.run, few.verdict) == ("studies/ep-low-shot.yaml of MAE; it has MIM", ABSENT)
