"""The encoder that settings name: which one stands in, which layers, how it is fed."""

from pathlib import Path

import pytest

from toolkit_common.training.distributed import build_accelerator
from toolkit_probing.settings import FeatureSettings
from toolkit_probing.task.encoder import build_extraction, load_probed_backbone, store_folder

VIT = "timm:test_vit?image_size=32"


def test_without_a_backbone_an_untrained_one_stands_in(capsys: pytest.CaptureFixture[str]) -> None:
    backbone = load_probed_backbone(FeatureSettings())
    assert backbone.info.id == "timm:vit_tiny_patch16_224"
    assert backbone.info.receipt.is_random
    assert "RANDOM WEIGHTS (no --backbone was given)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("layers", "expected"), [(None, (6,)), ((1, -1), (1, 6)), (("all",), tuple(range(1, 7)))]
)
def test_layers_are_read_whatever_else_the_identifier_says(
    layers: tuple[int, ...] | None, expected: tuple[int, ...]
) -> None:
    chosen = FeatureSettings(backbone=VIT, random_init=True, layers=layers)
    assert load_probed_backbone(chosen).info.layers == expected


def test_images_are_fed_as_to_imagenet_at_the_encoders_own_size() -> None:
    own, fed = (
        load_probed_backbone(FeatureSettings(backbone=VIT, random_init=True, preprocess=name)).info
        for name in ("own", "imagenet")
    )
    assert fed.preprocess.image_size == own.preprocess.image_size == (32, 32)
    assert fed.preprocess.mean == (0.485, 0.456, 0.406) != own.preprocess.mean


def test_stores_lie_in_the_cache_or_where_the_user_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "cache"))
    assert store_folder(FeatureSettings()) == tmp_path / "cache/features"
    chosen = FeatureSettings(store_dir=tmp_path / "own", store_dtype="int8", extract_batch_size=3)
    how = build_extraction(chosen, build_accelerator(device="cpu"))
    assert (how.store_dir, how.dtype, how.batch_size) == (tmp_path / "own", "int8", 3)
