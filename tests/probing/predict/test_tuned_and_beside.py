"""Probes of tuned encoders, and of images beside metadata, answer as they answered in their run."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from conftest import assert_bad_input
from helpers.probe_runs import TINY
from helpers.slimp_run import HEADER, pretrain, table_rows, write_table
from toolkit_common.cli.app import app
from toolkit_probing.results.summary import TUNED

pytestmark = pytest.mark.slow


def differences(run: Path, predicted: pd.DataFrame) -> float:
    """Return how far the probabilities are from those that a run of one row has stored."""
    (file,) = (run / "predictions").glob("linear*.parquet")
    stored = pd.read_parquet(file).set_index("image_id").loc[predicted["image_id"].astype(str)]
    wanted = np.stack(stored["probabilities"].to_numpy())
    assert len(predicted) == len(stored) > 1
    return float(np.abs(predicted.filter(like="probability_").to_numpy() - wanted).max())


@pytest.mark.parametrize("tune", ["lora", "full"])
def test_a_tuned_encoder_predicts_as_it_was_tuned(
    run_cli, predicted, finished, tmp_path, tune
) -> None:
    data, run = f"csv:{finished}/table.csv", tmp_path / tune
    made = run_cli(
        "probe", *TINY, "--method", "linear", "--classifier", "trained", "--lr", "0.01", "--data",
        data, "--warmup-epochs", "0", "--tune", tune, "--encoder-lr", "0.01", "-o", run,
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    (row,) = json.loads((run / "results.json").read_text())["rows"]
    assert row["settings"]["epoch"][0] > 0  # else the encoder is as it came
    assert differences(run, predicted("--data", data, "--split", "test", run=run)) < 1e-5
    shown = run_cli("predict", "--from", run, "--data", data, "--split", "test")
    assert TUNED in shown.stderr  # as large as beside the run's own table
    (file,) = (run / "encoders").iterdir()
    content = bytearray(file.read_bytes())
    content[-40:-20] = content[-20:]  # still an encoder
    file.write_bytes(content)
    result = run_cli("predict", "--from", run, "--data", data, "--split", "test")
    assert_bad_input(result, f"{file} is not as the run wrote it")


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of lesions, a SLIMP run on it, and a probe of its images beside their metadata."""
    root = tmp_path_factory.mktemp("beside")
    data = write_table(root / "table.csv", table_rows())
    pretrain(data, root / "slimp", "--bank-size", "0")
    args = ["--method", "linear", "--inputs", "image+meta", "--data", data, "--backbone"]
    made = CliRunner().invoke(
        app, ["probe", *args, str(root / "slimp"), "-o", str(root / "run")], prog_name="toolkit"
    )
    assert made.exit_code == 0, made.output
    return root


def test_images_beside_metadata_are_predicted_as_in_the_run(predicted, beside) -> None:
    test = ("--data", f"csv:{beside}/table.csv", "--split", "test")
    assert differences(beside / "run", predicted(*test, run=beside / "run")) < 1e-5


def test_metadata_count_and_their_absence_is_refused(predict, predicted, beside, tmp_path) -> None:
    options, run = ("--allow-seen", "--split", "test"), beside / "run"
    rows = [row.replace("arm", "leg").replace("female", "male") for row in table_rows()]
    other = write_table(tmp_path / "other.csv", rows)
    assert differences(run, predicted("--data", other, *options, run=run)) > 1e-3
    (tmp_path / "bare.csv").write_text(
        "\n".join(",".join(line.split(",")[:4]) for line in [HEADER, *table_rows()]) + "\n"
    )
    result = predict("--data", f"csv:{tmp_path}/bare.csv", *options, run=run)
    assert_bad_input(result, "--inputs image+meta", "has no column to read")
    result = predict("--images", beside / "0.png", "--allow-seen", run=run)
    assert_bad_input(result, "--inputs image+meta", "has no column to read")
