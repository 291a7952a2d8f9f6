"""Images that a probe, or its encoder, has learned from are refused, or marked everywhere."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from conftest import assert_bad_input
from helpers.saved_runs import forget_manifest
from helpers.seen_rows import record_of
from helpers.tiny_encoders import export
from probing.predict.test_saved_probe import change_config
from toolkit_common.backbones.exported import sealed
from toolkit_common.runs.files import write_json
from toolkit_common.seen.record import write_seen
from toolkit_common.sources.load import load_data


@pytest.mark.slow
def test_the_runs_own_training_rows_are_refused_or_marked(predict, predicted, finished) -> None:
    data = f"csv:{finished}/table.csv"
    result = predict("--data", data)
    assert_bad_input(
        result, "learned from 32 of 40 new images (16 of 20 groups); 32 by image id", "--split test"
    )
    table = predicted("--data", data, "--allow-seen").set_index("image_id")
    splits = pd.read_csv(finished / "run/splits.csv").set_index("image_id")["split"]
    assert (table["seen"] == np.where(splits.loc[table.index] == "test", "", "probe")).all()
    result = predict("--data", data, "--allow-seen")
    assert result.stderr.count("SEEN") >= 5  # four figures and the line below
    assert "SEEN IN TRAINING: the probe learned from 32 of 40" in result.stderr


@pytest.mark.slow
def test_copies_of_training_images_are_known_by_their_contents(
    predict, predicted, finished, new
) -> None:
    splits = pd.read_csv(finished / "run/splits.csv")
    train = splits["image_id"][splits["split"] == "val"].iloc[0]
    shutil.copy(finished / train, new / "copy.png")
    result = predict("--images", new)
    assert_bad_input(result, "learned from 1 of 7 new images; 1 by image:")
    table = predicted("--images", new, "--allow-seen")
    assert table["image"][table["seen"] == "probe"].tolist() == [str(new / "copy.png")]


@pytest.mark.slow
def test_patients_of_training_are_known_in_another_table(predict, finished, new) -> None:
    splits = pd.read_csv(finished / "run/splits.csv").set_index("image_id")["split"]
    groups = pd.read_csv(finished / "table.csv").set_index("image")["group"]
    learned = groups.loc[splits.index[splits == "train"]].iloc[0]
    text = f"image,label,group\n000.png,dark,{learned}\n001.png,light,somebody\n"
    (new / "table.csv").write_text(text)
    result = predict("--data", f"csv:{new}/table.csv")
    assert_bad_input(result, "learned from 1 of 2 new images (1 of 2 groups); 1 by group")


@pytest.mark.slow
def test_who_was_learned_from_is_unknown_where_the_data_are_gone(
    predict, predicted, copied, new
) -> None:
    change_config(copied, data="csv:gone.csv")
    (new / "table.csv").write_text("image,label\n000.png,dark\n001.png,light\n")
    data = f"csv:{new}/table.csv"
    assert (predicted("--data", data, run=copied)["seen"] == "?").all()
    result = predict("--data", data, run=copied)
    assert "SEEN IN TRAINING? the data set that the probe learned from cannot" in result.stderr
    assert result.stderr.count("SEEN?") == 4


@pytest.mark.slow
def test_training_images_that_are_gone_are_counted(predict, copied, new) -> None:
    forget_manifest(copied)
    with (copied / "splits.csv").open("a") as file:
        file.write("pictures/gone.png,train\n")
    result = predict("--images", new, run=copied)
    assert "1 image that the probe learned from is gone from csv:table.csv" in result.stderr


@pytest.mark.slow
def test_splits_without_ids_are_refused(predict, copied, new) -> None:
    forget_manifest(copied)
    text = (copied / "splits.csv").read_text()
    (copied / "splits.csv").write_text(text.replace("image_id", "image_ix"))
    assert_bad_input(predict("--images", new, run=copied), "has no column 'image_id'")


@pytest.mark.slow
def test_patients_of_pre_training_are_refused_or_marked(
    predict, predicted, copied, new, tmp_path
) -> None:
    (new / "table.csv").write_text(
        "image,label,group\n" + "".join(f"{at:03d}.png,dark,p{at}\n" for at in range(4))
    )
    data = f"csv:{new}/table.csv"
    folder = export(tmp_path / "encoder", "timm:test_vit?image_size=32")
    described = json.loads((folder / "encoder.json").read_text())
    seen = write_seen(folder, [record_of(load_data(data), np.array([0, 1]))])
    described["provenance"] = {"method": "SLIMP", "seen": seen}
    write_json(folder / "encoder.json", sealed(described))
    change_config(copied, backbone=str(folder), random_init=False)
    result = predict("--data", data, run=copied)
    assert_bad_input(result, "pre-trained on patients or images of 2 of 4 test images", "--allow")
    table = predicted("--data", data, "--allow-seen", run=copied)
    assert table["seen"].tolist() == ["encoder", "encoder", "", ""]
