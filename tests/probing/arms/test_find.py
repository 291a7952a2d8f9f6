"""A study's probes as its reader thinks of them: an arm a run, its folds joined."""

import csv
import io
import json
import re
import shutil

import pytest
import yaml

from helpers.tiny_study import InProcess
from toolkit_common.study.commands import find_command
from toolkit_common.study.file import read_study
from toolkit_common.study.grid import expand
from toolkit_common.study.run import run_cells
from toolkit_common.study.state import look_at
from toolkit_probing.arms.find import find_arms
from toolkit_probing.results.folds import join_runs
from toolkit_probing.results.saved import names_of, read_run

QUESTION = "Is the other encoder better?"
SIZE = "image_size=32"


@pytest.fixture(scope="module")
def study(runs, tmp_path_factory):
    """Two encoders, each in two folds; the table holds the second against the first."""
    folder = tmp_path_factory.mktemp("arms")
    options = {
        "data": f"csv:{runs / 'table.csv'}", "folds": 3, "method": "linear,knn", "epochs": 1,
        "random_init": True, "store": "memory", "report": False,
    }  # fmt: skip
    encoders = {
        "first": {"backbone": f"timm:test_vit?{SIZE}"},
        "second": {"backbone": f"timm:test_vit2?{SIZE}", "seed": "{fold}"},
    }
    values = {
        "name": "two", "question": QUESTION,
        "steps": {"probe": {"command": "probe", "options": options,
                            "grid": {"encoder": encoders, "fold": [0, 1]}}},
        "table": {"rows": ["encoder", "method"], "metrics": {"auroc": "AUROC"},
                  "against": {"encoder": "first"}},
    }  # fmt: skip
    (folder / "study.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    made, place = read_study(folder / "study.yaml"), folder / "runs"
    cells = expand(made, place, find_command)
    made.keep(place)
    outcome = run_cells(cells, look_at(cells), place, executor=InProcess(), jobs=1)
    assert outcome.failed == {}
    return place


@pytest.mark.slow
def test_folds_of_an_arm_are_one_run_with_the_figures_of_all_folds(folded):
    parts = [read_run(folded / f"f/fold-{fold}") for fold in range(3)]
    names = ["fold 0", "fold 1", "fold 2"]
    joined = join_runs(folded / "f", parts, folds=names, metrics=("auroc", "top1"), name="arm")
    whole = read_run(folded / "f")
    for row, other in zip(joined.results.rows, whole.results.rows, strict=True):
        assert row.metrics == {name: other.metrics[name] for name in ("auroc", "top1")}
        assert (row.name, row.settings) == (other.name, other.settings)
    assert joined.results.data == whole.results.data
    assert joined.folds == [part.path for part in parts]
    assert len(joined.test_rows) == len(whole.test_rows) == 40


@pytest.mark.slow
def test_arms_are_named_by_what_varies_and_stand_against_their_control(study):
    arms = find_arms([study], metrics=("auroc",))
    assert [run.name for run in arms.runs] == ["second", "first"]
    assert arms.contrasts == [("second", "first")]
    assert arms.missing == []
    sizes = [len(read_run(path).test_rows) for path in arms.runs[0].folds]
    assert [len(run.test_rows) for run in arms.runs] == [sum(sizes)] * 2
    assert arms.runs[0].results.data.splits.endswith("2 of 3 folds, split seed 0")


@pytest.mark.slow
def test_a_report_of_a_study_answers_its_question(run_cli, study, tmp_path):
    shown = run_cli("report", study, "--metric", "auroc", "-o", tmp_path / "page.html")
    assert shown.exit_code == 0, shown.output
    question, answer = shown.stdout.splitlines()[:2]
    assert question == QUESTION
    assert re.match("By linear probing, (second|first) (and|beats) (second|first)", answer)
    page = (tmp_path / "page.html").read_text()
    assert f"<h1>{QUESTION}</h1>" in page
    assert "<h2>Tables of the study</h2>" in page
    assert "encoder=first,fold=0" not in page.partition('id="provenance"')[0]


@pytest.mark.slow
def test_a_leaderboard_of_a_study_is_over_its_folds(run_cli, study, tmp_path):
    page = tmp_path / "page.html"
    shown = run_cli("report", study, "--leaderboard", "--json", "-o", page)
    assert shown.exit_code == 0, shown.output
    (board,) = json.loads(shown.stdout)["boards"]
    assert {row["encoder"] for row in board["rows"]} == {"first", "second"}
    assert "each tested once in 2 folds" in board["facts"]
    assert "untrained" in page.read_text()


@pytest.mark.slow
def test_arms_of_two_studies_are_named_by_arm_and_study_not_by_a_fold(study, tmp_path):
    shutil.copytree(study, tmp_path / "other")
    arms = find_arms([study, tmp_path / "other"], metrics=())
    assert names_of(arms.runs) == [
        f"{place} \u00b7 {arm}" for place in ("runs", "other") for arm in ("second", "first")
    ]
    # A folder of cells is no study: its runs are called as any runs are, beside arms too.
    arms = find_arms([study, tmp_path / "other/probe"], metrics=())
    assert names_of(arms.runs)[0] == "runs \u00b7 second"
    assert names_of(arms.runs)[2] == "encoder=first,fold=0"


@pytest.mark.slow
def test_a_cell_that_is_not_done_is_missing_and_the_rest_stand_alone(study, tmp_path):
    copy = tmp_path / "runs"
    shutil.copytree(study, copy)
    (copy / "probe/encoder=first,fold=1/DONE").unlink()
    arms = find_arms([copy], metrics=())
    assert [run.name for run in arms.runs] == ["second", "first \u00b7 fold 0"]
    (line,) = arms.missing
    assert line.startswith("MISSING: 1 of 4 cells of runs: probe/encoder=first,fold=1 (")


@pytest.mark.slow
def test_a_damaged_cell_is_missing_where_tables_are_pasted(run_cli, study, tmp_path):
    copy = tmp_path / "runs"
    shutil.copytree(study, copy)
    (copy / "probe/encoder=first,fold=1/results.json").write_text('{"rows": [')
    line = "MISSING: 1 of 4 cells of runs: probe/encoder=first,fold=1 (damaged)"
    assert find_arms([copy], metrics=()).missing == [line]
    for form in ([], ["--leaderboard"]):
        shown = run_cli("report", copy, "--metric", "auroc", "--format", "md", *form)
        assert shown.exit_code == 0, shown.output
        assert "MISSING: 1 of 4 cells" in shown.stdout


@pytest.mark.slow
def test_a_csv_calls_an_arm_by_its_name_and_not_by_its_first_fold(run_cli, study):
    text = run_cli("report", study, "--metric", "top1", "--format", "csv").stdout
    names = [row["run"] for row in csv.DictReader(io.StringIO(text))]
    assert names
    assert not [name for name in names if "fold=" in name]
