"""`--cache-images`: no token changes, or by how much is told; refused where it would enlarge."""

import json
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
from accelerate import Accelerator
from datasets import ClassLabel, Dataset, Features, Image

from conftest import assert_bad_input, write_image_folder
from helpers.small_data import build_data, image_bytes
from toolkit_common.backbones.load import load_backbone
from toolkit_common.images.open import open_image
from toolkit_common.images.transforms import build_eval_transform
from toolkit_probing.task import shrunk
from toolkit_probing.task.shrunk import token_change

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
@pytest.mark.parametrize("size", ["exact", 40])
def test_whole_images_keep_their_tokens_and_their_store(call, tmp_path, size):
    plain = json.loads(call("probe").stdout)
    result = call("probe", "--cache-images", size)
    assert result.exit_code == 0, result.output
    results = json.loads(result.stdout)
    assert "kept once, without loss, as the encoder resizes them (33 pixels)" in result.stderr
    assert plain["images"] == {"cache_images": None, "token_change": None}
    assert results["images"] == {"cache_images": "exact", "token_change": 0}
    assert results["features"]["store"] == plain["features"]["store"]
    assert [row["metrics"] for row in results["rows"]] == [row["metrics"] for row in plain["rows"]]
    [file] = (tmp_path / "cache/images").glob("*.hdf5")
    with h5py.File(file) as kept:
        assert len(kept["images"]) == 16


@pytest.mark.slow
def test_tokens_of_what_is_kept_are_those_of_the_files(call, tmp_path):
    kept = json.loads(
        call("features", "--cache-images", "exact", "--store-dir", tmp_path / "a").stdout
    )
    plain = json.loads(call("features", "--store-dir", tmp_path / "b").stdout)
    assert not kept["was_cached"]
    assert not plain["was_cached"]
    names = sorted(path.name for path in Path(plain["store"]).glob("*.safetensors"))
    assert names
    for name in names:
        assert (Path(kept["store"]) / name).read_bytes() == (
            Path(plain["store"]) / name
        ).read_bytes()


@pytest.mark.parametrize("command", ["probe", "features"])
def test_images_are_not_enlarged_again(call, command, tmp_path):
    result = call(command, "--cache-images", 32)
    assert_bad_input(result, "--cache-images 32 is below the 33 pixels", "test_vit")
    assert not (tmp_path / "run2").exists()
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_random_crops_come_from_smaller_images_and_what_that_changes_is_told(call, monkeypatch):
    options = ["--augment", "crops", "--epochs", 1, "--method", "linear", "--lr", 0.01]
    result = call("probe", "--cache-images", 40, *options)
    assert result.exit_code == 0, result.output
    images = json.loads(result.stdout)["images"]
    assert images["cache_images"] == 40
    assert 0.01 < images["token_change"] < 1
    assert "random crops are cut out of the smaller images" in result.stderr
    assert f"patch tokens change by {images['token_change']:.1%} of their norm" in result.stderr


def test_random_crops_need_more_than_an_encoder_reads(call):
    result = call("probe", "--cache-images", "exact", "--augment", "crops", "--method", "linear")
    assert_bad_input(result, "--cache-images exact", "--augment crops", "66 or more")


def test_the_change_of_tokens_is_a_mean_over_tokens_of_the_deepest_layer(monkeypatch):
    monkeypatch.setattr(shrunk, "LOOKED_AT", 2)
    before = build_data(list("abc"), images=[image_bytes(seed) for seed in (1, 2, 3)])
    after = build_data(list("abc"), images=[image_bytes(seed) for seed in (4, 5, 6)])
    backbone = load_backbone("timm:test_vit?image_size=32&layers=all", random_init=True)
    change = partial(token_change, backbone=backbone, accelerator=Accelerator(cpu=True))
    shares = []
    transform = build_eval_transform(backbone.info.preprocess)
    for row in (0, 2):
        one, other = (
            backbone(
                backbone.info.preprocess.normalize(transform(open_image(place))[None])
            ).patches[0]
            for place in (before.images[row]["image"], after.images[row]["image"])
        )
        shares += [float((b - a).norm() / a.norm()) for a, b in zip(one, other, strict=True)]
    result = change(before, after, np.arange(3))
    assert result == pytest.approx(sum(shares) / len(shares), rel=1e-4)
    assert change(before, before, np.arange(3)) == 0


def test_a_stream_is_refused(run_cli, tmp_path):
    features = Features({"image": Image(), "label": ClassLabel(names=["a", "b"])})
    images = [{"bytes": image_bytes(number), "path": None} for number in range(20)]
    rows = Dataset.from_dict({"image": images, "label": [0, 1] * 10}, features=features)
    (tmp_path / "set").mkdir()
    rows.to_parquet(tmp_path / "set/train.parquet")
    data = f"hf:{tmp_path / 'set'}?streaming=1"
    result = run_cli("features", *TINY, "--data", data, "--cache-images", 40)
    assert_bad_input(result, f"--cache-images 40 reads images in any order, and {data!r} is a str")
