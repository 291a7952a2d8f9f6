"""Files of predictions: what a run wrote is read, what would give another figure is refused."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given

from conftest import assert_bad_input
from helpers.mutations import mutated_bytes, reads_or_refuses
from helpers.properties import few_examples
from helpers.saved_runs import change_predictions, write_results
from toolkit_common.errors import InputError
from toolkit_common.runs.files import read_json
from toolkit_probing.results.saved import read_run


def test_a_run_writes_the_predictions_that_its_rows_name(runs):
    results = read_json(runs / "a/results.json")
    named = {row["predictions"] for row in [*results["rows"], *results["baselines"]]}
    written = {f"predictions/{path.name}" for path in (runs / "a/predictions").iterdir()}
    assert named == written


SPOILED = {
    "a target that is no class": ({"target": lambda s: s + 2}, "a target is none of the 2 classes"),
    "targets that are words": ({"target": lambda s: s.astype(str)}, "targets are numbers of"),
    "a probability above 1": (
        {"probabilities": lambda s: s.map(lambda p: p * 3)}, "within 0 and 1"
    ),
    "rows of other lengths": (
        {"probabilities": lambda s: [p[: 1 + (n > 0)] for n, p in enumerate(s)]}, "as many numbers"
    ),
    "no numbers": ({"probabilities": lambda s: ["x"] * len(s)}, "as many numbers"),
    "no groups": ({"group": lambda s: None}, "group is missing or has empty cells"),
    "another order": (
        {"image_id": lambda s: [f"i{n}" for n in range(len(s))]}, "differ in image_id"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILED)
def test_predictions_that_would_give_another_figure_are_refused(name, copied):
    columns, message = SPOILED[name]
    change_predictions(copied / "a", **columns)
    with pytest.raises(InputError, match=f"is damaged: .*{message}"):
        _ = read_run(copied / "a").rows


def test_predictions_that_another_has_changed_are_refused_within_all_bounds(run_cli, copied):
    path = next((copied / "a/predictions").iterdir())
    frame = pq.read_table(path).to_pandas()
    frame["target"] = 1 - frame["target"]
    pq.write_table(pa.Table.from_pandas(frame), path)
    result = run_cli("report", copied / "a")
    assert_bad_input(result, f"{path} is not as the run wrote it (manifest.json")


def test_predictions_outside_of_the_run_are_not_read(copied):
    results = read_json(copied / "a/results.json")
    results["rows"][0]["predictions"] = "../b/" + results["rows"][0]["predictions"]
    write_results(copied / "a", results)
    with pytest.raises(InputError, match=r"predictions '\.\./b/.*' lie outside of it"):
        _ = read_run(copied / "a").rows


@pytest.mark.slow
def test_mutated_predictions_give_an_error_or_predictions(copied):
    path = copied / "b/predictions/knn-layer6-cls.parquet"
    content = path.read_bytes()

    @few_examples
    @given(mutated_bytes(content))
    def check(changed):
        path.write_bytes(changed)
        rows = reads_or_refuses(lambda: read_run(copied / "b").rows)
        if rows is not None:
            (predictions,) = rows["knn-layer6-cls"].predictions
            assert predictions.targets.max() < predictions.num_classes

    check()
