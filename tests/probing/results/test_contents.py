"""results.json as a type: what is written is read back, and what is no such file is refused."""

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from conftest import assert_bad_input
from helpers.mutations import mutated, reads_or_refuses
from helpers.properties import few_examples
from helpers.saved_runs import write_results
from toolkit_common.errors import InputError
from toolkit_common.runs.files import read_json, write_json
from toolkit_probing.results.contents import diverged_heads, read_results

UNVERSIONED = Path(__file__).with_name("unversioned_rows.json")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder with the results of a run from before rows had a version."""
    shutil.copy(UNVERSIONED, tmp_path / "results.json")
    return tmp_path


def change(run: Path, spoil: Callable[[dict[str, Any]], object]) -> None:
    contents = read_json(run / "results.json")
    spoil(contents)
    write_results(run, contents)


def test_what_is_written_is_read_back_to_the_last_digit(runs, tmp_path):
    results = read_results(runs / "a")
    write_json(tmp_path / "results.json", results.to_json())
    assert read_json(tmp_path / "results.json") == read_json(runs / "a/results.json")
    assert read_results(tmp_path) == results


def test_rows_without_a_version_are_read_as_they_were_written(run):
    results, before = read_results(run), read_json(UNVERSIONED)
    assert {row.version for row in (*results.rows, *results.baselines)} == {1}
    now = json.loads(json.dumps(results.to_json()))
    for row in (*now["rows"], *now["baselines"]):
        row.pop("version")
        assert row.pop("options") == {}
        assert row.pop("seen") == ""
        assert row.pop("log_loss_of_frequencies") is None
        assert row.pop("remarks") == []
        assert row.pop("hidden_metadata") == 0.0
        assert row.pop("retrieval") is None
    for row in now["baselines"]:
        assert row.pop("training") is None
    for row in (*now["rows"], *now["baselines"]):
        assert {metric.pop("pooled") for metric in row["metrics"].values()} == {None}
    assert now["data"].pop("pixel_range") is None
    assert {now["data"].pop(name) for name in ("grouped_by", "title", "source", "doi")} == {""}
    assert [now["data"].pop(name) for name in ("num_groups", "class_counts")] == [{}, {}]
    assert now.pop("folds") == []
    assert now["backbone"].pop("name") == ""
    assert now == before


def test_what_runs_of_before_do_not_have_is_filled_in(run):
    def forget(contents: dict[str, Any]) -> None:
        for key in ("baselines", "diverged", "tuning", "inputs", "images"):
            del contents[key]
        del contents["protocol"]["unmet"]
        for row in contents["rows"]:
            for key in ("tune", "inputs", "training"):
                del row[key]
            for metric in row["metrics"].values():
                del metric["why_no_ci"], metric["resamples"]

    change(run, forget)
    results = read_results(run)
    assert (results.baselines, results.diverged, results.tuning) == ((), {}, None)
    row = results.rows[0]
    assert (row.tune, row.inputs, row.training) == ("none", "image", None)
    assert row.metrics["top1"].why_no_ci is None


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (lambda it: it["rows"][1].pop("settings"), ["rows.1.settings: ", "required"]),
        (lambda it: it["rows"][0].update(layer="six"), ["rows.0.layer: ", "integer"]),
        (lambda it: it["rows"][0].update(lr=0.1), ["rows.0.lr: ", "unexpected"]),
        (lambda it: it["rows"][0]["metrics"].update(top1=0.5), ["rows.0.metrics.top1: "]),
        (lambda it: it["data"].pop("classes"), ["data.classes: ", "required"]),
        (lambda it: it.update(held_out={}), ["held_out: ", "unexpected"]),
        (lambda it: it.update(rows={}), ["rows: ", "array"]),
    ],
)
def test_a_damaged_or_foreign_file_is_named_with_its_key(run, spoil, parts):
    change(run, spoil)
    with pytest.raises(InputError, match="run it again") as caught:
        read_results(run)
    for part in (f"{run}/results.json: ", *parts):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda it: it.update(version=2), "is of version 2, this toolkit reads up to 1"),
        (lambda it: it["rows"][1].update(version=7, new=0), "has rows of version 7, .* up to 4"),
    ],
)
def test_a_newer_version_is_refused_whatever_else_it_holds(run, spoil, message):
    change(run, spoil)
    with pytest.raises(InputError, match=f"results.json: {message}: update it"):
        read_results(run)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is damaged, no JSON"), ("[]", "is damaged: it holds no JSON object")],
)
def test_what_is_no_json_is_refused(run, text, message):
    (run / "results.json").write_text(text)
    with pytest.raises(InputError, match=f"results.json {message}.*: run it again"):
        read_results(run)


@pytest.mark.parametrize("command", [("report",), ("compare",)])
def test_a_command_says_it_in_one_line(run_cli, copied, command):
    change(copied / "a", lambda it: it["rows"][2].pop("seeds"))
    result = run_cli(*command, copied / "a")
    assert_bad_input(result, f"{copied}/a/results.json: rows.2.seeds: field required")
    (copied / "a/results.json").write_text("{")
    assert_bad_input(run_cli(*command, copied / "a"), "a/results.json is damaged, no JSON")


def write_log(path: Path, *lines: Mapping[str, Any]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_heads_without_a_figure_at_the_end_have_diverged_since_then(tmp_path):
    log = tmp_path / "metrics.jsonl"
    assert diverged_heads(tmp_path, "top1") == {}
    write_log(
        log,
        {"part": "all-draw0/pass-0", "epoch": 1, "top1": {"a": None, "b": 0.5, "c": None}},
        {"part": "all-draw0/pass-0", "epoch": 2, "top1": {"a": None, "b": 0.5, "c": 0.5}},
        {"part": "2shot-draw1/pass-0", "epoch": 2, "top1": {"b": None}},
    )
    assert diverged_heads(tmp_path, "top1") == {"a": 1, "b (2shot-draw1)": 2}


def test_lines_of_a_log_that_are_none_of_heads_are_passed_over(tmp_path):
    path = tmp_path / "metrics.jsonl"
    heads = {"part": "all-draw0", "epoch": 1, "top1": {"a": None}}
    write_log(path, {"step": 1}, heads, {**heads, "top1": 3}, {**heads, "epoch": "2"})
    path.write_bytes(b"\xff\n[]\n{\n" + path.read_bytes())
    assert diverged_heads(tmp_path, "top1") == {"a": 1}


def test_mutated_results_give_an_error_or_results(run):
    content = (run / "results.json").read_bytes()

    @few_examples
    @given(mutated(content))
    def check(changed):
        (run / "results.json").write_bytes(changed)
        results = reads_or_refuses(lambda: read_results(run))
        if results is not None:
            means = [item.mean for row in results.rows for item in row.metrics.values()]
            assert all(mean is None or math.isfinite(mean) for mean in means)

    check()
