"""Images that are given by their places, and data sets with what is known of their classes."""

import json

import pytest

from conftest import assert_bad_input
from helpers.saved_runs import write_results


def table(folder, *lines: str, head: str = "image,label"):
    """Write a table of the new images; returns its id."""
    (folder / "table.csv").write_text("\n".join([head, *lines]) + "\n")
    return f"csv:{folder / 'table.csv'}"


@pytest.mark.slow
def test_files_folders_and_patterns_are_read_each_image_once(predicted, predict, new) -> None:
    (new / "notes.txt").write_text("no image")
    (new / "linked").symlink_to(new / "deeper")
    args = ["--images", new, "--images", f"{new}/*.png", new / "000.png"]
    places = predicted(*args)["image"].tolist()
    deep = [str(new / f"{folder}/{at:03d}.png") for folder in ("deeper", "linked") for at in (0, 1)]
    assert sorted(places) == sorted([*deep, *(str(new / f"{at:03d}.png") for at in range(4))])
    assert "1 not images (.txt 1)" in predict(*args).stderr
    assert len(predicted("--images", f"{new}/**/*.png")) == 8


@pytest.mark.slow
def test_a_place_without_an_image_is_named(predict, new, tmp_path) -> None:
    assert_bad_input(predict("--images", tmp_path / "no.png"), "no image at", "no.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.txt").write_text("no image")
    result = predict("--images", tmp_path / "empty")
    assert_bad_input(result, "no image in the folder", "1 not images (.txt 1)")
    (tmp_path / "\udcff.png").write_bytes((new / "000.png").read_bytes())
    assert_bad_input(predict("--images", tmp_path / "\udcff.png"), "is no UTF-8 text: rename it")


@pytest.mark.slow
def test_images_that_do_not_decode_are_refused_or_left_out_and_counted(
    predict, predicted, new
) -> None:
    (new / "bad.png").write_bytes(b"no")
    result = predict("--images", new, "-o", "out.csv")
    assert_bad_input(result, "bad image", "bad.png: not an image", "--bad-files skip")
    assert len(predicted("--images", new, "--bad-files", "skip")) == 6
    result = predict("--images", new, "--bad-files", "skip")
    assert "leaving out 1 bad files of 7 (see below)" in result.stderr
    assert f"left out: {new / 'bad.png'}: not an image" in result.stderr


@pytest.mark.slow
def test_a_class_that_the_run_does_not_know_is_refused(predict, new) -> None:
    data = table(new, "000.png,dark", "001.png,purple", "002.png,purple")
    result = predict("--data", data)
    assert_bad_input(result, "'purple' (2 images)", "it knows 'dark', 'light'")


@pytest.mark.slow
def test_classes_are_numbered_as_the_runs_and_one_is_enough(predicted, predict, new) -> None:
    lines = ["000.png,dark,light", "001.png,dark,light", "002.png,light,"]
    data = [table(new, *lines, head="image,label,truth"), "--label", "truth"]
    assert predicted("--data", *data)["target"].fillna("").tolist() == ["light", "light", ""]
    shown = json.loads(predict("--data", *data, "--json").stdout)
    assert (shown["num_images"], shown["num_labelled"]) == (3, 2)
    right = sum(row["predicted"] == "light" for row in shown["predictions"][:2])
    assert shown["metrics"]["top1"]["mean"] == right / 2
    assert shown["metrics"]["auroc"]["mean"] is None


@pytest.mark.slow
def test_a_label_of_another_name_is_named_by_the_user(predict, predicted, new) -> None:
    data = table(new, "000.png,dark", "001.png,light", head="image,truth")
    result = predict("--data", f"{data}?label=truth", "--json")
    assert "has no column 'label', which the probe predicts: no figures" in result.stderr
    assert json.loads(result.stdout)["metrics"] == {}
    named = predicted("--data", f"{data}?label=truth", "--label", "truth")
    assert named["target"].tolist() == ["dark", "light"]


@pytest.mark.slow
def test_a_split_is_that_of_the_data_set(predict, predicted, new) -> None:
    lines = ["000.png,dark,test", "001.png,light,test", "002.png,dark,train", "003.png,light,val"]
    data = table(new, *lines, head="image,label,split")
    assert predicted("--data", data, "--split", "test")["image_id"].tolist() == [
        "000.png", "001.png"
    ]  # fmt: skip
    data = table(new, *lines[:2], head="image,label,split")
    assert_bad_input(predict("--data", data, "--split", "train"), "the train split of", "is empty")


@pytest.mark.slow
def test_pixel_values_that_the_run_read_differently_are_refused(predict, copied, new) -> None:
    results = json.loads((copied / "results.json").read_text())
    results["data"]["pixel_range"] = {"low": 0.0, "high": 4095.0}
    write_results(copied, results)
    result = predict("--images", new, run=copied)
    assert_bad_input(result, "6 of 6 images looked at hold 8 bits", "values 0 to 4095")
    data = table(new, "000.png,dark", "001.png,light")
    result = predict("--data", data, run=copied)
    assert_bad_input(result, "as 8 bits as they are, and", "as values 0 to 4095", "?range=0,4095")
    result = predict("--data", f"{data}?range=0,200", run=copied)
    assert result.exit_code == 0, result.output
    assert "PIXEL VALUES READ DIFFERENTLY, as you say" in result.stderr
