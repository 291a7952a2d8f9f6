"""Tables of the claims: what is above what, and by how much."""

from pathlib import Path

from helpers.claims import cell, saved
from lib.claims import evidence
from lib.claims.evidence import Studies
from lib.claims.tables import rivals_table


def test_rivals_are_in_the_order_of_their_accuracy_with_eps_lead(monkeypatch):
    rows = [saved("esimpool", 20, num_parameters=9), saved("ep", 50, num_parameters=100),
            saved("linear", 55, num_parameters=7)]  # fmt: skip
    monkeypatch.setattr(evidence, "read_cells", lambda folder: [cell(*rows)])
    table = rivals_table(Studies(Path(), "MAE"))
    assert [row["probe"] for row in sorted(table, key=lambda row: row["lead"])] == [
        "linear", "ep", "esimpool",
    ]  # fmt: skip
    leads = {row["probe"]: (row["parameters"], round(row["lead"], 1)) for row in table}
    assert leads == {"linear": (7, -8.3), "ep": (100, 0.0), "esimpool": (9, 50.0)}
    assert rivals_table(Studies(Path(), "another")) == []
