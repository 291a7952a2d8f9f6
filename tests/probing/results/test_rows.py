"""From an outcome to its row."""

import numpy as np
import pandas as pd
import pytest

from toolkit_common.data.splits import make_splits
from toolkit_common.scores.metrics import Predictions
from toolkit_common.scores.statistics import estimate
from toolkit_common.sources.load import load_data
from toolkit_probing.results.rows import ROW_VERSION, Outcome, Row, build_rows
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.subsets import Subset
from toolkit_probing.task.task import Task


@pytest.fixture
def task(image_folder) -> Task:
    data = load_data(f"imagefolder:{image_folder}")
    splits = make_splits(data)
    return Task(data, data.labels(None), splits, pd.DataFrame())


def outcome_of(task: Task, **changes) -> Outcome:
    """An outcome of two repeats whose probabilities are drawn."""
    draws = np.random.default_rng(0).dirichlet([1, 1], (2, len(task.splits.test)))
    facts = {
        "method": "linear",
        "layer": 3,
        "source": "cls",
        "variant": "linear-layer3-cls",
        "subset": Subset("2 shots", "2shot", [np.arange(4), np.arange(4, 8)]),
        "settings": {"lr": 0.256, "epoch": [1, 1]},
        "picked": "learning rate and epoch by top1",
        "select_score": 0.5,
        "seeds": [0, 0],
        "draws": range(2),
        "probabilities": list(draws.astype(np.float32)),
        "num_parameters": 10,
        "flops": 20,
    }
    return Outcome(**facts | changes)


def row_of(task: Task, outcome: Outcome) -> Row:
    settings = ProbeSettings(optimizer="lars")  # whose rates are scaled by the batch
    (row,) = build_rows([outcome], task, settings, inputs="image", num_processes=1)
    return row


def test_a_row_has_the_metrics_of_the_outcomes_probabilities(task):
    outcome = outcome_of(task)
    row, targets = row_of(task, outcome), task.targets_of("test")
    runs = [Predictions(values.astype(float), targets) for values in outcome.probabilities]
    assert row.metrics == estimate(runs, task.groups_of("test"))
    assert len(row.metrics["top1"].values) == 2


def test_a_row_says_what_it_learned_from_and_how(task):
    row = row_of(task, outcome_of(task))
    assert row.name == "linear-layer3-cls-2shot"
    assert row.predictions == "predictions/linear-layer3-cls-2shot.parquet"
    assert (row.labels, row.num_train, row.draws) == ("2 shots", [4, 4], [0, 1])
    assert (row.selected, row.version) == ("selected on val", ROW_VERSION)
    assert row.training is not None
    assert row.training.effective_batch == [4, 4]
    assert row.training.peak_lr == pytest.approx([0.256 * 4 / 256] * 2)


def test_what_no_split_selected_says_so_and_has_no_score(task):
    changes = {"settings": {}, "selected": "fitted on train", "select_score": np.nan}
    grid = [{"k": 5, "select_score": -np.inf}, {"k": 9, "select_score": 0.5}]
    row = row_of(task, outcome_of(task, grid=grid, **changes))
    assert (row.selected, row.select_score, row.training) == ("fitted on train", None, None)
    assert [item["select_score"] for item in row.grid] == [None, 0.5]


def test_versions_of_the_test_rows_become_outcomes_of_their_own(task):
    first, second = outcome_of(task), outcome_of(task).probabilities[::-1]
    size = len(task.splits.test)
    values = [{"average_precision": np.arange(2.0 * size) + repeat} for repeat in range(2)]
    both = outcome_of(
        task,
        probabilities=[
            np.concatenate(pair) for pair in zip(first.probabilities, second, strict=True)
        ],
        retrieved=values,
    )
    none, half = both.of_views([0.0, 0.5])
    assert (none.name, none.hidden_metadata) == (first.name, 0.0)
    assert (half.name, half.hidden_metadata) == ("linear-layer3-cls-hidden50pct-2shot", 0.5)
    assert row_of(task, half).head_name == first.name
    for outcome, parts in ((none, first.probabilities), (half, second)):
        assert all(np.array_equal(*pair) for pair in zip(outcome.probabilities, parts, strict=True))
    assert half.retrieved[1]["average_precision"].tolist() == [size + n + 1 for n in range(size)]


def test_a_row_is_tuned_where_its_encoder_was(task):
    assert not row_of(task, outcome_of(task)).is_tuned
    assert row_of(task, outcome_of(task, tune="lora")).is_tuned
