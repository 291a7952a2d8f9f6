"""`--cache-images`: recorded, kept apart in the token store, refused where it would enlarge."""

import json

import pytest
from datasets import ClassLabel, Dataset, Features, Image

from conftest import assert_bad_input, write_image_folder
from helpers.small_data import image_bytes

TINY = ["--backbone", "timm:test_vit?image_size=32", "--random-init", "--json"]


@pytest.fixture
def call(run_cli, tmp_path):
    folder = write_image_folder(tmp_path / "large", per_class=8, size=60)

    def call(command, *options):
        extra = ["--method", "knn", "--output", tmp_path / f"run{len(options)}"]
        extra = extra if command == "probe" else []
        return run_cli(command, *TINY, "--data", f"imagefolder:{folder}", *extra, *options)

    return call


@pytest.mark.slow
def test_shrunk_images_have_a_store_of_their_own_and_results_record_it(call, tmp_path):
    plain = json.loads(call("probe").stdout)
    result = call("probe", "--cache-images", 40)
    assert result.exit_code == 0, result.output
    results = json.loads(result.stdout)
    assert "images: shrunk once to 40 pixels on the shorter side (JPEG 95)" in result.stderr
    assert plain["images"] == {"cache_images": None, "pixel_change": None}
    assert results["images"]["cache_images"] == 40
    assert 0 < results["images"]["pixel_change"] < 30
    assert results["features"]["store"] != plain["features"]["store"]
    [file] = (tmp_path / "cache/images").iterdir()
    again = json.loads(call("features", "--cache-images", 40, "--no-patches").stdout)
    assert again["was_cached"] is True
    assert again["pixel_change"] == results["images"]["pixel_change"]
    assert [file] == list((tmp_path / "cache/images").iterdir())


@pytest.mark.slow
def test_images_that_are_small_enough_keep_their_store(call):
    plain = json.loads(call("features").stdout)
    facts = json.loads(call("features", "--cache-images", 60).stdout)
    assert facts["store"] == plain["store"]
    assert facts["pixel_change"] == 0


@pytest.mark.parametrize("command", ["probe", "features"])
def test_images_are_not_enlarged_again(call, command, tmp_path):
    result = call(command, "--cache-images", 32)
    assert_bad_input(result, "--cache-images 32 is below the 33 pixels", "test_vit")
    assert not (tmp_path / "run2").exists()
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_random_crops_come_from_the_smaller_images_with_a_note(call):
    options = ["--augment", "crops", "--epochs", 1, "--method", "linear", "--lr", 0.01]
    result = call("probe", "--cache-images", 40, *options)
    assert result.exit_code == 0, result.output
    assert "random crops are cut out of the smaller images" in result.stderr


def test_a_stream_is_refused(run_cli, tmp_path):
    features = Features({"image": Image(), "label": ClassLabel(names=["a", "b"])})
    images = [{"bytes": image_bytes(number), "path": None} for number in range(20)]
    rows = Dataset.from_dict({"image": images, "label": [0, 1] * 10}, features=features)
    (tmp_path / "set").mkdir()
    rows.to_parquet(tmp_path / "set/train.parquet")
    data = f"hf:{tmp_path / 'set'}?streaming=1"
    result = run_cli("features", *TINY, "--data", data, "--cache-images", 40)
    assert_bad_input(result, f"--cache-images 40 reads images in any order, and {data!r} is a str")
