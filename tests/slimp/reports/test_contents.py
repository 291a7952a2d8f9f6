"""What a run has read stands in its results: sizes, missing cells, the start."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from helpers.saved_runs import write_results
from toolkit_common.errors import InputError
from toolkit_common.runs.files import read_json, write_json
from toolkit_common.runs.folder import RESULTS_VERSION, RunFolder
from toolkit_slimp.reports.contents import read_results

KEPT = sorted((Path(__file__).parents[2] / "formats").glob("*/pretrain"))


@pytest.mark.slow
def test_sizes_and_missing_cells_are_those_of_the_table(root):
    results = read_json(root / "run/results.json")
    table = pd.read_csv(root / "table.csv")
    for side in ("train", "val"):
        rows = table[table["split"] == side]
        assert results["sizes"][side] == {
            "images": len(rows), "groups": rows["group"].nunique(), "lesions": None,
        }  # fmt: skip
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


@pytest.mark.parametrize("folder", KEPT, ids=str)
def test_what_is_read_is_what_was_written(folder):
    assert (
        read_results(RunFolder(folder)).held_out == read_json(folder / "results.json")["held_out"]
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kept": "last"}, "kept: input should be an object, got 'last'"),
        ({"data": {"id": "a"}}, "data.splits: field required"),
        ({"held_out": {"val_loss": "low"}}, "held_out.val_loss: input should be a valid number"),
        ({"sizes": {"test": {"images": 1, "groups": 1}}}, "sizes.test"),
        ({"seen": "never"}, "seen: input should be '', 'unseen', 'seen' or 'unknown', got 'never'"),
        ({"more": 1}, "more: unexpected keyword argument"),
        ({"version": RESULTS_VERSION + 1}, f"is of version {RESULTS_VERSION + 1}, this toolkit"),
    ],
)
def test_results_of_another_shape_are_refused_by_file_and_field(tmp_path, changes, message):
    shutil.copytree(KEPT[-1], tmp_path / "run")
    file = tmp_path / "run/results.json"
    write_results(file.parent, {**read_json(file), **changes})
    with pytest.raises(InputError, match=rf"{re.escape(str(file))}.*{re.escape(message)}"):
        read_results(RunFolder(tmp_path / "run"))


def test_a_figure_that_another_has_changed_is_refused(tmp_path):
    shutil.copytree(KEPT[-1], tmp_path / "run")
    results = read_json(tmp_path / "run/results.json")
    results["held_out"]["val_loss"] /= 2
    write_json(tmp_path / "run/results.json", results)
    with pytest.raises(InputError, match=f"{tmp_path}/run/results.json is not as the run wrote it"):
        read_results(RunFolder(tmp_path / "run"))
