"""Tables of the claims: what is above what, and by how much."""

from pathlib import Path

from helpers.claims import cell, head_of, saved, write_maps
from lib.claims import evidence
from lib.claims.evidence import Studies
from lib.claims.tables import maps_table, rivals_tables


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
