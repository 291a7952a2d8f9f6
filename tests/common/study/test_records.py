"""Results are read by the documented format: rows, baselines, or all numbers of what has none."""

import errno
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.tiny_study import STUDY, study_of
from toolkit_common.errors import InputError
from toolkit_common.runs.files import read_json, sha256_of, write_json
from toolkit_common.runs.manifest import write_manifest
from toolkit_common.study import records
from toolkit_common.study.commands import Command, find_command
from toolkit_common.study.grid import Cell, expand
from toolkit_common.study.records import read_records

pytestmark = pytest.mark.slow


@pytest.fixture
def pair(runs) -> tuple[Cell, Cell]:
    """A cell that trained, and one that judged."""
    runs()
    text = STUDY.replace("[0, 1, 2]", "[1]")
    cells = expand(study_of(text), Path("runs"), find_command)
    return cells[0], cells[2]


def test_rows_have_their_axes_and_fields(pair):
    ep, linear, baseline = read_records(pair[1])
    assert ep.fields == {
        "method": "ep", "labels": "all labels", "inputs": "image", "hidden_metadata": "0 %",
        "name": "ep",
        "encoder": "good", "fold": 1,
    }  # fmt: skip
    assert ep.metrics["auroc"] == pytest.approx(0.85)
    assert ep.intervals["auroc"] == pytest.approx((0.75, 0.95))
    assert (ep.selected, ep.marks, ep.test_to_train) == ("selected on val", (), 20 / 60)
    assert linear.fields["method"] == "linear"
    assert (baseline.is_baseline, baseline.selected) == (True, "fitted on train")


def test_a_result_without_rows_is_all_its_numbers(pair):
    (record,) = read_records(pair[0])
    assert record.metrics == {"version": 1.0, "held_out.loss": 0.4}


def test_retrieval_counts_among_a_rows_metrics_and_hidden_metadata_among_its_fields(pair):
    path = pair[1].place / "results.json"
    results = read_json(path)
    found = {"num_queries": 9, "metrics": {"precision_at_5": {"mean": 0.5, "ci": [0.4, 0.6]}}}
    results["rows"][0] |= {"retrieval": found, "hidden_metadata": 0.125}
    results["rows"][1] |= {"retrieval": None, "hidden_metadata": 0.0}
    write_json(path, results)
    ep, linear, _ = read_records(pair[1])
    assert (ep.metrics["precision_at_5"], ep.intervals["precision_at_5"]) == (0.5, (0.4, 0.6))
    assert "precision_at_5" not in linear.metrics
    fields = [item.fields["hidden_metadata"] for item in (ep, linear)]
    assert fields == ["12.5 %", "0 %"]


def test_what_must_be_said_of_a_figure_is_kept(pair):
    path = pair[1].place / "results.json"
    results = read_json(path)
    results["backbone"]["random_weights"] = True
    results["rows"][0] |= {"seen": "seen", "remarks": ["k 50 is the highest"]}
    write_json(path, results)
    ep, linear, baseline = read_records(pair[1])
    assert (ep.marks, ep.remarks) == (("SEEN", "RANDOM WEIGHTS"), ("k 50 is the highest",))
    assert (linear.marks, baseline.marks) == (("RANDOM WEIGHTS",), ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "{path} is damaged, no JSON: it is empty: run it again"),
        ("{", "{path} is damaged, no JSON: "),
        ("[]", "{path} is damaged: it holds no JSON object: run it again"),
        ('{"rows": [{}]}', "cannot read {path} (its figures: rows.0.metrics: field required)"),
        ('{"rows": [1]}', "cannot read {path} (its figures: rows.0: "),
    ],
)
def test_a_damaged_result_is_named(pair, text, message):
    path = pair[1].place / "results.json"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(message.format(path=path))):
        list(read_records(pair[1]))


def test_figures_that_are_none_are_refused_by_the_field(pair):
    path = pair[1].place / "results.json"
    results = read_json(path)
    results["rows"][0]["metrics"]["auroc"]["mean"] = "high"
    write_json(path, results)
    place = "its figures: rows.0.metrics.auroc.mean: input should be a valid number, got 'high'"
    with pytest.raises(InputError, match=re.escape(f"cannot read {path} ({place})")):
        list(read_records(pair[1]))


def test_a_figure_that_another_has_changed_is_refused(pair):
    place = pair[1].place
    write_manifest(place, {"results.json": sha256_of(place / "results.json")})
    assert len(list(read_records(pair[1]))) == 3
    results = read_json(place / "results.json")
    results["rows"][0]["metrics"]["auroc"]["mean"] = 0.9
    write_json(place / "results.json", results)
    with pytest.raises(InputError, match=f"{place}/results.json is not as the run wrote it"):
        list(read_records(pair[1]))


def test_where_the_machine_fails_no_cell_is_to_be_run_again(pair, monkeypatch):
    def fail(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(records, "read_run_results", fail)
    with pytest.raises(OSError, match="Input/output error"):
        list(read_records(pair[1]))


def test_options_of_a_method_are_fields_and_sizes_are_counts(pair):
    path = pair[1].place / "results.json"
    results = read_json(path)
    results["rows"][0] |= {"options": {"num_queries": 8}, "num_parameters": 20, "flops": 30}
    results["data"]["num_test_groups"] = 20
    write_json(path, results)
    ep, linear, _ = read_records(pair[1])
    assert ep.fields["ep.num_queries"] == "8"
    assert ep.counts == {"num_parameters": 20, "flops": 30}
    assert (linear.counts, ep.groups) == ({}, "images")


def test_statistics_of_attention_maps_are_read(pair):
    cell = replace(pair[1], command=Command("attention", None, {}, None), place=Path("maps.json"))
    estimate = {"mean": 0.5, "ci": [0.25, 0.75], "sd": None}
    head = {
        "name": "ep queries 8", "head": "ep-1", "method": "ep", "options": {"num_queries": 8},
        "layer": 6, "source": "patches", "num_queries": 8,
        "statistics": {"entropy": estimate, "overlap": {"mean": None, "ci": None}},
    }  # fmt: skip
    maps = {"random_weights": True, "num_images": 9, "num_groups": 9, "heads": [head]}
    write_json(Path("maps.json"), maps)
    (record,) = read_records(cell)
    assert record.metrics == {"entropy": 0.5, "overlap": None}
    assert record.intervals == {"entropy": (0.25, 0.75), "overlap": None}
    assert record.counts == {"num_queries": 8}
    assert (record.marks, record.groups) == (("RANDOM WEIGHTS",), "images")
    assert record.fields["ep.num_queries"] == "8"
    assert (record.fields["encoder"], record.fields["layer"]) == ("good", 6)
    assert list(read_records(replace(cell, place=Path("metadata.parquet")))) == []
    del maps["random_weights"]
    write_json(Path("maps.json"), maps)
    with pytest.raises(
        InputError, match=r"cannot read maps.json \(it has no 'random_weights'\); r"
    ):
        list(read_records(cell))
