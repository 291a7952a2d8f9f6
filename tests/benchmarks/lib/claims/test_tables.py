"""Tables of the claims: what is above what, and by how much."""

from pathlib import Path

import pytest

from helpers.claims import cell, head_of, saved, write_maps
from lib.claims import evidence
from lib.claims.evidence import Studies
from lib.claims.tables import maps_table, other_rows, rivals_tables


def test_rivals_are_in_the_order_of_their_accuracy_with_eps_lead(monkeypatch):
    rows = [saved("esimpool", 20, num_parameters=9), saved("ep", 50, num_parameters=100),
            saved("linear", 55, num_parameters=7)]  # fmt: skip
    others = [cell(*rows[:2], encoder="random"), cell(*rows[1:], encoder="SimCLR")]
    without_ep = cell(rows[0], encoder="CLIP")
    cells = [*others, without_ep, cell(*rows)]
    monkeypatch.setattr(evidence, "read_cells", lambda folder: cells)
    tables = rivals_tables(Studies(Path(), "MAE"))
    assert [*tables] == ["MAE", "SimCLR", "random"]
    assert [row["probe"] for row in tables["MAE"]] == ["linear", "ep", "esimpool"]
    assert [row["probe"] for row in tables["random"]] == ["ep", "esimpool"]
    leads = {row["probe"]: (row["parameters"], round(row["lead"], 1)) for row in tables["MAE"]}
    assert leads == {"linear": (7, -8.3), "ep": (100, 0.0), "esimpool": (9, 50.0)}


def test_maps_have_what_was_counted_and_those_with_masks_more(monkeypatch, tmp_path):
    monkeypatch.setattr(evidence, "read_cells", lambda folder: [cell(saved("ep", 50))])
    triple = (0.1, 0.2, 0.3)
    plain = head_of("mhca", 8, overlap=triple)
    write_maps(tmp_path / "ep-attention", [head_of("ep", 8, overlap=triple, area=triple), plain])
    assert maps_table(Studies(tmp_path, "MAE")) == [
        {"encoder": "MAE", "probe": "ep", "queries": 8, "overlap": 0.2, "mask area": 0.2},
        {"encoder": "MAE", "probe": "mhca", "queries": 8, "overlap": 0.2},
    ]


def test_ep_stands_beside_both_probes_of_the_same_labels(monkeypatch):
    rows = [
        saved(method, right, labels=labels)
        for labels, more in (("5 shots", 0), ("all labels", 9))
        for method, right in (("ep", 50 - more), ("linear", 20), ("mean", 41 + more))
    ]
    queries = cell(saved("ep", 50, options={"num_queries": 8}), saved("linear", 20),
                   step="queries-of-ep")  # fmt: skip
    named = {"ep-low-shot": [cell(*rows)], "ep-queries": [queries]}
    monkeypatch.setattr(evidence, "read_cells", lambda folder: named.get(folder.name, []))
    few, every, eight = other_rows(Studies(Path(), "MAE"))
    assert (few["by"], every["by"], eight["by"]) == (
        "labels 5 shots",
        "labels all labels",
        "queries 8",
    )
    assert (few["mean, %"], every["mean, %"]) == (pytest.approx(41 / 0.6), pytest.approx(50 / 0.6))
    assert few["EP - mean, points"].startswith("+15.0 [")
    assert every["EP - mean, points"].startswith("-15.0 [")
    assert eight["EP - linear, points"].startswith("+50.0 [")
    assert (eight["mean, %"], eight["EP - mean, points"]) == ("-", "-")
    assert few.keys() == eight.keys()  # of one table
