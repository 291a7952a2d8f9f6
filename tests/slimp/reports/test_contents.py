"""What a run has read stands in its results: sizes, missing cells, the start."""

import pandas as pd
import pytest

from toolkit_common.runs.files import read_json


@pytest.mark.slow
def test_sizes_and_missing_cells_are_those_of_the_table(root):
    results = read_json(root / "run/results.json")
    table = pd.read_csv(root / "table.csv")
    for side in ("train", "val"):
        rows = table[table["split"] == side]
        assert results["sizes"][side] == {"images": len(rows), "groups": rows["group"].nunique()}
        site = results["missing"]["site"][side]
        assert site["missing"] == pytest.approx(rows["site"].isna().mean())
        assert site["unknown"] == 0.0
        assert results["missing"]["age"][side]["missing"] == pytest.approx(
            rows["age"].isna().mean()
        )
    assert results["people"] == "groups"
    assert results["start_is_random"] is True
    assert results["seen"] == ""
    assert results["ancestors"] == []
