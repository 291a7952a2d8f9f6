"""What was not judged is no evidence: claims of missing rows do not hold."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from helpers.claims import cell, head_of, saved, write_maps
from helpers.repository import ROOT
from lib.claims import evidence, heads, judges, tuning
from lib.claims.evidence import ABSENT, FAILS, HOLDS, OPEN, Cell, Studies, read_maps
from lib.claims.judges import all_claims
from toolkit_probing.results.saved import SavedRun


def judge(monkeypatch, **studies: list[Cell]) -> dict[str, judges.Claim]:
    """Return claims by their text, of studies whose names have _ for -."""
    named = {name.replace("_", "-"): cells for name, cells in studies.items()}
    monkeypatch.setattr(evidence, "read_cells", lambda folder: named.get(folder.name, []))
    return {item.claim: item for item in all_claims(Studies(Path("none"), "MAE"))}


def test_an_every_of_some_rivals_is_a_claim_of_those(monkeypatch):
    rows = [saved("ep", 50, num_parameters=100), saved("abmilp", 20, num_parameters=90)]
    found = judge(monkeypatch, ep_rivals=[cell(*rows)])
    assert "EP is above every earlier attentive probe" not in found
    some = found["EP is above each earlier attentive probe that was judged (1 of 13)"]
    assert some.verdict == HOLDS
    assert "not run: simpool, clip" in some.run
    assert found["EP is above every judged pooling of more parameters"].verdict == ABSENT


def test_rivals_are_judged_on_every_encoder_the_front_on_the_masked_one(monkeypatch):
    rows = [saved("ep", 50, num_parameters=100), saved("abmilp", 20, num_parameters=90)]
    below = [saved("ep", 20), saved("abmilp", 50), saved("clip", 10)]
    found = judge(monkeypatch, ep_rivals=[
        cell(*rows), cell(*below, encoder="SimCLR"), cell(*rows, encoder="random"),
        cell(rows[1], encoder="without EP"),
    ])  # fmt: skip
    above = {text: item for text, item in found.items() if "EP is above each earlier" in text}
    assert [text.removeprefix("EP is above each earlier attentive probe that was ")
            for text in above] == [
        "judged (1 of 13)", "judged (2 of 13) on a SimCLR encoder too",
        "judged (1 of 13) on random weights too",
    ]  # fmt: skip
    assert [item.verdict for item in above.values()] == [HOLDS, FAILS, HOLDS]
    assert [item.run.split(",")[0] for item in above.values()] == ["MAE", "SimCLR", "random"]
    assert len([text for text in found if "judged pooling" in text]) == 2


def test_a_study_on_other_data_says_which(monkeypatch):
    elsewhere = cell(*(saved(method, 50) for method in ("ep", "mhca", "abmilp")))
    there = elsewhere.run.results.data
    data = replace(there, id="imagefolder:/of/somebody/cars", title="cars")
    elsewhere = replace(elsewhere, run=SavedRun(Path(), replace(elsewhere.run.results, data=data)))
    elsewhere.run.__dict__["rows"] = {0: saved("ep", 50), 1: saved("abmilp", 20)}
    encoders = [cell(saved("ep", 50), saved("linear", 40))]
    found = judge(monkeypatch, ep_rivals=[elsewhere], ep_pretraining=encoders)
    told = {text: item.run.startswith("on cars: MAE, ") for text, item in found.items()}
    assert [text for text, is_told in told.items() if is_told] == [
        "EP is above each earlier attentive probe that was judged (1 of 13)",
        "EP is above every judged pooling of as few parameters (it is on their Pareto front)",
    ]
    assert "somebody" not in str(found)


@pytest.mark.parametrize("smaller", ["linear", "esimpool"])  # the latter is the paper's own
def test_the_front_is_of_all_poolings_and_not_of_earlier_probes_alone(smaller, monkeypatch):
    rows = [saved("ep", 40, num_parameters=100), saved(smaller, 55, num_parameters=9)]
    rows += [saved(method, 20, num_parameters=90) for method in judges.EARLIER]
    found = judge(monkeypatch, ep_rivals=[cell(*rows)])
    assert found["EP is above every earlier attentive probe"].verdict == HOLDS
    (front,) = (item for text, item in found.items() if "Pareto front" in text)
    assert front.verdict == FAILS  # smaller and better


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
    assert found["32 queries are better than 1"].figure.startswith("+66.7 [")
    assert found[heads.NARROW].verdict == ABSENT


def test_narrow_value_maps_are_held_against_linear_probing(monkeypatch):
    rows = [saved("ep", right, options={"width_divisor": divisor}, num_parameters=80 // divisor)
            for divisor, right in ((1, 58), (8, 40), (2, 50))]  # fmt: skip
    rows.append(saved("linear", 20, num_parameters=7))
    found = judge(monkeypatch, ep_queries=[cell(*rows, step="widths-of-ep")])[heads.NARROW]
    assert found.run.endswith("EP of width / 2, width / 8 (40, 10 parameters) - linear (7)")
    assert found.figure.startswith("least +33.3 [")
    assert found.verdict == HOLDS


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
    def pair(ep, linear, tune="none", **axes):
        rows = [saved("ep", ep, num_parameters=9, tune=tune),
                saved("linear", linear, num_parameters=7, tune=tune)]  # fmt: skip
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
    assert found["EP helps beside light tuning"].figure.startswith("least +3.33 [+0.00, ")
    assert found["Light tuning helps beside EP"].verdict == HOLDS
    whole = pair(20, 58, tuning="everything", tune="full")  # not light
    assert judge(monkeypatch, ep_tuning=[frozen, whole, *tuned]) == found
    for cells in ([frozen], [frozen, whole], tuned):
        found = judge(monkeypatch, ep_tuning=cells)
        assert found["EP helps beside light tuning"].verdict == ABSENT


def test_what_was_tuned_for_other_epochs_is_no_evidence_of_tuning(monkeypatch):
    def pair(ep, epochs, **axes):
        one = cell(saved("ep", ep, num_parameters=9), saved("linear", 20, num_parameters=7), **axes)
        given = one.run.results
        protocol = replace(given.protocol, overridden={"epochs": epochs})
        run = SavedRun(Path(), replace(given, protocol=protocol))
        run.__dict__["rows"] = one.run.rows
        return replace(one, run=run)

    cells = [pair(50, 15, tuning="frozen"), pair(30, 6, tuning="LoRA", lora_rank=1)]
    found = judge(monkeypatch, ep_tuning=cells)
    against = [text for text, item in found.items() if item.verdict == tuning.UNEQUAL]
    assert against == ["EP on the frozen encoder is above a linear head on a tuned one",
                       "Light tuning helps beside EP"]  # fmt: skip
    assert found[tuning.BESIDE].verdict == HOLDS  # both sides are tuned alike


def test_without_twins_nothing_is_said_of_diverse_pre_training(monkeypatch):
    rows = [saved(method, 30) for method in ("ep", "linear", "mean", "knn")]
    found = judge(monkeypatch, ep_pretraining=[cell(*rows), cell(*rows, encoder="random")])
    assert found[judges.DIVERSE].verdict == ABSENT
    gains = found["EP gains more on a masked-image encoder than on random weights"]
    assert gains.verdict == OPEN
    assert "linear on random, 333 labels, EP of 1 seed reads cls)" in gains.run


def test_all_labels_are_not_few(monkeypatch):
    rows = [
        saved(method, right, labels=labels, num_train=[count], draws=[0, 0, 1, 1], seeds=[0, 1] * 2)
        for labels, count, bonus in (("all labels", 60, -30), ("5 shots", 15, 20))
        for method, right in (("ep", 30 + bonus), ("linear", 30))
    ]
    few = judge(monkeypatch, ep_low_shot=[cell(*rows)])[judges.FEW]
    assert few.run == "MAE, 5 shots of 2 draws, EP of 2 seeds: EP - linear"
    assert few.verdict == HOLDS
    mean = saved("mean", 50, labels="5 shots", num_train=[15], draws=[0, 0, 1, 1], seeds=[0, 1] * 2)
    found = judge(monkeypatch, ep_low_shot=[cell(*rows, mean)])
    assert found[judges.FEW] == few
    beside = found["EP is above linear probing of the patches' mean where labels are few"]
    assert (beside.verdict, beside.figure.split(" [")[0]) == (OPEN, "least +0.00")
    assert judge(monkeypatch, ep_low_shot=[cell(*rows[:2])])[judges.FEW].verdict == ABSENT


def test_a_probe_that_was_not_run_ends_no_report(monkeypatch):
    rows = [saved("ep", 50), saved("linear", 20)]
    found = judge(monkeypatch, ep_pretraining=[cell(*rows)])
    verdicts = {text: item.verdict for text, item in found.items() if "EP recovers what" in text}
    assert sorted(verdicts.values()) == [HOLDS, ABSENT, ABSENT]
    assert "ep-pretraining.yaml of MAE with ep and knn" in found[next(
        text for text in verdicts if "k-NN" in text)].run  # fmt: skip
    alone = [cell(saved("ep", 50)), cell(saved("ep", 40), encoder="twin")]
    found = judge(monkeypatch, ep_pretraining=alone, ep_low_shot=alone, ep_layers=alone)
    assert {item.verdict for item in found.values()} == {ABSENT}
    assert found[judges.SEVEN].paper == judges.PAPER_OF_SEVEN
    assert found[judges.FEW].run == "studies/ep-low-shot.yaml with ep and linear"


def test_masked_encoders_are_no_contrast_and_figures_are_of_their_kind(monkeypatch):
    rows = [saved("ep", 50), saved("linear", 20)]
    names = ("MAE", "MIM SimMIM", "JEA DINO", "supervised B/16", "random weights")
    found = judge(monkeypatch, ep_pretraining=[cell(*rows, encoder=name) for name in names])
    above = {text.split(" on a ")[1].removesuffix(" encoder too"): item.paper
             for text, item in found.items() if text.endswith(" encoder too")}  # fmt: skip
    assert above == {
        "MIM SimMIM": "MAE L 76.0 -> 79.3, SimMIM 51.5 -> 65.1",
        "JEA DINO": "DINO 77.3 -> 77.8, DINOv2 83.2 -> 84.0",
        "supervised B/16": "no such encoder there",
    }
    more = {text.split(" than on ")[1]: item.paper for text, item in found.items()
            if "gains more" in text}  # fmt: skip
    assert more == {
        "a JEA DINO one": "MAE +7.9, DINO +0.5, DINOv2 +0.8",
        "a supervised B/16 one": "no such encoder there",
        "random weights": "no such control",
    }


def test_studies_name_encoders_as_claims_look_for_them():
    named = {file.stem: yaml.safe_load(file.read_text())["parameters"]["encoders"]
             for file in (ROOT / "studies").glob("ep-*.yaml")}  # fmt: skip
    every = named["ep-pretraining"]
    masked = "MIM MAE B/16"  # of --masked
    assert all(masked in encoders for encoders in named.values())
    assert all(every[name] == of for encoders in named.values() for name, of in encoders.items())
    controls = [name for name, of in every.items() if isinstance(of, dict)]
    assert [name for name in controls if name in evidence.RANDOM] == controls
    kinds = {name.split()[0] for name in every} - {"supervised", "random"}
    assert kinds == {*judges.OF_KINDS}


@pytest.mark.parametrize(
    ("ep", "mhca", "verdict"), [(0.2, 0.4, HOLDS), (0.4, 0.2, FAILS), (0.3, 0.32, OPEN)]
)
def test_maps_are_told_apart_by_the_intervals_of_their_overlap(ep, mhca, verdict, tmp_path):
    def head(method, value, queries=8):
        return head_of(method, queries, overlap=(value - 0.05, value, value + 0.05),
                       effective_queries=(2.0, 2.5, 3.0))  # fmt: skip

    studies = Studies(tmp_path, "MAE")
    assert read_maps(tmp_path / "ep-attention", "MAE") == []
    write_maps(tmp_path / "ep-attention", [head("ep", 0.9, 32), head("ep", ep), head("mhca", mhca)])
    assert len(read_maps(tmp_path / "ep-attention", "MAE")) == 3
    assert read_maps(tmp_path / "ep-attention", "twin") == []
    (found,) = heads.queries_specialise(studies)
    assert found.verdict == verdict
    assert found.figure.startswith(f"EP {ep:.3f} [{ep - 0.05:.3f}, {ep + 0.05:.3f}], MHCA {mhca}")
    (other,) = heads.maps_find_objects(studies)
    assert (other.verdict, other.run) == (ABSENT, "studies/ep-attention.yaml with masks")


@pytest.mark.parametrize(("inside", "verdict"), [(0.5, HOLDS), (0.1, FAILS), (0.3, OPEN)])
def test_maps_lie_on_the_object_where_more_than_its_area_is_inside(inside, verdict, tmp_path):
    maps = head_of("ep", 8, inside=(inside - 0.05, inside, inside + 0.05), area=(0.27, 0.3, 0.32))
    write_maps(tmp_path / "ep-attention", [maps])
    (found,) = heads.maps_find_objects(Studies(tmp_path, "MAE"))
    assert found.verdict == verdict
    assert "random" not in found.figure
    (other,) = heads.queries_specialise(Studies(tmp_path, "MAE"))
    assert other.verdict == ABSENT


def test_benchmarks_are_counted_and_all_seven_are_all(monkeypatch):
    def on(benchmark, right, **more):
        rows = saved("ep", right), saved("linear", 20)
        return cell(*rows, benchmark=benchmark, **more)

    two = [on("CIFAR-100", 50), on("Food-101", 40), on("Food-101", 10, encoder="DINO")]
    found = judge(monkeypatch, ep_benchmarks=two)
    some = found["EP is above linear probing on every benchmark that was judged (2 of 7)"]
    assert some.run == "MAE, CIFAR-100, Food-101: EP - linear"
    assert some.figure.startswith("least +33.3 [")
    assert some.figure.endswith("(Food-101); 2 above, 0 below, 0 open")
    assert some.verdict == HOLDS
    every = [on(name, 50) for name in judges.BENCHMARKS[:-1]]
    found = judge(monkeypatch, ep_benchmarks=[*every, on(judges.BENCHMARKS[-1], 5)])
    assert found["EP is above linear probing on all seven"].verdict == FAILS
    named = yaml.safe_load((ROOT / "studies/ep-benchmarks.yaml").read_text())["parameters"]["data"]
    assert tuple(named) == judges.BENCHMARKS


def test_a_study_of_other_encoders_says_which_it_has(monkeypatch):
    others = [cell(saved("ep", 30), encoder="MIM")]
    few = judge(monkeypatch, ep_low_shot=others)[judges.FEW]
    assert (few.run, few.verdict) == ("studies/ep-low-shot.yaml of MAE; it has MIM", ABSENT)


def test_rivals_without_ep_are_no_evidence(monkeypatch):
    found = judge(monkeypatch, ep_rivals=[cell(saved("abmilp", 30))])
    missing = found["EP beats every earlier attentive probe"]
    assert (missing.run, missing.verdict) == ("studies/ep-rivals.yaml with ep", ABSENT)


@pytest.mark.parametrize(("random", "verdict"), [(0.3, HOLDS), (0.5, OPEN), (0.7, FAILS)])
def test_maps_that_random_weights_have_too_lie_on_no_object(random, verdict, tmp_path):
    def head(inside):
        return head_of("ep", 8, inside=(inside - 0.05, inside, inside + 0.05), area=(0.2, 0.2, 0.2))

    write_maps(tmp_path / "ep-attention", [head(0.5)], random=[head(random)])
    (found,) = heads.maps_find_objects(Studies(tmp_path, "MAE"))
    assert found.verdict == verdict
    assert f"EP on random weights {random:.3f} [" in found.figure


def test_maps_of_too_few_images_for_an_interval_cannot_be_told(tmp_path):
    few = [head_of(method, 8, overlap=(0.1, value, 0.9), inside=(0.1, value, 0.9),
                   area=(0.1, 0.3, 0.4), effective_queries=(1.0, 2.0, 3.0))
           for method, value in (("ep", 0.2), ("mhca", 0.8))]  # fmt: skip
    for head in few:
        for statistic in head["statistics"].values():
            statistic["ci"] = None
    write_maps(tmp_path / "ep-attention", few)
    for judge_maps in (heads.queries_specialise, heads.maps_find_objects):
        (found,) = judge_maps(Studies(tmp_path, "MAE"))
        assert found.verdict == OPEN
        assert found.figure.startswith("EP 0.200 [-inf, inf], ")
