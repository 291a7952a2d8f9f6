"""The sentence that answers, and what forbids to believe it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from toolkit_common.scores.metrics import Predictions
from toolkit_common.scores.statistics import estimate
from toolkit_probing.reports.claim import claim, warnings
from toolkit_probing.reports.entries import Entry, differences_of
from toolkit_probing.results.rows import Row
from toolkit_probing.results.saved import SavedRow, SavedRun, read_run

NUM = 200
TARGETS = np.arange(NUM) % 2
METRICS = ("auroc", "top1", "log_loss")


def entry(name: str, skill: float, *, kind: str = "probe", seed: int = 0, **row) -> Entry:
    """Return an entry whose scores are noise and `skill` times the truth."""
    noise = np.random.default_rng(seed).normal(size=NUM)
    score = 1 / (1 + np.exp(-(noise + skill * (2 * TARGETS - 1))))
    part = Predictions(np.stack([1 - score, score], axis=1), TARGETS)
    method = name.partition(",")[0].partition(" \u00b7")[0]
    shared = {
        "layer": 12, "source": "cls", "labels": "all labels", "num_train": [9], "settings": {},
        "selected": "selected on val", "picked": "", "select_score": 0.0, "seeds": [0],
        "draws": [0], "num_parameters": 1, "flops": 1, "metrics": {}, "predictions": "",
    }  # fmt: skip
    made = Row(name=name, method=method, **{**shared, **row})
    groups = np.arange(NUM) // 2
    saved = SavedRow(Path("run"), made, np.arange(NUM).astype(str), groups, [part])
    metrics = estimate([part], groups, names=METRICS)
    return Entry(name, name.partition(" \u00b7 ")[2], kind, saved, metrics)


def claimed(*entries: Entry, metric: str = "auroc") -> str:
    return claim(entries, differences_of(entries, metric), metric)


METADATA = "metadata baseline"


@pytest.mark.slow
def test_who_is_better_is_named_as_people_do_with_the_difference_and_its_interval():
    ep, linear = entry("ep", 1.0), entry("linear", 0.4, seed=1)
    text = claimed(ep, linear)
    value = differences_of([ep, linear], "auroc").of(ep, linear)
    size = "{:.3f} AUROC [{:.3f}, {:.3f}]".format(value.difference, *value.ci)
    assert text == f"EP beats linear probing by {size}."
    assert claimed(linear, ep) == text  # whichever was requested first


@pytest.mark.slow
def test_a_lower_loss_is_better():
    assert claimed(entry("ep", 1.0), entry("linear", 0.1, seed=1), metric="log_loss").startswith(
        "EP beats linear probing by 0."
    )


@pytest.mark.slow
def test_who_cannot_be_told_apart_is_not_ranked():
    text = claimed(entry("knn", 0.5), entry("linear", 0.5, seed=1))
    assert text.startswith("k-NN and linear probing cannot be told apart: ")
    assert "beats" not in text


@pytest.mark.slow
def test_metadata_that_beat_every_probe_are_named_and_probes_that_beat_them():
    probes = [entry("ep", 0.3), entry("linear", 0.3, seed=1)]
    better = entry(METADATA, 2.0, kind="no image read", seed=2)
    assert "Metadata alone are better than every image probe: 1.00 AUROC [" in claimed(
        *probes, better
    )
    worse = entry(METADATA, -0.5, kind="no image read", seed=2)
    assert "Every image probe is better than metadata alone (0." in claimed(*probes, worse)
    between = entry(METADATA, 0.3, kind="no image read", seed=1)
    assert "Metadata alone, without any image, reach 0." in claimed(*probes, between)


def test_an_undefined_metric_is_said_of_whom_it_is():
    ep, linear = entry("ep", 1.0), entry("linear", 0.4)
    part = linear.saved.predictions[0]
    lost = Predictions(part.probabilities * np.nan, part.targets)
    metrics = estimate([lost], linear.saved.groups, names=METRICS)
    linear = replace(linear, saved=replace(linear.saved, predictions=[lost]), metrics=metrics)
    text = "EP and linear probing cannot be compared: AUROC is undefined for linear probing."
    assert claimed(ep, linear) == text


def test_one_method_reaches_its_figure_and_tuned_ones_are_not_ranked():
    alone = entry("ep", 1.0)
    mean, ci = alone.metrics["auroc"].mean, alone.metrics["auroc"].ci
    assert claimed(alone) == "EP reaches {:.2f} AUROC [{:.2f}, {:.2f}].".format(mean, *ci)
    assert claimed(entry("ep", 1.0, kind="tuned encoder")).startswith("No frozen encoder")


def test_one_group_gives_no_interval_and_nothing_follows():
    pair = [entry("ep", 1.0), entry("linear", 0.4, seed=1)]
    one = [replace(i, saved=replace(i.saved, groups=np.zeros(NUM, int))) for i in pair]
    text = claimed(*one)
    assert "without an interval (not computed: all images are of one group)" in text
    assert "beats" not in text


@pytest.mark.slow
def test_of_several_variants_the_one_that_selection_prefers_speaks():
    low = entry("ep, layer 2", 2.0, select_score=-1.0)
    high = entry("ep, layer 6", 0.4, select_score=1.0, seed=1)
    text = claimed(low, high, entry("linear", 0.4, seed=2))
    assert text.startswith("EP, layer 6 and linear probing cannot be told apart")


@pytest.mark.slow
def test_runs_are_compared_by_their_first_method_and_few_labels_are_said():
    items = [
        entry(f"{method} \u00b7 {run}", skill, seed=at, labels="5 shots")
        for at, (method, run, skill) in enumerate(
            [("ep", "derm", 1.0), ("knn", "derm", 1.0), ("ep", "plain", 0.1)]
        )
    ]
    text = claimed(*items)
    assert text.startswith("With 5 shots: EP \u00b7 derm beats EP \u00b7 plain by 0.")


@pytest.fixture
def run(runs) -> SavedRun:
    """A run whose encoder is trained, and whose rows were selected on val."""
    saved = read_run(runs / "a")
    backbone = replace(saved.results.backbone, random_weights=False)
    return replace(saved, results=replace(saved.results, backbone=backbone))


def test_nothing_is_warned_of_where_nothing_is_wrong(run):
    assert list(warnings([run], [entry("ep", 1.0)])) == []


def test_what_forbids_to_believe_is_said(run):
    rows = [replace(run.results.rows[0], seen="seen", selected="selected on test")]
    backbone = replace(run.results.backbone, random_weights=True)
    results = replace(run.results, backbone=backbone, rows=rows, diverged={"ep-lr1": 3})
    text = " ".join(warnings([replace(run, results=results)], [entry("ep", 1.0)]))
    assert "Random weights: the figures judge no trained encoder." in text
    assert "SEEN: the encoder was pre-trained on patients or images that it is judged on." in text
    assert "Selected on test" in text
    assert "ep-lr1 diverged from epoch 3 on" in text


def test_whom_a_warning_is_about_stands_behind_it(run):
    random = replace(run, name="random weights", results=replace(
        run.results, backbone=replace(run.results.backbone, random_weights=True)
    ))  # fmt: skip
    trained = replace(run, name="trained", results=replace(
        run.results, backbone=replace(run.results.backbone, random_weights=False)
    ))  # fmt: skip
    (text,) = (text for text in warnings([random, trained], []) if text.startswith("Random"))
    assert text == "Random weights: the figures judge no trained encoder (random weights)."


def test_a_tiny_test_split_and_an_absent_class_are_said(run):
    item = entry("ep", 1.0)
    part = item.saved.predictions[0]
    few = Predictions(part.probabilities[:40:2], part.targets[:40:2])  # of class 0 alone
    saved = replace(item.saved, predictions=[few], groups=np.arange(20) // 2)
    (text,) = warnings([run], [replace(item, saved=saved)])
    assert text.startswith("Tiny: 20 test images, 10 groups, 0 images of the rarest class.")


def test_missing_metadata_that_tell_the_label_are_a_leak_where_metadata_are_read(run):
    missing = entry("missingness baseline", 1.0, kind="no image read")
    (text,) = warnings([run], [entry("ep", 1.0, inputs="image+meta"), missing])
    assert text.startswith("A leak: which metadata are missing tells the label (0.")
    assert list(warnings([run], [entry("ep", 1.0), missing])) == []
    # Where metadata stand beside, what they owe to it is said, as the sentence names them.
    alone = entry(METADATA, 1.0, kind="no image read")
    (text,) = warnings([run], [entry("ep", 1.0), missing, alone])
    assert text.startswith("Metadata alone may owe a part to a leak: which metadata are missing")


def test_a_leak_of_one_of_two_data_sets_says_of_which(run):
    def of(item: Entry, run: SavedRun) -> Entry:
        return replace(item, saved=replace(item.saved, run=run.path))

    other = replace(run, path=Path("other"), results=replace(
        run.results, data=replace(run.results.data, id="csv:data/other.csv")
    ))  # fmt: skip
    missing = of(entry("missingness baseline", 1.0, kind="no image read"), other)
    reads = entry("ep", 1.0, inputs="image+meta")
    (text,) = warnings([run, other], [of(reads, other), missing])
    assert text.startswith("A leak: which metadata of csv:other.csv are missing tells the label (0")
    assert list(warnings([run, other], [of(reads, run), missing])) == []


def test_rows_of_other_images_are_named_as_not_compared(run):
    other = entry("linear", 1.0)
    other = replace(
        other, saved=replace(other.saved, image_ids=(np.arange(NUM) + 1000).astype(str))
    )
    (text,) = warnings([run], [entry("ep", 1.0), other])
    assert text.startswith("Rows are of different test images")
