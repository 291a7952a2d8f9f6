"""`toolkit attention` draws where a finished probe looks."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import assert_bad_input
from toolkit_probing.attention.maps import attention_maps, choose_head, find_images, spread
from toolkit_probing.attention.sheet import (
    COLOURS,
    draw_overlay,
    draw_sheet,
    group_maps,
    group_queries,
    peak_to_even,
)
from toolkit_probing.heads.files import read_spec, save_head
from toolkit_probing.heads.head import Head
from toolkit_probing.probes import EfficientProbing

TINY = ["--backbone", "timm:test_vit?image_size=32", "--random-init", "--epochs", "1"]


@pytest.fixture
def probe_run(run_cli, image_folder, tmp_path) -> Path:
    args = ["--method", "ep,linear", "--queries", "16", "--warmup-epochs", "0"]
    done = run_cli(
        "probe", *TINY, *args, "--data", f"imagefolder:{image_folder}", "--output", tmp_path / "run"
    )
    assert done.exit_code == 0, done.output
    return tmp_path / "run"


def test_a_run_is_drawn_over_its_own_test_images_and_over_others(run_cli, probe_run, image_folder):
    result = run_cli("attention", "--from", probe_run, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["num_images"], found["num_queries"]) == (5, 16)
    assert len(found["groups"]) == 16
    assert max(found["groups"]) < 8
    assert found["peak_to_even"] < 1.5
    assert "the maps are almost even" in result.stderr
    args = ["--images", image_folder, "--num-images", 3, "--output", probe_run / "other.png"]
    assert run_cli("attention", "--from", probe_run, *args).exit_code == 0
    assert height(probe_run / "other.png") < height(probe_run / "attention.png")


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("folder", "--output folder is a folder: give a file that ends in .png"),
        ("afile", "--output afile: give a file that ends in .png"),
        ("afile/maps.png", "--output in afile cannot be made: "),
    ],
)
def test_a_picture_that_cannot_be_written_is_refused_before_it_is_drawn(
    run_cli, tmp_path, output, said
):
    (tmp_path / "folder").mkdir()
    (tmp_path / "afile").write_text("kept")
    assert_bad_input(run_cli("attention", "--from", "run", "--output", output), said)
    assert (tmp_path / "afile").read_text() == "kept"


def height(path: Path) -> int:
    with Image.open(path) as image:
        return image.height


def test_bad_calls_are_named(run_cli, probe_run, tmp_path):
    start = ["attention", "--from"]
    assert_bad_input(run_cli(*start, tmp_path / "none"), "none has no results.json")
    (tmp_path / "pretrained").mkdir()
    (tmp_path / "pretrained/results.json").write_text("{}")
    no_probe = run_cli(*start, tmp_path / "pretrained")
    assert_bad_input(no_probe, "holds no heads: give the folder of a toolkit probe run")
    assert_bad_input(
        run_cli(*start, probe_run, "--images", tmp_path / "no.png"), "no image at", "no.png"
    )
    (tmp_path / "bad.png").write_bytes(b"no")
    assert_bad_input(run_cli(*start, probe_run, "--images", tmp_path / "bad.png"), "bad.png")
    assert_bad_input(run_cli(*start, probe_run, "--head", "eq"), "unknown head 'eq'")
    facts = json.loads((probe_run / "run.json").read_text())
    (probe_run / "run.json").write_text(json.dumps(facts | {"encoder": "another"}))
    assert_bad_input(run_cli(*start, probe_run), "its weights have changed")
    for head in (probe_run / "heads").glob("ep*"):
        head.unlink()
    assert_bad_input(run_cli(*start, probe_run), "no head of", "--method ep")


def test_a_name_that_begins_several_heads_is_refused(run_cli, probe_run):
    (first,) = (probe_run / "heads").glob("ep*")
    (probe_run / "heads/ep-other.safetensors").write_bytes(first.read_bytes())
    with pytest.raises(ValueError, match=r"--head ep is one of: ep-num.*, ep-other"):
        choose_head(probe_run, "ep")
    assert choose_head(probe_run, "ep-o").stem == "ep-other"


@pytest.mark.parametrize("extra", [0, 1])
def test_maps_are_on_the_grid_and_without_the_class_token(extra: int):
    torch.manual_seed(0)
    pool = EfficientProbing(8, num_queries=2)
    tokens = torch.randn(3, 6 + extra, 8)
    maps = attention_maps(Head(pool, dim=8, num_classes=2), tokens, (2, 3))
    expected = pool.attention(tokens)[..., extra:].detach().numpy()
    np.testing.assert_allclose(maps.reshape(3, 2, 6), expected, rtol=1e-5)


def test_queries_of_one_place_are_grouped_and_few_are_left_alone():
    rng = np.random.default_rng(0)
    places = rng.dirichlet(np.full(12, 0.1), size=(1, 8)).reshape(1, 8, 3, 4)
    maps = places[:, np.arange(24) % 8] + rng.uniform(0, 1e-4, (1, 24, 3, 4))
    groups = group_queries(maps)
    assert all(len(set(groups[np.arange(24) % 8 == place])) == 1 for place in range(8))
    assert len(set(groups)) == 8
    assert group_queries(maps[:, :5]).tolist() == [0, 1, 2, 3, 4]
    means = group_maps(maps, groups)
    np.testing.assert_allclose(means[:, groups[0]], maps[:, groups == groups[0]].mean(1))


def test_equal_maps_make_one_group():
    assert set(group_queries(np.full((2, 20, 2, 2), 0.25))) == {0}


def test_the_strongest_map_gives_the_colour_where_it_looks():
    maps = np.full((2, 4, 4), 0.01)
    maps[0, 0, 0] = maps[1, 3, 3] = 0.85
    pixels = np.asarray(draw_overlay(Image.new("RGB", (64, 64)), maps), dtype=float)
    for group, at in ((0, (2, 2)), (1, (61, 61))):
        gaps = np.abs(pixels[at] / pixels[at].sum() - COLOURS / COLOURS.sum(1, keepdims=True))
        assert gaps.sum(1).argmin() == group
    assert np.ptp(pixels[2, 61]) < 12  # grey elsewhere


def test_a_sheet_keeps_the_shape_of_the_images():
    maps = np.random.default_rng(0).uniform(size=(2, 3, 2, 5))
    photos = [Image.new("RGB", (100, 40))] * 2
    sheet = draw_sheet(photos, maps, groups=np.arange(3), captions=["a", "b"], title="t")
    assert sheet.width == 5 * (144 + 4) + 4
    assert sheet.height == 3 * 16 + 4 + 2 * (58 + 16 + 4)


def test_one_map_is_drawn_once_and_a_long_title_fits():
    maps = np.random.default_rng(0).uniform(size=(1, 1, 2, 2))
    photos = [Image.new("RGB", (40, 40))]
    drawn = {"groups": np.zeros(1, int), "captions": ["a"]}
    assert draw_sheet(photos, maps, title="t", **drawn).width == 2 * (144 + 4) + 4
    sheet = draw_sheet(photos, maps, title="a long title " * 8 + "end", **drawn)
    top = np.asarray(sheet.convert("L"))[:20]
    assert top[:, -4:].min() == 255  # a margin is left
    assert top[:, -30:-4].min() < 128  # behind the last letters


def test_eps_head_is_drawn_unless_another_is_named(probe_run):
    (first,) = (probe_run / "heads").glob("ep*")
    other = probe_run / "heads/abmilp-other.safetensors"
    spec = replace(read_spec(first), method="abmilp", options={})
    save_head(other, spec, {"x": torch.zeros(1)})
    assert choose_head(probe_run, None) == first
    assert choose_head(probe_run, "abmilp") == other
    first.unlink()
    assert choose_head(probe_run, None) == other


def test_peaks_are_counted_in_even_shares():
    assert peak_to_even(np.full((2, 3, 3), 1 / 9)) == pytest.approx(1)
    assert peak_to_even(np.eye(4).reshape(4, 2, 2)) == 4


def test_images_are_found_below_a_folder_and_evenly_chosen(image_folder):
    found = find_images(image_folder)
    assert len(found) == 24
    assert [item.caption for item in spread(found, 3)] == ["000", "000", "011"]
    assert spread(found[:1], 3) == found[:1]
