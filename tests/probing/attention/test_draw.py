"""`toolkit attention` draws where a finished probe looks."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from conftest import assert_bad_input
from toolkit_probing.attention.draw import draw_attention
from toolkit_probing.attention.sheet import Caption, draw_sheet
from toolkit_probing.results.saved import choose_row, read_run

TINY = ["--backbone", "timm:test_vit?image_size=32", "--random-init", "--epochs", "1"]


@pytest.mark.slow
def test_a_run_is_drawn_over_its_own_test_images_and_over_others(run_cli, probe_run, image_folder):
    result = run_cli("attention", "--from", probe_run, "--json")
    assert result.exit_code == 0, result.output
    drawn = json.loads(result.stdout)
    assert (drawn["num_images"], drawn["num_queries"]) == (12, 16)
    assert len(drawn["groups"]) == 16
    assert max(drawn["groups"]) < 8
    assert drawn["peak_to_even"] < 1.5
    assert "the maps are almost even" in result.stderr
    args = ["--images", image_folder, "--num-images", 3, "--output", probe_run / "other.png"]
    assert run_cli("attention", "--from", probe_run, *args).exit_code == 0
    assert height(probe_run / "other.png") < height(probe_run / "attention.png")


@pytest.mark.slow
def test_a_run_over_a_relative_path_is_drawn_from_any_folder(
    run_cli, image_folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(image_folder.parent)
    args = ["--method", "ep", "--set", "ep.num_queries=4", "--output", tmp_path / "run"]
    done = run_cli("probe", *TINY, *args, "--data", f"imagefolder:{image_folder.name}")
    assert done.exit_code == 0, done.output
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    result = run_cli("attention", "--from", "../run", "--output", "maps.png")
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith(": maps.png\n")
    assert result.stderr.endswith("next: toolkit attention --from ../run --stats\n")
    assert (tmp_path / "elsewhere/maps.png").exists()
    assert Path.cwd() == tmp_path / "elsewhere"


def height(path: Path) -> int:
    with Image.open(path) as image:
        return image.height


@pytest.mark.slow
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
    for head in [*(probe_run / "heads").glob("e*")]:
        head.unlink()
    assert_bad_input(run_cli(*start, probe_run), "no head of", "--method ep")


@pytest.mark.slow
def test_truth_and_prediction_stand_beside_each_image(probe_run, image_folder, monkeypatch):
    kept: list[Caption] = []

    def keep(photos, maps, **how):
        kept.extend(how["captions"])
        return draw_sheet(photos, maps, **how)

    monkeypatch.setattr("toolkit_probing.attention.draw.draw_sheet", keep)
    options = {"head": None, "output": probe_run / "a.png", "num_images": None}
    draw_attention(probe_run, images=None, **options)
    run = read_run(probe_run)
    saved = choose_row(run, "ep")
    rows = zip(saved.predictions[0].targets, saved.predictions[0].probabilities, strict=True)
    expected = {
        (f"truth: {'ab'[target]}", f"predicted: {'ab'[row.argmax()]} {row.max():.2f}")
        for target, row in rows
    }
    assert {caption.lines[:2] for caption in kept} == expected
    assert [item.is_wrong for item in kept] == [
        item.lines[0][-1] != item.lines[1].split()[1] for item in kept
    ]
    kept.clear()
    draw_attention(probe_run, images=image_folder, **options)
    assert kept[0].lines[0] == "000"  # nobody knows its class
    assert re.fullmatch(r"predicted: [ab] [01]\.\d\d", kept[0].lines[1])
    assert not any(item.is_wrong for item in kept)
