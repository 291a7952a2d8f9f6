"""`toolkit attention --stats`, from the command line."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import assert_bad_input
from toolkit_probing.attention import statistics
from toolkit_probing.attention.judged import open_judged
from toolkit_probing.attention.measure import measure_attention
from toolkit_probing.heads.files import load_head


@pytest.fixture
def masks(mapped, tmp_path):
    """Masks of the left half for all images but the first of the run."""
    folder, values = tmp_path / "masks", np.zeros((32, 40), np.uint8)
    values[:, :20] = 255
    folder.mkdir()
    for file in sorted((mapped.parent / "pictures").iterdir())[1:]:
        Image.fromarray(values).save(folder / f"{file.stem}_mask.png")
    return folder


@pytest.mark.slow
def test_every_method_is_measured_on_the_runs_own_test_images(run_cli, mapped, masks, tmp_path):
    options = ["--stats", "--masks", masks, "--output", tmp_path / "counted.csv", "--json"]
    result = run_cli("attention", "--from", mapped, *options)
    assert result.exit_code == 0, result.output
    counted = json.loads(result.stdout)
    assert [head["name"] for head in counted["heads"]] == ["ep", "esimpool"]
    assert counted["grid"] == [2, 2]
    assert counted["num_groups"] < counted["num_images"] == counted["num_masks"] == 12
    ep = counted["heads"][0]["statistics"]
    assert [*ep] == [*statistics.OF_MAPS, *statistics.OF_MASKS]
    assert ep["area"]["mean"] == pytest.approx(0.5, abs=0.05)  # a pixel of resizing
    low, high = ep["inside"]["ci"]
    assert low <= ep["inside"]["mean"] <= high
    assert "ep: almost even (strongest patch 1.0" in result.stderr
    rows = list(csv.DictReader((tmp_path / "counted.csv").read_text().splitlines()))
    assert len(rows) == 2 * len(ep)
    assert float(rows[0]["mean"]) == ep["entropy"]["mean"]


@pytest.mark.slow
def test_figures_are_those_of_the_maps_of_every_test_image(mapped):
    measured = measure_attention(mapped, head="ep").heads[0]
    with open_judged(mapped) as judged:
        (file,) = (mapped / "heads").glob("ep-*")
        backbone, source = judged.encoded(file)
        features = judged.features(source, np.arange(12))[backbone.info.layers[-1]]
        _, head = load_head(file, features)
        with torch.no_grad():
            a = head.pool.attention(features.patches.float()).double()
    a = a / a.sum(-1, keepdim=True)
    entropy = -(a * a.log()).sum(-1).mean() / np.log(4)
    assert measured.statistics["entropy"].mean == pytest.approx(entropy.item(), rel=1e-9)
    assert measured.num_queries == 16


@pytest.mark.slow
def test_other_images_and_fewer_are_measured(run_cli, mapped, masks):
    folder = mapped.parent / "pictures"
    options = ["--stats", "--images", folder, "--masks", masks, "--num-images", 5, "--json"]
    counted = json.loads(run_cli("attention", "--from", mapped, *options).stdout)
    assert counted["num_images"] == counted["num_groups"] == 5
    assert counted["num_masks"] == 4  # the first image has none


@pytest.mark.slow
def test_what_cannot_be_measured_is_refused(run_cli, mapped, tmp_path):
    start = ["attention", "--from", mapped]
    assert_bad_input(run_cli(*start, "--masks", tmp_path), "--masks is what --stats holds maps")
    gone = run_cli(*start, "--stats", "--masks", tmp_path / "gone")
    assert_bad_input(gone, "no folder of masks at")
    wrong = run_cli(*start, "--stats", "--output", tmp_path / "a.png")
    assert_bad_input(wrong, "a.png: give a file that ends in .csv or .json")
    assert_bad_input(run_cli(*start, "--num-images", 201), "--num-images: at most 200 are drawn")
