"""What a page compares: short names that are no other's, and paired differences."""

from dataclasses import replace

import numpy as np
import pytest

from toolkit_common.scores.folds import estimate_fold_difference
from toolkit_common.scores.statistics import adjust_holm, estimate_difference
from toolkit_probing.reports import entries
from toolkit_probing.reports.entries import differences_of, entries_of
from toolkit_probing.reports.recomputed import build_report


def entries_at(*paths, metrics=("auroc", "top1")):
    every = entries_of(build_report(paths, metrics=metrics))
    return [item for item in every if item.kind == "probe"]


def test_what_reads_no_image_stands_last_and_once_where_runs_share_it(runs):
    every = entries_of(build_report([runs / "a", runs / "b"], metrics=["top1"]))
    assert [item.name for item in every if item.kind == entries.NO_IMAGE] == [
        "missingness baseline",
        "metadata baseline",
    ]
    assert every[-1].name == "metadata baseline"


@pytest.mark.slow
@pytest.mark.parametrize("shares", ["0.3,1", "1,0.3", "0.3"])
def test_what_reads_no_image_learned_from_as_many_labels_as_what_stands_above(
    run_cli, tmp_path, shares
):
    """Those of other shares stand in tables alone, and are no figure of the sentence."""
    result = run_cli(
        "probe", "--data", "lesions", "--label", "malignant", "--backbone",
        "timm:test_vit?image_size=32", "--random-init", "--method", "knn", "--no-report",
        "--label-fraction", shares, "--draws", "2", "--output", tmp_path / "run",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    every = entries_of(build_report([tmp_path / "run"], metrics=["auroc"]))
    methods = ["knn", "missingness baseline", "metadata baseline"]
    assert [item.row.method for item in every] == methods
    most = "all labels" if "1" in shares else "30 % of labels"
    assert {item.row.labels for item in every} == {most}


def test_names_say_what_tells_rows_apart_and_no_more(runs):
    names = [item.name for item in entries_at(runs / "a")]
    assert names == [f"{name} \u00b7 layer {at}" for name in ("linear", "knn") for at in (2, 6)]
    assert [item.name for item in entries_at(runs / "b")] == ["linear", "knn"]
    several = [item.name for item in entries_at(runs / "a", runs / "b")]
    assert several[-2:] == ["linear \u00b7 b", "knn \u00b7 b"]
    assert len(set(several)) == len(several)


def test_runs_of_one_encoder_are_named_only_where_their_methods_do_not_tell(runs):
    (run,) = build_report([runs / "b"], metrics=["top1"]).runs
    both = run.results.rows
    parts = [replace(run, results=replace(run.results, rows=[row])) for row in both]
    assert entries.labels_of(parts) == ["", ""]
    assert entries.labels_of([parts[0], run]) != ["", ""]  # a method of both
    other = replace(parts[1].results.backbone, id="timm:another")
    assert entries.labels_of([
        parts[0], replace(parts[1], results=replace(parts[1].results, backbone=other))
    ]) != ["", ""]  # fmt: skip


@pytest.mark.slow
def test_differences_are_those_of_every_pair_with_holm_over_all(runs):
    items = entries_at(runs / "a")
    result = differences_of(items, "auroc")
    pairs = [(i, j) for i in range(4) for j in range(i)]
    expected = {
        (i, j): estimate_difference(
            items[j].saved.predictions,
            items[i].saved.predictions,
            items[0].saved.groups,
            names=["auroc"],
        )["auroc"]
        for i, j in pairs
    }
    assert all(result.of(items[i], items[j]) == value for (i, j), value in expected.items())
    adjusted = adjust_holm([expected[pair].p for pair in pairs])
    assert [result.p_holm[i][j] for i, j in pairs] == adjusted


@pytest.mark.slow
def test_images_in_another_order_are_paired_and_other_images_are_not(runs):
    items = entries_at(runs / "b")
    saved = items[1].saved
    order = np.random.default_rng(0).permutation(len(saved.image_ids))
    parts = [
        replace(part, probabilities=part.probabilities[order], targets=part.targets[order])
        for part in saved.predictions
    ]
    ids = saved.image_ids[order]
    moved = replace(items[1], saved=replace(saved, image_ids=ids, predictions=parts))
    before = differences_of(items, "auroc").values[0][1]
    assert differences_of([items[0], moved], "auroc").values[0][1] == before
    foreign = replace(items[1], saved=replace(saved, image_ids=np.char.add("x", ids.astype(str))))
    assert differences_of([items[0], foreign], "auroc") is None


@pytest.mark.slow
def test_differences_over_folds_are_those_over_folds(folded):
    items = entries_at(folded / "f", metrics=("auroc", "balanced_accuracy"))
    for metric in ("auroc", "balanced_accuracy"):
        result = differences_of(items, metric)
        for one in items:
            for other in items:
                sides = [other.saved.predictions, one.saved.predictions]
                saved = one.saved
                known = estimate_fold_difference(sides, saved.groups, saved.folds, names=[metric])
                assert result.of(one, other).difference == known[metric].difference
                assert result.of(one, other).ci == pytest.approx(known[metric].ci)
                assert result.of(one, other).p == known[metric].p
    pooled = items[0].metrics["balanced_accuracy"]
    assert items[0].value("balanced_accuracy") == pooled.pooled
    assert items[0].value("auroc") == items[0].metrics["auroc"].mean


def test_of_too_many_the_ones_that_selection_prefers_are_compared(runs, monkeypatch):
    monkeypatch.setattr("toolkit_probing.reports.entries.MOST_COMPARED", 2)
    items = entries_at(runs / "a")
    for item in items:
        score = 1.0 if item.row.layer == 6 else 0.0
        object.__setattr__(item.row, "select_score", score)
    assert [item.name for item in entries._leading(items)] == [
        "linear \u00b7 layer 6",
        "knn \u00b7 layer 6",
    ]
