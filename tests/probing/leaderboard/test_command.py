"""`toolkit report --leaderboard` from run folders and studies, into files and onto stdout."""

import json
import shutil

import pytest
import yaml

from conftest import assert_bad_input
from helpers.repository import ROOT
from helpers.tiny_study import InProcess
from toolkit_common.study.commands import find_command
from toolkit_common.study.file import read_study
from toolkit_common.study.grid import expand
from toolkit_common.study.run import run_cells
from toolkit_common.study.state import look_at
from toolkit_probing.leaderboard.block import BEGIN, END

ENCODERS = ["timm:test_vit?image_size=32", "timm:test_vit2?image_size=32"]


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The study of the repository, carried out for one of two small untrained encoders."""
    monkeypatch.chdir(tmp_path)
    values = yaml.safe_load((ROOT / "studies/leaderboard.yaml").read_text())
    values["parameters"]["encoders"] = ENCODERS
    values["steps"]["probe"]["options"] |= {"random_init": True, "epochs": 1}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    study = read_study(tmp_path / "study.yaml")
    cells = expand(study, tmp_path / "runs", find_command)
    study.keep(tmp_path / "runs")
    outcome = run_cells(cells[:1], look_at(cells), tmp_path / "runs", executor=InProcess(), jobs=1)
    assert outcome.failed == {}
    return tmp_path / "runs"


@pytest.mark.slow
def test_a_study_is_ranked_and_kept_in_a_file(run_cli, study, tmp_path):
    shown = run_cli("report", study, "--leaderboard")
    assert shown.exit_code == 0, shown.output
    assert "lesions (diagnosis)" in shown.stdout
    assert "MISSING: 1 of 2 cells of runs: probe/backbone=timm-test_vit2" in shown.stdout
    assert "RANDOM WEIGHTS" in shown.stdout
    page = tmp_path / "README.md"
    page.write_text(f"# A\n{BEGIN}\n{END}\nend\n")
    words = ["report", study, "--leaderboard", "--into", page]
    stale = run_cli(*words, "--check")
    assert stale.exit_code == 1
    assert "line 3: the leaderboard is out of date" in stale.stderr
    assert page.read_text() == f"# A\n{BEGIN}\n{END}\nend\n"
    assert run_cli(*words).exit_code == 0
    assert "**MISSING: 1 of 2 cells" in page.read_text()
    assert run_cli(*words, "--check").exit_code == 0
    # What is measured since makes it stale.
    shutil.copytree(next((study / "probe").iterdir()), tmp_path / "runs/more")
    assert run_cli(*words, "--check").exit_code == 1


@pytest.mark.slow
def test_runs_of_two_protocols_stand_in_two_tables(run_cli, runs):
    result = run_cli("report", runs, "--leaderboard", "--metric", "top1", "--json")
    boards = json.loads(result.stdout)["boards"]
    # `b` picked on the test split, `a` on validation.
    assert len(boards) == 2
    assert {board["metric"] for board in boards} == {"top1"}
    for form, begin in (("md", "### "), ("latex", r"\begin{table}"), ("csv", "board,facts")):
        shown = run_cli("report", runs, "--leaderboard", "--format", form).stdout
        assert shown.startswith(begin)


def test_what_a_leaderboard_does_not_have_is_refused(run_cli, tmp_path):
    result = run_cli("report", tmp_path, "--leaderboard", "--output", tmp_path / "a.txt")
    assert_bad_input(result, ".html")
    result = run_cli("report", tmp_path, "--leaderboard", "--into", tmp_path / "a.md")
    assert_bad_input(result, "no such file")
    assert_bad_input(run_cli("report", tmp_path, "--leaderboard"), "no finished probe run")
