"""Which head of a run predicts, and on which encoder."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from conftest import assert_bad_input
from toolkit_common.errors import InputError
from toolkit_probing.predict.saved_probe import choose_probe, load_encoder

EP, ABMILP = "ep-num_queries4-layer6-all", "abmilp-layer6-all"
LINEAR, LOGREG = "linear-layer6-cls", "logreg-layer6-cls"


def change_config(run: Path, **values: object) -> None:
    """Write a run's settings anew with others."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(config | values))


@pytest.mark.slow
def test_other_splits_than_the_runs_are_refused(copied) -> None:
    splits = (copied / "splits.csv").read_text()
    (copied / "splits.csv").write_text(splits.replace(",train", ",test"))
    with pytest.raises(InputError, match=f"{copied}/splits.csv is not as the run wrote it"):
        choose_probe(copied)


@pytest.mark.slow
def test_eps_head_predicts_unless_another_is_named(finished, capfd) -> None:
    run = finished / "run"
    assert choose_probe(run).head.stem == f"{EP}-lr0p003-seed0"
    line = capfd.readouterr().err
    assert "one of 2 seeds and draws" in line
    assert f"--row takes another of: {ABMILP}, {LINEAR}, {LOGREG}" in line
    assert choose_probe(run, method="linear").row.name == LINEAR
    assert choose_probe(run, row="lin").row.name == LINEAR
    assert choose_probe(run, row=LOGREG).head.stem == f"{LOGREG}-seed0"
    assert choose_probe(run, row=f"{LINEAR}-lr0p003-seed1").head.stem.endswith("seed1")


@pytest.mark.slow
def test_a_row_without_a_head_is_refused_with_those_that_have_one(finished, copied) -> None:
    run = finished / "run"
    rest = f"rows with a head: {ABMILP}, {EP}, {LINEAR}, {LOGREG}"
    for choice in ({"row": "knn-layer6-cls"}, {"row": "knn"}, {"method": "knn"}):
        with pytest.raises(ValueError, match=rf"knn-layer6-cls .* training images.*; {rest}"):
            choose_probe(run, **choice)
    with pytest.raises(ValueError, match=f"--row l is one of: {LINEAR}, {LOGREG}"):
        choose_probe(run, row="l")
    with pytest.raises(ValueError, match=r"unknown row of .* 'pe'"):
        choose_probe(run, row="pe")
    with pytest.raises(ValueError, match=r"unknown row of .* 'dolg'"):
        choose_probe(run, method="dolg")
    shutil.rmtree(copied / "heads")
    with pytest.raises(ValueError, match="its file is gone; no row of it has a head"):
        choose_probe(copied)


def test_what_is_no_finished_run_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="none is no finished probe run"):
        choose_probe(tmp_path / "none")


@pytest.mark.slow
def test_an_encoder_that_is_gone_is_named_with_the_way_out(copied) -> None:
    change_config(copied, backbone="gone/encoder", random_init=False)
    with pytest.raises(ValueError, match=r"cannot load the encoder that .*'gone/encoder'.*--back"):
        load_encoder(choose_probe(copied))
    change_config(copied, random_init=True)
    found = load_encoder(choose_probe(copied), "timm:test_vit?image_size=32")
    assert found.export is None
    assert found.backbone.info.layers == (6,)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("crop_pct=0.5", "crop_pct 0.5, there 0.95"),
        ("mean=0.1,0.2,0.3&std=1,1,1", r"mean \[0.1, 0.2, 0.3\], there \[0.5, 0.5, 0.5\]"),
    ],
)
def test_an_encoder_that_is_fed_otherwise_now_is_refused(copied, option, message) -> None:
    other = f"timm:test_vit?image_size=32&{option}"
    says = f"test_vit.* is not fed as in {copied}: {message}; put config.yaml back"
    with pytest.raises(InputError, match=says):
        load_encoder(choose_probe(copied), other)
    change_config(copied, backbone=other)
    with pytest.raises(InputError, match=says):
        load_encoder(choose_probe(copied))


@pytest.mark.slow
def test_code_that_a_run_names_is_not_run(copied, tmp_path, monkeypatch) -> None:
    (tmp_path / "theirs.py").write_text("raise SystemExit('run')\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = copied / "config.yaml"
    config.write_text(config.read_text().replace("timm:test_vit?image_size=32", "python:theirs:x"))
    probe = choose_probe(copied)
    says = re.escape(f"{config} names Python code to run, python:theirs:x: if you trust it")
    with pytest.raises(InputError, match=says):
        load_encoder(probe)
    assert "theirs" not in sys.modules


def test_another_encoder_in_its_place_is_refused(predict, copied, new) -> None:
    facts = json.loads((copied / "run.json").read_text())
    (copied / "run.json").write_text(json.dumps(facts | {"encoder": "another"}))
    assert_bad_input(predict("--images", new, run=copied), "its weights have changed")
