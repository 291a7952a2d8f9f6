"""The ablation benchmark: conditions, folds, and a whole small comparison with its report."""

import argparse
import math
import re
import sys

import numpy as np
import pytest
from PIL import Image

import slimp_ablation
from lib import ablation_report
from toolkit_common.runs.files import read_json


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("timm:a?image_size=64&weights=b/c.pth", "timm:a?image_size=64"),
        ("timm:a?weights=b/c.pth&image_size=64", "timm:a?image_size=64"),
        ("timm:a?weights=b/c.pth", "timm:a"),
        ("timm:a", "timm:a"),
    ],
)
def test_the_untrained_twin_has_no_weights(given, left):
    assert slimp_ablation.without_weights(given) == left


def test_an_unknown_condition_is_refused():
    with pytest.raises(argparse.ArgumentTypeError, match="'flatt' is none of slimp, flat"):
        slimp_ablation.names("slimp,flatt")


@pytest.fixture
def data_id(tmp_path) -> str:
    """24 patients with two lesions; the label is in the brightness, noisily in the metadata."""
    rng = np.random.default_rng(0)
    lines = ["image,label,group,size_mm,age"]
    for number in range(48):
        is_dark = number // 2 % 2
        level = 60 + 120 * is_dark
        pixels = rng.normal(level, 40, (32, 32, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        size = rng.normal(3 + is_dark, 1)
        lines.append(f"{number}.png,{'ab'[is_dark]},p{number // 2},{size:.2f},{30 + number // 2}")
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return f"csv:{tmp_path / 'table.csv'}"


@pytest.mark.slow
def test_a_small_comparison_from_end_to_end(data_id, tmp_path, monkeypatch):
    conditions = ["slimp", "random-init", "metadata-only"]
    words = ["--data", data_id, "--label", "label", "--folds", "4", "--most", "3",
             "--epochs", "1", "--only", ",".join(conditions), "--processes", "1",
             "--backbone", "timm:test_vit?image_size=32",
             "--set", "random_init=true", "--set", "metadata_dim=8", "--set", "embed_dim=8",
             "--output", "out", "--runs", "runs"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["bench", *words])
    slimp_ablation.main()
    actual = read_json(tmp_path / "out/slimp-ablation.json")
    rows = {row["condition"]: row for row in actual["rows"]}
    assert list(rows) == conditions
    assert rows["slimp"]["AUROC"].startswith("1.000")
    assert 0 < float(rows["metadata-only"]["AUROC"].split()[0]) < 1  # of the table's own columns
    assert rows["slimp"]["AUROC, image+meta"] is not None
    assert rows["random-init"]["AUROC, image+meta"] is None
    assert rows["random-init"]["CPU min a fold"] is None
    assert (tmp_path / "out/slimp-ablation.png").exists()
    text = (tmp_path / "out/slimp-ablation.md").read_text()
    assert "36 images of 18 patients; label 'label'; 3 of 4 folds" in text
    assert str(tmp_path) not in text
    for fold in range(3):
        splits = [
            tmp_path / f"runs/slimp/fold-{fold}" / name / "splits.csv"
            for name in ("pretrain", "probe")
        ]
        assert splits[0].read_text() == splits[1].read_text()


@pytest.mark.slow
def test_the_image_term_alone_is_not_judged_with_untrained_metadata_encoders(data_id, tmp_path):
    more = ("random_init=true", "metadata_dim=8", "embed_dim=8")
    plan = ablation_report.Plan(data_id, "label", "timm:test_vit?image_size=32", 1, 3, more,
                                tmp_path, False)  # fmt: skip
    actual = slimp_ablation.judge(plan, "simclr", 0)
    assert actual.keys() == {
        "recall", "recall_chance", "cpu_minutes", "auroc", "balanced_accuracy", "knn_auroc"
    }  # fmt: skip
    assert math.isnan(actual["recall"])


def test_the_cost_of_a_run_that_is_taken_up_is_that_of_its_first_time(tmp_path):
    assert slimp_ablation.keep_first(tmp_path / "cost.json", 2.5) == 2.5
    assert slimp_ablation.keep_first(tmp_path / "cost.json", 0.1) == 2.5


def test_a_run_that_fails_ends_the_comparison_with_its_log(data_id, tmp_path, monkeypatch, capsys):
    words = ["--data", data_id, "--label", "none", "--backbone", "timm:test_vit?image_size=32",
             "--processes", "1", "--only", "random-init"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["bench", *words])
    with pytest.raises(SystemExit) as stopped:
        slimp_ablation.main()
    assert stopped.value.code == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert re.match(r"error: .*'none'.* \(see runs.*fold-0/log.txt\)", message)
    assert "'none'" in (tmp_path / "runs/slimp-ablation/random-init/fold-0/log.txt").read_text()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--data", "nope"], "'nope'"),
        (["--folds", "2"], "--folds must be at least 3"),
        (["--most", "1"], "--most must be 2 to 5"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(words, part, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench", "--backbone", "timm:test_vit", *words])
    with pytest.raises(SystemExit) as stopped:
        slimp_ablation.main()
    assert stopped.value.code == 2
    assert part in capsys.readouterr().err.splitlines()[-1]


def test_without_patient_columns_nothing_needs_them(data_id, tmp_path, capsys):
    plan = ablation_report.Plan(data_id, "label", "timm:test_vit", 1, 3, (), tmp_path, False)
    conditions = ("slimp", "patient-only", "attention", "simclr")
    assert slimp_ablation.possible(plan, conditions) == conditions
    table = tmp_path / "table.csv"
    rows = [line.rpartition(",")[0] for line in table.read_text().splitlines()]
    table.write_text("\n".join(rows) + "\n")
    assert slimp_ablation.possible(plan, conditions) == ("slimp", "simclr")
    assert "without patient-only, attention" in capsys.readouterr().err
