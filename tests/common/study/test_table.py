"""Figures over folds, differences fold by fold, and nothing averaged over without a word."""

import re
import shutil
from pathlib import Path

import pytest

from helpers.tiny_study import STUDY, study_of, table_of
from toolkit_common.errors import InputError
from toolkit_common.runs.files import read_json, write_json
from toolkit_common.study.commands import find_command
from toolkit_common.study.file import Study
from toolkit_common.study.grid import Cell, expand
from toolkit_common.study.table import check_table, pick_tables

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def done(runs) -> None:
    runs()


def cells_of(study: Study) -> list[Cell]:
    return expand(study, Path("runs"), find_command)


def test_a_cell_that_is_missing_is_not_averaged_over():
    Path("runs/judge/encoder=poor,fold=1/DONE").unlink()
    table = table_of()
    assert table.missing == {"judge/encoder=poor,fold=1": "to resume"}
    assert table.groups["poor", "ep"].missing == 1
    assert table.figures[("good", "ep"), "auroc"].gap.units == 2
    assert table.groups["good", "ep"].missing == 0


def test_before_anything_ran_all_is_missing():
    shutil.rmtree("runs")
    table = table_of()
    assert list(table.groups) == [("good", "?"), ("poor", "?")]
    assert len(table.missing) == 6
    assert {figure.mean for figure in table.figures.values()} == {None}


def test_columns_and_choices():
    text = STUDY.replace(
        "rows: [encoder, method]", "rows: encoder\n  columns: method\n  where: {method: linear}"
    )
    table = table_of(text)
    assert list(table.groups) == [("good", "linear"), ("poor", "linear")]
    assert table.figures[("good", "linear"), "auroc"].gap.mean == pytest.approx(0.15)


def test_a_choice_that_no_result_has_is_said():
    text = STUDY.replace("metrics: auroc", "metrics: auroc\n  where: {labels: 100 % of labels}")
    table = table_of(text)
    assert table.groups == {}
    assert [*map(str, table.remarks)] == [
        "NO RESULT has labels 100 % of labels: there are all labels"
    ]


def test_equal_values_stand_together_though_steps_came_apart():
    for path in Path("runs/judge").glob("encoder=*,fold=*/results.json"):
        results = read_json(path)
        few = [{**row, "labels": "10 % of labels"} for row in results["rows"]]
        write_json(path, {**results, "rows": [*few, *results["rows"]]})
    keys = list(table_of(STUDY.replace("[encoder, method]", "[encoder, method, labels]")).groups)
    assert keys == [(encoder, method, labels) for encoder in ("good", "poor") for method in (
        "ep", "linear") for labels in ("10 % of labels", "all labels")]  # fmt: skip


def test_results_without_rows_stand_beside():
    text = STUDY.replace("metrics: auroc", "metrics: {auroc: AUROC, held_out.loss: loss}\n"
                         "  steps: [judge, train]")  # fmt: skip
    table = table_of(text)
    assert table.figures[("good", "-"), "held_out.loss"].mean == pytest.approx(0.4)
    assert table.figures[("good", "ep"), "held_out.loss"].mean is None


def test_baselines_stand_once_under_the_name_that_the_table_gives():
    text = STUDY.replace("against:", "baselines: {encoder: none}\n  against:")
    table = table_of(text)
    assert table.figures[("none", "metadata baseline"), "auroc"].mean == pytest.approx(0.7)
    path = Path("runs/judge/encoder=poor,fold=1/results.json")
    results = read_json(path)
    results["baselines"][0]["metrics"]["auroc"]["mean"] = 0.8
    write_json(path, results)
    with pytest.raises(InputError, match="two results stand in one place, none metadata baseline"):
        table_of(text)


def test_two_results_in_one_place_are_refused():
    text = STUDY.replace("rows: [encoder, method]", "rows: encoder")
    problem = (
        "toy.yaml, line 17: table: two results stand in one place, good: of judge/encoder=good,"
        "fold=0 and judge/encoder=good,fold=0; they differ in method: name it in rows"
    )
    with pytest.raises(InputError, match=re.escape(problem)):
        table_of(text)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[encoder, method]", "[encodr, method]", "'encodr' is no axis of its steps; did you mean"),
        ("[encoder, method]", "[method]", "'encoder' is neither in rows nor in columns"),
        ("[encoder, method]\n  metrics: auroc\n  against: {encoder: poor}",
         "method\n  metrics: auroc", "axis 'encoder' has 2 values: name it in rows, columns, over"),
        ("metrics: auroc", "metrics: auroc\n  over: [foold]", "'foold' is no axis"),
        ("metrics: auroc", "metrics: auroc\n  over: [encoder]", "'encoder' is in rows or columns"),
        ("metrics: auroc", "metrics: auroc\n  steps: juge", "there is no step 'juge'"),
        ("metrics: auroc", "metrics: auroc\n  where: {fod: 1}", "table.where: 'fod' is no axis"),
        ("metrics: auroc", "metrics: auroc\n  counts: flop", "'flop' is no count of a row"),
        ("metrics: auroc", "metrics: auroc\n  front: encoder", "table.front: a front is of a fig"),
        ("metrics: auroc", "metrics: auroc\n  counts: flops\n  front: fold",
         "table.front: 'fold' is neither in rows nor in columns"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_is_refused_before_anything_runs(old, new, problem):
    assert old in STUDY
    with pytest.raises(InputError, match=re.escape(problem)):
        table_of(STUDY.replace(old, new))


def test_a_metric_that_no_result_has_is_said():
    table = table_of(STUDY.replace("metrics: auroc", "metrics: [auroc, top2]"))
    assert [*map(str, table.remarks)] == ["NO RESULT has top2; choose from: auroc"]


SEVERAL = STUDY.replace("table:\n", "tables:\n  one:\n").replace("\n  rows", "\n    rows").replace(
    "\n  metrics", "\n    metrics").replace("\n  against", "\n    against")  # fmt: skip
ELSEWHERE = """\
  judge-elsewhere:
    command: toy judge
    grid: {encoder: "{others}"}
    options: {backbone: "{encoder}"}
"""


def test_a_table_is_picked_by_name():
    study = study_of(SEVERAL)
    cells = cells_of(study)
    assert [*pick_tables(study, None, cells)] == [*pick_tables(study, "one", cells)] == ["one"]
    with pytest.raises(InputError, match="there is no table 'two'"):
        list(pick_tables(study, "two", cells))


def test_a_table_whose_steps_a_parameter_leaves_out_is_left_out_too():
    text = SEVERAL.replace("parameters:\n", "parameters:\n  others: {}\n").replace(
        "tables:\n", f"{ELSEWHERE}tables:\n") + (
        "  two: {steps: judge-elsewhere, rows: [encoder, method], metrics: auroc}\n")  # fmt: skip
    study = study_of(text)
    cells = cells_of(study)
    for name in study.tables:
        check_table(study, name, cells)
    assert list(pick_tables(study, None, cells)) == ["one"]
