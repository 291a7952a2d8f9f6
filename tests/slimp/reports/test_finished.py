"""A finished run is read from its folder; what it has not kept is made anew, or said."""

import shutil

import pandas as pd
import pytest
import torch

from conftest import assert_bad_input
from toolkit_common.errors import InputError
from toolkit_common.runs.files import read_json
from toolkit_slimp.reports.finished import next_step, read_finished
from toolkit_slimp.settings import SlimpSettings

pytestmark = pytest.mark.slow


def test_held_out_patients_come_from_the_folder_without_the_encoder(run, capsys):
    shutil.rmtree(run / "encoder")
    finished = read_finished(run)
    figures = read_json(run / "results.json")["held_out"]
    assert {item.key: pytest.approx(item.value) for item in finished.recalls} == {
        key: value for key, value in figures.items() if "recall" in key and "chance" not in key
    }
    assert finished.data is not None
    assert "encoding" not in capsys.readouterr().err
    begun = ["toolkit", "probe", "--method", "ep,linear,knn", "--backbone", str(finished.path)]
    assert finished.judged_by[:6] == begun


def test_what_was_not_kept_is_encoded_once_more_to_the_same_embeddings(root, run, capsys):
    shutil.rmtree(run / "held_out")
    again, kept = read_finished(run).watched, read_finished(root / "run").watched
    assert "encoding 6 held-out images, which the run has not kept" in capsys.readouterr().err
    pd.testing.assert_frame_equal(again.rows, kept.rows, check_dtype=False)
    for name, value in kept.tensors.items():
        torch.testing.assert_close(again.tensors[name], value, atol=1e-5, rtol=1e-5)


def test_data_that_are_gone_or_others_now_leave_the_pictures_out(root, run, monkeypatch, capsys):
    config, text = run / "config.yaml", (run / "config.yaml").read_text()
    config.write_text(text.replace("table.csv", "gone.csv"))
    assert read_finished(run).data is None
    assert "no pictures: the data set cannot be read (" in capsys.readouterr().err
    table = root / "other.csv"
    table.write_text((root / "table.csv").read_text().replace("arm", "hip"))
    config.write_text(text.replace("table.csv", "other.csv"))
    finished = read_finished(run)
    assert finished.data is None
    assert finished.watched is not None
    assert "is no longer what the run was trained on" in capsys.readouterr().err
    shutil.rmtree(run / "held_out")
    assert read_finished(run).watched is None


@pytest.mark.parametrize(
    "name", ["held_out/embeddings.safetensors", "held_out/rows.parquet", "metrics.jsonl"]
)
def test_figures_are_made_of_nothing_that_another_has_changed(run_cli, run, name):
    content = bytearray((run / name).read_bytes())
    content[-2] ^= 1
    (run / name).write_bytes(content)
    result = run_cli("report", run)
    assert_bad_input(result, f"{run / name} is not as the run wrote it (manifest.json")


def test_a_run_that_is_not_done_is_refused(run):
    (run / "DONE").unlink()
    with pytest.raises(
        InputError, match=r"is not done: finish it with toolkit pretrain slimp --res"
    ):
        read_finished(run)


@pytest.mark.parametrize("is_allowed", [False, True])
def test_who_was_seen_before_is_allowed_in_the_next_step_too(run, is_allowed):
    settings = SlimpSettings(data="lesions", from_run=run, allow_seen=is_allowed)
    words = next_step(settings, run, data="lesions", label="malignant")
    assert ("--allow-seen" in words) is is_allowed
