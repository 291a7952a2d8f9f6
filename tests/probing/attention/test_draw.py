"""`toolkit attention` draws where a finished probe looks."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from conftest import assert_bad_input
from toolkit_probing.attention.draw import choose_head
from toolkit_probing.heads.files import read_spec, save_head

TINY = ["--backbone", "timm:test_vit?image_size=32", "--random-init", "--epochs", "1"]


@pytest.fixture
def probe_run(run_cli, image_folder, tmp_path) -> Path:
    args = ["--method", "ep,linear", "--set", "ep.num_queries=16", "--warmup-epochs", "0"]
    done = run_cli(
        "probe", *TINY, *args, "--data", f"imagefolder:{image_folder}", "--output", tmp_path / "run"
    )
    assert done.exit_code == 0, done.output
    return tmp_path / "run"


@pytest.mark.slow
def test_a_run_is_drawn_over_its_own_test_images_and_over_others(run_cli, probe_run, image_folder):
    result = run_cli("attention", "--from", probe_run, "--json")
    assert result.exit_code == 0, result.output
    drawn = json.loads(result.stdout)
    assert (drawn["num_images"], drawn["num_queries"]) == (5, 16)
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
    assert (tmp_path / "elsewhere/maps.png").exists()
    assert Path.cwd() == tmp_path / "elsewhere"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("folder", "--output folder is a folder: give a file that ends in .png"),
        ("afile", "--output afile: give a file that ends in .png"),
        ("afile/maps.png", "--output in afile cannot be made: "),
    ],
)
def test_a_picture_that_cannot_be_written_is_refused_before_it_is_drawn(
    run_cli, tmp_path, output, message
):
    (tmp_path / "folder").mkdir()
    (tmp_path / "afile").write_text("kept")
    assert_bad_input(run_cli("attention", "--from", "run", "--output", output), message)
    assert (tmp_path / "afile").read_text() == "kept"


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
    for head in (probe_run / "heads").glob("ep*"):
        head.unlink()
    assert_bad_input(run_cli(*start, probe_run), "no head of", "--method ep")


@pytest.mark.slow
def test_a_name_that_begins_several_heads_is_refused(run_cli, probe_run):
    (first,) = (probe_run / "heads").glob("ep*")
    (probe_run / "heads/ep-other.safetensors").write_bytes(first.read_bytes())
    with pytest.raises(ValueError, match=r"--head ep is one of: ep-num.*, ep-other"):
        choose_head(probe_run, "ep")
    assert choose_head(probe_run, "ep-o").stem == "ep-other"


@pytest.mark.slow
def test_eps_head_is_drawn_unless_another_is_named(probe_run):
    (first,) = (probe_run / "heads").glob("ep*")
    other = probe_run / "heads/abmilp-other.safetensors"
    spec = replace(read_spec(first), method="abmilp", options={})
    save_head(other, spec, {"x": torch.zeros(1)})
    assert choose_head(probe_run, None) == first
    assert choose_head(probe_run, "abmilp") == other
    first.unlink()
    assert choose_head(probe_run, None) == other
