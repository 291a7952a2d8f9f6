"""Metadata hidden from test rows: how many cells, which ones, and what heads then are told."""

import json
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from conftest import assert_bad_input
from helpers.slimp_run import pretrain, table_rows, write_table
from toolkit_common.backbones.metadata import load_metadata_encoders
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.hiding import hide_cells
from toolkit_probing.task.metadata import read_task_metadata
from toolkit_probing.task.task import Task, read_task

LEVELS = {"age": "patient", "sex": "patient", "site": "lesion"}
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def table(num_rows: int = 24) -> pd.DataFrame:
    rows = range(num_rows)
    return pd.DataFrame(
        {
            "image_id": [f"i{row}" for row in rows],
            "group": [f"p{row // 3}" for row in rows],
            "age": [30 + row // 3 for row in rows],  # whole numbers, which a NaN would change
            "sex": [None if row // 3 == 0 else "female" for row in rows],
            "site": [None if row % 4 == 0 else "arm" for row in rows],
        }
    )


def hidden(whole: pd.DataFrame, share: float, seed: int = 0) -> pd.DataFrame:
    less = hide_cells(whole, LEVELS, share, seed=seed)
    return whole[list(LEVELS)].notna() & less[list(LEVELS)].isna()


def test_a_share_of_each_columns_known_cells_is_hidden():
    for share in SHARES:
        gone = hidden(table(), share).sum()
        # 8 patients have an age, 7 a sex, of three images each; 18 images have a site.
        counts = (3 * round(8 * share), 3 * round(7 * share), round(18 * share))
        assert tuple(gone) == counts


def test_what_is_hidden_at_one_share_is_hidden_at_more():
    parts = [hidden(table(), share) for share in SHARES]
    for less, more in pairwise(parts):
        assert (more | ~less).all(axis=None)
        assert less.to_numpy().sum() < more.to_numpy().sum()


def test_a_patients_value_is_hidden_from_all_of_its_images_alike():
    by_patient = hidden(table(), 0.5).groupby(table()["group"])[["age", "sex"]].nunique()
    assert (by_patient == 1).all(axis=None)


def test_neither_the_order_of_rows_nor_other_columns_nor_their_values_change_what_is_hidden():
    whole = table()
    shuffled = whole.sample(frac=1.0, random_state=1)
    assert hidden(shuffled, 0.5).loc[whole.index].equals(hidden(whole, 0.5))
    alone = hide_cells(whole, {"site": "lesion"}, 0.5, seed=0)
    assert alone["age"].tolist() == whole["age"].tolist()
    assert (
        alone["site"].isna().tolist()
        == (whole["site"].isna() | hidden(whole, 0.5)["site"]).tolist()
    )
    assert not hidden(whole, 0.5, seed=1).equals(hidden(whole, 0.5))


def test_what_is_left_is_as_it_was():
    less = hide_cells(table(), LEVELS, 0.5, seed=0)
    ages = [value for value in less["age"] if value is not None]
    assert ages
    assert all(type(value) is int for value in ages)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of lesions and a SLIMP run on it."""
    root = tmp_path_factory.mktemp("hiding")
    pretrain(write_table(root / "table.csv", table_rows()), root / "run", "--bank-size", "0")
    return root


def settings(root: Path, *shares: float) -> ProbeSettings:
    return ProbeSettings(
        data=f"csv:{root / 'table.csv'}", backbone=str(root / "run"), inputs="meta",
        hide_metadata=shares,
    )  # fmt: skip


def task_of(root: Path) -> Task:
    return read_task(settings(root, 0.0))


@pytest.mark.slow
def test_all_hidden_is_metadata_that_are_missing(root):
    task = task_of(root)
    metadata = read_task_metadata(settings(root, 0.0, 0.5, 1.0), task)
    assert metadata is not None
    assert [view.share for view in metadata.views] == [0.0, 0.5, 1.0]
    test = task.data.table.iloc[task.splits.test]
    encoders = load_metadata_encoders(root / "run")
    for level, vectors in metadata.vectors.items():
        by_hand = test.assign(**dict.fromkeys(encoders.columns[level], None)).drop(columns="label")
        nothing, rows = encoders.encode(by_hand, level).vectors, task.positions("test")
        assert torch.equal(vectors[torch.from_numpy(metadata.views[2].positions)], nothing)
        alone = read_task_metadata(settings(root, 0.0), task)
        assert alone is not None
        assert torch.equal(vectors[: len(task.rows)], alone.vectors[level])
        assert metadata.views[0].positions.tolist() == rows.tolist()
    assert metadata.origins.tolist() == [*range(len(task.rows)), *rows, *rows]
    counts = [item["cells"] / item["of"] for item in metadata.facts["hidden_at_test"]]
    assert counts[0] == 0.0
    assert counts[1] == pytest.approx(0.5, abs=0.1)
    assert counts[2] == 1.0


@pytest.fixture
def probe(run_cli, root, tmp_path):
    def run(*args, name="probe"):
        result = run_cli(
            "probe", "--backbone", root / "run", "--data", f"csv:{root / 'table.csv'}", "--epochs",
            "2", "--lr", "0.1", "--warmup-epochs", "0", "--no-report", "--json", "-o",
            tmp_path / name, *args,
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout), tmp_path / name

    return run


ALL = ["--method", "ep,knn", "--set", "ep.num_queries=4", "--set", "knn.k=3"]


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [["image+meta", *ALL], ["meta", "--method", "logreg"]])
def test_with_nothing_hidden_all_is_as_without_the_option(probe, inputs):
    """To the bit: the figures, the files of predictions, and the heads."""
    plain, folder = probe("--inputs", *inputs)
    less, other = probe("--inputs", *inputs, "--hide-metadata", "1,0,0.5", name="less")
    first = {row["name"]: row for row in less["rows"] + less["baselines"]}
    assert len(first) == 3 * len(plain["rows"] + plain["baselines"])
    for row in plain["rows"] + plain["baselines"]:
        assert first[row["name"]] == row
        one, two = (pq.read_table(run / row["predictions"]) for run in (folder, other))
        assert one.equals(two)
    heads = [sorted(path.name for path in (run / "heads").iterdir()) for run in (folder, other)]
    assert heads[0] == heads[1]


@pytest.mark.slow
def test_rows_say_the_share_and_lose_what_metadata_gave(probe):
    results, folder = probe("--inputs", "meta", "--method", "logreg", "--hide-metadata", "0,1")
    rows = {row["hidden_metadata"]: row for row in results["rows"]}
    assert [row["name"] for row in rows.values()] == [
        "logreg-meta", "logreg-meta-hidden100pct",
    ]  # fmt: skip
    nothing = pq.read_table(folder / rows[1.0]["predictions"]).to_pandas()["probabilities"]
    assert len({tuple(values) for values in nothing}) == 1  # nobody can be told from another
    assert rows[1.0]["metrics"]["auroc"]["mean"] == 0.5
    assert any(
        "METADATA HIDDEN AT TEST: the same heads, with 100 %" in note for note in results["notes"]
    )
    curve = (folder / "curves/balanced_accuracy-by-hidden_metadata.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in curve[1:3]] == [
        ["logreg-meta", "0"], ["logreg-meta", "1"],
    ]  # fmt: skip


@pytest.mark.slow
def test_hidden_without_metadata_being_read_is_refused(run_cli, root):
    result = run_cli("probe", "--backbone", root / "run", "--hide-metadata", "0,0.5")
    assert_bad_input(result, r"--hide-metadata 0,0.5 hides what is not read")
