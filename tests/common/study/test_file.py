"""A study file is read strictly: every name that means nothing is found, with its place."""

import re
from pathlib import Path

import pytest
import yaml

from helpers.tiny_study import STUDY, study_of
from toolkit_common.errors import InputError
from toolkit_common.study.file import fill_in, read_study, written


def test_a_file_says_its_steps_and_tables():
    study = study_of()
    assert study.spec.steps["judge"].needs == ("train",)
    assert study.parameters == {"judged": [0, 1, 2]}
    assert study.tables[""].metrics == {"auroc": "auroc"}
    assert study.tables[""].over == ("fold", "split_seed", "seed")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("judged=[0]", [0]),
        ("judged=1", 1),
        ("judged=a=b", "a=b"),
        ("judged=", ""),
        ("judged={a b: 1, c: {d: [e]}}", {"a b": 1, "c": {"d": ["e"]}}),
    ],
)
def test_a_parameter_is_given_on_the_command_line(text, value):
    assert study_of(STUDY, text).parameters["judged"] == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("judges=[0]", "no parameter 'judges'; did you mean 'judged'"),
        ("judged", "--set wants NAME=VALUE, got 'judged'"),
        ("judged={a: [1]}", "a parameter is a value, a list of values, or names with what they"),
        ("judged=[[1]]", "a parameter is a value, a list of values, or names with what they"),
        ("judged=*x", "--set judged, line 1: anchors"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(text, problem):
    with pytest.raises(InputError, match=re.escape(problem)):
        study_of(STUDY, text)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("command: toy train", "comand: toy train",
         "line 7: steps.train.comand: unknown key; did you mean 'command'"),
        ("question:", "questio:", "line 2: questio: unknown key; did you mean 'question'"),
        ("metrics: auroc", "metric: auroc", "line 19: table.metric: unknown key; did you mean"),
        ("name: toy\n", "", "name is missing"),
        ("name: toy", "name: a/b", "line 1: name: letters, digits, - _ and . alone, got 'a/b'"),
        ("name: toy", "name: 3", "line 1: name: input should be a valid string, got 3"),
        ("rows: [encoder, method]", "rows: [[a]]", "line 18: table.rows"),
        ("judged: [0", "fold: [0", "steps.train.grid.fold: 'fold' is a parameter already"),
        ("  judged: [0, 1, 2]", "  judged: [0]\n  judge: 1", "'judge' is a parameter already"),
        ("needs: train", "needs: train\n    output: a/b", "steps.judge.output: a file's bare name"),
        ("      fold:", "      a b:", "a name has letters, digits, - _ and . alone, got 'a b'"),
        ("table:", "tables: {x: {rows: a, metrics: b}}\ntable:", "give table, or tables"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused_with_its_place(old, new, problem):
    assert old in STUDY
    with pytest.raises(InputError, match=re.escape(problem)) as caught:
        study_of(STUDY.replace(old, new, 1))
    assert "\n" not in str(caught.value)


def test_placeholders_are_filled_in():
    known = {"a": [1, 2], "b": True, "c": None, "d": 1e-3}
    assert fill_in("{a}", known) == [1, 2]
    assert fill_in("x{a}-{b}-{c}-{d}", known) == "x1,2-true-none-0.001"
    assert fill_in(["{b}", 3, "q"], known) == [True, 3, "q"]
    with pytest.raises(InputError, match=r"\{e\} is nothing that is known here"):
        fill_in("{e}", known)
    assert written([1, "a", False]) == "1,a,false"
    assert written({"a": 1, "b": {"c": [2, 3]}}) == "a: 1, b: c: 2,3"


@pytest.mark.parametrize(
    ("value", "metrics"),
    [
        ("auroc", {"auroc": "auroc"}),
        ("[auroc, top1]", {"auroc": "auroc", "top1": "top1"}),
        ("{auroc: AUROC}", {"auroc": "AUROC"}),
    ],
)
def test_a_parameter_may_say_the_metrics_of_a_table(value, metrics):
    text = STUDY.replace("metrics: auroc", 'metrics: "{shown}"')
    text = text.replace("parameters:", "parameters:\n  shown: log_loss")
    assert study_of(text).tables[""].metrics == {"log_loss": "log_loss"}
    assert study_of(text, f"shown={value}").tables[""].metrics == metrics


@pytest.mark.parametrize(
    ("value", "problem"),
    [("1", "table.metrics: {shown}: a name, names, or name: heading"),
     ("{a: {b: c}}", "table.metrics: {shown}: a name, names, or name: heading")],
)  # fmt: skip
def test_a_parameter_that_is_no_metrics_is_refused(value, problem):
    text = STUDY.replace("metrics: auroc", 'metrics: "{shown}"')
    with pytest.raises(InputError, match=re.escape(problem)):
        study_of(text.replace("parameters:", "parameters:\n  shown: x"), f"shown={value}")
    with pytest.raises(InputError, match=r"\{shown\} is nothing that is known here"):
        study_of(text)


def test_the_folder_of_its_runs_holds_the_file_as_it_was_carried_out():
    study = study_of(STUDY, "judged=[0]")
    Path("runs").mkdir()
    study.keep(Path("runs"))
    assert yaml.safe_load(Path("runs/study.yaml").read_text())["parameters"] == {"judged": [0]}
    again = read_study(Path("runs"))
    assert (again.spec.steps, again.parameters) == (study.spec.steps, {"judged": [0]})
    study_of(STUDY, "judged=['1e5', 1e5]").keep(Path("runs"))
    assert read_study(Path("runs")).parameters == {"judged": ["1e5", 1e5]}
    Path("empty").mkdir()
    with pytest.raises(InputError, match=r"no file at empty/study\.yaml"):
        read_study(Path("empty"))
