"""A probe answers new images as it answered the run's own."""

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from conftest import assert_bad_input
from helpers.saved_runs import forget_manifest
from toolkit_probing.heads.files import read_spec, save_head

ROWS = ("ep-num_queries4-layer6-all", "linear-layer6-cls", "logreg-layer6-cls")


def probabilities(table: pd.DataFrame) -> np.ndarray:
    return table.filter(like="probability_").to_numpy()


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_the_runs_own_test_rows_get_its_own_predictions(finished, predicted, row) -> None:
    table = predicted("--data", f"csv:{finished}/table.csv", "--split", "test", "--row", row)
    stored = pd.read_parquet(finished / f"run/predictions/{row}.parquet")
    stored = stored[stored["seed"] == 0].set_index("image_id").loc[table["image_id"]]
    wanted = np.stack(stored["probabilities"].to_numpy())
    assert len(table) == len(stored) == 8
    np.testing.assert_allclose(probabilities(table), wanted, rtol=0, atol=1e-6)
    assert table["group"].tolist() == stored["group"].tolist()
    assert (table["seen"] == "").all()


@pytest.mark.slow
def test_another_seeds_head_gives_that_seeds_predictions(finished, predicted) -> None:
    head = "ep-num_queries4-layer6-all-lr0p003-seed1"
    table = predicted("--data", f"csv:{finished}/table.csv", "--split", "test", "--row", head)
    stored = pd.read_parquet(finished / f"run/predictions/{ROWS[0]}.parquet")
    parts = {
        seed: np.stack(part.set_index("image_id").loc[table["image_id"], "probabilities"])
        for seed, part in stored.groupby("seed")
    }
    np.testing.assert_allclose(probabilities(table), parts[1], rtol=0, atol=1e-6)
    assert np.abs(parts[0] - parts[1]).max() > 1e-3


@pytest.mark.slow
def test_one_image_is_answered_as_among_others(predicted, new) -> None:
    together, alone = predicted("--images", new), predicted("--images", new / "001.png")
    assert len(together) == 6
    mine = together[together["image"] == str(new / "001.png")]
    np.testing.assert_allclose(probabilities(alone), probabilities(mine), rtol=0, atol=1e-6)
    np.testing.assert_allclose(probabilities(together).sum(axis=1), 1.0, atol=1e-6)


@pytest.mark.slow
def test_attention_says_where_each_query_looks_most(predicted, finished, new) -> None:
    table = predicted("--images", new, "--attention")
    names = [name for name in table if name.startswith("attention_")]
    assert len(names) == 4 * 3
    centres = table[[name for name in names if name.endswith(("_x", "_y"))]].to_numpy()
    # A patch's centre on a grid of 2 x 2.
    assert set(np.unique(centres)) <= {0.25, 0.75}
    assert (table["attention_0_times_even"] >= 1.0).all()


@pytest.mark.slow
def test_a_head_without_queries_has_no_attention_to_tell(predict, new) -> None:
    result = predict("--images", new, "--row", "linear", "--attention")
    assert_bad_input(result, "linear-layer6-cls-lr0p003-seed0 has no attention maps")


@pytest.mark.slow
def test_a_damaged_head_is_refused(predict, copied, new) -> None:
    file = copied / "heads/linear-layer6-cls-lr0p003-seed0.safetensors"
    data = bytearray(file.read_bytes())
    data[-40:-20] = data[-20:]  # still a head
    file.write_bytes(data)
    result = predict("--images", new, "--row", "linear", run=copied)
    assert_bad_input(result, f"{file} is not as the run wrote it")


@pytest.mark.slow
def test_a_head_that_diverged_is_refused(predict, copied, new) -> None:
    forget_manifest(copied)
    file = copied / "heads/linear-layer6-cls-lr0p003-seed0.safetensors"
    spec, state = read_spec(file), load_file(file)
    state["classifier.bias"][0] = float("nan")
    save_head(file, spec, state)
    result = predict("--images", new, "--row", "linear", run=copied)
    assert_bad_input(result, "gives no finite probabilities for 6 of 6 images", "diverged")
