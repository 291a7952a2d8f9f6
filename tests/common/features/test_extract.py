"""One pass of the encoder: into a store, into memory, or every epoch; and what is reused."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from helpers.ranks import run_ranks
from helpers.small_data import build_data, image_bytes
from toolkit_common.backbones.contract import Backbone
from toolkit_common.backbones.load import load_backbone
from toolkit_common.data.dataset import ImageData
from toolkit_common.errors import InputError
from toolkit_common.features import extract as module
from toolkit_common.features.codec import bytes_per_image
from toolkit_common.features.contract import LayerFeatures
from toolkit_common.features.encode import Extraction
from toolkit_common.features.extract import Extracted, extract
from toolkit_common.features.store import INDEX, MemoryStore, TokenStore
from toolkit_common.images.open import open_image
from toolkit_common.images.transforms import build_eval_transform

VIT = "timm:test_vit?image_size=32"
ROWS = np.array([6, 0, 3, 5, 1])


def make_data(num_rows: int = 8, *, seed: int = 0, labels: str = "ab") -> ImageData:
    images = [image_bytes(seed + row) for row in range(num_rows)]
    return build_data([labels[row % 2] for row in range(num_rows)], images=images)


def run(
    how: Extraction,
    *,
    text: str = VIT,
    data: ImageData | None = None,
    rows: np.ndarray = ROWS,
    backbone: Backbone | None = None,
    train: np.ndarray | None = None,
) -> Extracted:
    backbone = backbone or load_backbone(text, random_init=True)
    accelerator = Accelerator(cpu=True)
    data = data or make_data()
    return extract(backbone, data, rows, how=how, accelerator=accelerator, train=train)


def read(extracted: Extracted, *positions: int) -> LayerFeatures:
    batch = np.array(positions) if positions else np.arange(len(extracted.source))
    (result,) = extracted.source.iterate([batch])
    return result


def assert_same(result: LayerFeatures, expected: LayerFeatures, tolerance: float = 0.0) -> None:
    assert result.keys() == expected.keys()
    for layer, kept in result.items():
        for name, vector in expected[layer].vectors.items():
            torch.testing.assert_close(kept.vectors[name], vector, rtol=tolerance, atol=tolerance)
        wanted = expected[layer].patches
        if wanted is not None:
            torch.testing.assert_close(kept.patches, wanted, rtol=tolerance, atol=tolerance)


@pytest.fixture
def how(tmp_path: Path) -> Extraction:
    return Extraction(tmp_path / "stores", store="disk", dtype="fp32", batch_size=2)


def shards(how: Extraction) -> list[Path]:
    return sorted(how.store_dir.glob("*/tokens-*.safetensors"))


# What is extracted


def test_features_are_those_of_the_backbone_on_the_images_in_their_order(how: Extraction) -> None:
    backbone, data = load_backbone(f"{VIT}&layers=2,-1", random_init=True), make_data()
    transform = build_eval_transform(backbone.info.preprocess)
    images = [transform(open_image(data.images[int(row)]["image"])) for row in ROWS]
    expected = backbone.forward_layers(backbone.info.preprocess.normalize(torch.stack(images)))
    result = read(run(how, backbone=backbone, data=data))
    assert list(result) == [2, 6]
    for tokens, kept in zip(expected, result.values(), strict=True):
        assert kept.patches is not None
        torch.testing.assert_close(kept.patches, tokens.patches, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(kept.vectors["cls"], tokens.prefix[:, 0], rtol=1e-4, atol=1e-5)
        assert kept.grid == (2, 2)


@pytest.mark.parametrize("batch_size", [1, 3, 5, 64])
def test_the_batch_size_changes_nothing(batch_size: int, how: Extraction) -> None:
    expected = read(run(how))
    changed = replace(how, batch_size=batch_size, store_dir=how.store_dir / "other")
    assert_same(read(run(changed)), expected, tolerance=1e-5)


@pytest.mark.slow
def test_all_places_give_the_same_features(how: Extraction) -> None:
    result = {place: run(replace(how, store=place)) for place in ("disk", "memory", "online")}  # type: ignore[arg-type]
    assert {place: item.place for place, item in result.items()} == {name: name for name in result}
    for positions in ((), (4, 0, 0, 2)):
        expected = read(result["disk"], *positions)
        assert_same(read(result["memory"], *positions), expected)
        assert_same(read(result["online"], *positions), expected, tolerance=1e-5)


def crops_of(extracted: Extracted, epoch: int, *positions: int) -> LayerFeatures:
    assert extracted.crops is not None
    (result,) = extracted.crops.iterate([np.array(positions)], epoch=epoch)
    return result


@pytest.mark.slow
def test_views_are_the_crops_of_the_first_epochs_in_turn(how: Extraction) -> None:
    requested = replace(how, random_crops=True, seed=3)
    train = np.array([4, 0, 2])
    anew = run(requested)
    for place in ("disk", "memory", "online"):
        kept = run(replace(requested, views=2, store=place), train=train)  # type: ignore[arg-type]
        for epoch in range(4):
            expected = crops_of(anew, epoch % 2, 2, 4)
            assert_same(crops_of(kept, epoch, 2, 4), expected, tolerance=1e-5)
        assert_same(read(kept), read(anew), tolerance=1e-5)


@pytest.mark.slow
def test_views_are_kept_for_the_next_run_each_under_its_key(how: Extraction) -> None:
    requested = replace(how, random_crops=True, views=2)
    run(requested)
    assert len(shards(requested)) == 3
    before = {path: path.stat().st_mtime_ns for path in shards(requested)}
    run(replace(requested, views=1))
    assert {path: path.stat().st_mtime_ns for path in shards(requested)} == before
    run(replace(requested, seed=1))
    run(requested, rows=ROWS[::-1].copy())
    assert len(shards(requested)) == 3 + 2 + 3


def test_a_view_of_fewer_images_keeps_those_alone(how: Extraction) -> None:
    kept = run(replace(how, random_crops=True, views=1), train=np.array([1]))
    sizes = sorted(TokenStore(path.parent).spec.num_images for path in shards(how))
    assert sizes == [1, len(ROWS)]
    assert crops_of(kept, 5, 1)[6].patches.shape[0] == 1


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16", "int8"])
@pytest.mark.parametrize("place", ["memory", "online"])
def test_every_place_gives_the_bits_of_the_disk(
    place: str, dtype: str, how: Extraction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARD_BYTES", 1 << 11)  # shards that no batch fills
    how = replace(how, dtype=dtype)  # type: ignore[arg-type]
    on_disk, result = run(how), run(replace(how, store=place))  # type: ignore[arg-type]
    for positions in ((), (4, 0, 0, 2)):
        expected, got = read(on_disk, *positions)[6].patches, read(result, *positions)[6].patches
        assert expected is not None
        assert got is not None
        assert got.dtype == expected.dtype
        assert torch.equal(got, expected)


@pytest.mark.parametrize("dtype", ["fp16", "int8"])
def test_memory_takes_what_the_plan_says(dtype: str, how: Extraction) -> None:
    result = run(replace(how, dtype=dtype, store="memory"))  # type: ignore[arg-type]
    assert isinstance(result.source, MemoryStore)
    planned = bytes_per_image({6: (4, 64)}, dtype=dtype, with_patches=True)  # type: ignore[arg-type]
    pooled = 4 * 64  # which the plan counts too, was not requested
    kept = result.source.features[6]
    tensors = [*kept.vectors.values(), kept.patches, kept.scale]
    held = sum(item.nbytes for item in tensors if item is not None)
    assert held == (planned - pooled) * len(ROWS)


@pytest.mark.parametrize("place", ["disk", "memory", "online"])
def test_a_head_can_learn_from_features_of_any_place(place: str, how: Extraction) -> None:
    kept = read(run(replace(how, store=place)))[6]  # type: ignore[arg-type]
    assert kept.patches is not None
    for features in (kept.patches, *kept.vectors.values()):
        scale = torch.nn.Parameter(torch.ones(64))
        (features * scale).sum().backward()
        assert scale.grad is not None


@pytest.mark.parametrize("place", ["disk", "memory", "online"])
@pytest.mark.parametrize("factor", [1e9, float("nan")])
def test_tokens_that_do_not_fit_are_refused_everywhere(
    place: str, factor: float, how: Extraction
) -> None:
    backbone = load_backbone(VIT, random_init=True)
    backbone.encoder.model.norm.weight.data *= factor
    none = (
        r"no finite numbers: 6\.\w+ of \d of \d rows has NaN .* first row 6 \(image \S+\); of all"
    )
    message = "do not fit fp16" if factor == 1e9 else none
    with pytest.raises(InputError, match=message):
        run(replace(how, store=place, dtype="fp16"), backbone=backbone)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["disk", "memory", "online"])
@pytest.mark.parametrize("kind", ["patches", "vectors", "crops"])
def test_one_row_that_is_no_number_is_named_whatever_is_read(
    kind: str, place: str, how: Extraction
) -> None:
    """The encoder overflows where an image is white, as the third one is, however it is cut."""
    backbone = load_backbone(VIT, random_init=True)

    def overflow(_: object, inputs: tuple[torch.Tensor]) -> None:
        inputs[0][inputs[0].amin(dim=(1, 2, 3)) > 0.9] *= float("inf")

    backbone.encoder.model.patch_embed.register_forward_pre_hook(overflow)
    white = BytesIO()
    Image.new("RGB", (40, 40), "white").save(white, "PNG")
    images = [white.getvalue() if row == 3 else image_bytes(row) for row in range(8)]
    data = build_data("abababab", images=images)
    changed = {"with_patches": kind == "patches", "random_crops": kind == "crops"}
    message = r"of 1 of [12] rows .* row 3 \(image \S+\); of"
    chosen = replace(how, store=place, **changed)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=message):
        read(run(chosen, backbone=backbone, data=data))
    assert not list(how.store_dir.glob(f"*/{INDEX}"))


def test_the_pooled_output_is_kept_when_requested(how: Extraction) -> None:
    assert "pooled" not in read(run(how))[6].vectors
    result = run(replace(how, with_pooled=True))
    assert read(result)[6].vectors["pooled"].shape == (5, 64)
    assert not result.was_cached


def test_convolutional_encoders_are_extracted_too(how: Extraction) -> None:
    result = read(run(how, text="timm:test_resnet?image_size=64&layers=3,-1"))
    assert [kept.grid for kept in result.values()] == [(8, 8), (2, 2)]
    assert set(result[5].vectors) == {"mean"}


# What is reused


def test_a_second_pass_is_served_from_the_store(how: Extraction) -> None:
    first, second = run(how), run(how)
    assert (first.was_cached, second.was_cached) == (False, True)
    assert first.key == second.key
    assert_same(read(second), read(first))


def test_vectors_are_served_from_a_store_of_all_tokens(how: Extraction) -> None:
    full = run(how)
    vectors = run(replace(how, with_patches=False))
    assert vectors.was_cached
    assert vectors.key == full.key
    assert_same(
        {6: replace(read(vectors)[6], patches=None)}, {6: replace(read(full)[6], patches=None)}
    )


def test_patches_are_not_served_from_a_store_of_vectors(how: Extraction) -> None:
    assert not run(replace(how, with_patches=False)).was_cached
    result = run(how)
    assert not result.was_cached
    assert read(result)[6].patches is not None


@pytest.mark.slow
def test_a_store_is_not_used_where_none_is_wanted(how: Extraction) -> None:
    run(how)
    assert not run(replace(how, store="online")).was_cached
    assert not run(replace(how, store="memory")).was_cached
    assert run(replace(how, store="auto")).was_cached


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"text": f"{VIT}&layer=3"},
        {"text": "timm:test_vit?image_size=64"},
        {"text": "timm:test_vit2?image_size=32"},
        {"rows": ROWS[:-1]},
        {"rows": ROWS[::-1].copy()},
        {"data": make_data(seed=1)},
    ],
    ids=str,
)
def test_other_features_are_extracted_anew(change: dict[str, object], how: Extraction) -> None:
    first, second = run(how), run(how, **change)  # type: ignore[arg-type]
    assert not second.was_cached
    assert first.key != second.key


@pytest.mark.slow
def test_a_changed_weight_or_transform_never_meets_old_features(how: Extraction) -> None:
    keys = {run(how).key}
    other = load_backbone(VIT, random_init=True)
    other.encoder.model.blocks[0].mlp.fc1.bias.data[3] += 1e-3
    keys.add(run(how, backbone=other).key)
    for change in ({"crop_pct": 0.5}, {"mean": (0.1, 0.5, 0.5)}, {"interpolation": "bilinear"}):
        backbone = load_backbone(VIT, random_init=True)
        preprocess = replace(backbone.info.preprocess, **change)
        backbone.info = replace(backbone.info, preprocess=preprocess)
        keys.add(run(how, backbone=backbone).key)
    assert len(keys) == 5


def test_labels_do_not_make_other_features(how: Extraction) -> None:
    run(how)
    assert run(how, data=make_data(labels="xy")).was_cached


def test_batch_size_and_workers_do_not_make_other_features(how: Extraction) -> None:
    run(how)
    assert run(replace(how, batch_size=7, num_workers=1)).was_cached


# Resuming


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch, how: Extraction) -> Extraction:
    """Two images a shard."""
    monkeypatch.setattr(module, "SHARD_BYTES", 2 * (5 * 4 * 64 + 4 * 64 * 4))
    return how


def test_a_pass_that_was_cut_short_goes_on_with_what_is_missing(small_shards: Extraction) -> None:
    expected = read(run(small_shards))
    paths = shards(small_shards)
    assert len(paths) == 3
    (paths[0].parent / INDEX).unlink()
    paths[1].unlink()
    paths[2].write_bytes(paths[2].read_bytes()[:100])
    before = paths[0].stat().st_mtime_ns
    again = run(small_shards)
    assert not again.was_cached
    assert_same(read(again), expected, tolerance=1e-5)
    assert paths[0].stat().st_mtime_ns == before
    assert paths[1].exists()


def test_a_pass_goes_on_with_the_shards_it_began_with(
    small_shards: Extraction, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read(run(small_shards))
    (shards(small_shards)[0].parent / INDEX).unlink()
    monkeypatch.setattr(module, "SHARD_BYTES", 1 << 27)
    assert_same(read(run(small_shards)), expected)
    assert len(shards(small_shards)) == 3


def test_a_pass_goes_on_with_a_disk_that_it_has_filled(
    small_shards: Extraction, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_shards = replace(small_shards, store="auto")
    run(small_shards)
    paths = shards(small_shards)
    (paths[0].parent / INDEX).unlink()
    paths[1].unlink()
    planned = bytes_per_image({6: (4, 64)}, dtype="fp32", with_patches=True) * len(ROWS)
    written = sum(path.stat().st_size for path in paths[0].parent.glob("*.safetensors"))
    monkeypatch.setattr("toolkit_common.features.planner.available_memory", lambda: 0)
    monkeypatch.setattr(
        "toolkit_common.features.planner._available_disk", lambda _: 2 * planned - written
    )
    assert run(small_shards).place == "disk"


def test_a_complete_store_that_is_damaged_is_named(small_shards: Extraction) -> None:
    run(small_shards)
    path = shards(small_shards)[1]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{path} is damaged"):
        read(run(small_shards))


@pytest.mark.dist
@pytest.mark.parametrize("place", ["disk", "auto"])
def test_ranks_share_one_pass(place: str, small_shards: Extraction) -> None:
    backbone, data = load_backbone(VIT, random_init=True), make_data()
    how = replace(small_shards, store=place)  # type: ignore[arg-type]

    def work(accelerator: Accelerator) -> tuple[LayerFeatures, bool, str]:
        result = extract(backbone, data, ROWS, how=how, accelerator=accelerator)
        return read(result), result.was_cached, result.place

    result = run_ranks(work)
    expected = read(run(replace(how, store="memory"), backbone=backbone, data=data))
    for features, was_cached, where in result:
        assert_same(features, expected, tolerance=1e-5)
        assert (was_cached, where) == (False, "disk")
    assert len(shards(how)) == 3


def test_a_store_can_be_read_without_the_encoder(how: Extraction) -> None:
    result = run(how)
    store = TokenStore(how.store_dir / result.key)
    assert store.spec.num_images == len(result.source) == 5
    assert store.spec.key() == result.key


def test_what_it_costs_is_printed_first(
    how: Extraction, capsys: pytest.CaptureFixture[str]
) -> None:
    run(how)
    printed = capsys.readouterr().err
    assert "features: 5 images x 4 tokens = " in printed
    assert "change with --store-dtype" in printed
    assert "online" not in printed  # what only extracts has no choice of place
    run(how)
    assert "features: stored ones serve" in capsys.readouterr().err


@pytest.mark.parametrize("store", ["disk", "memory"])
def test_tokens_without_room_are_refused_before_the_encoder_runs(
    store: Any, how: Extraction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit_common.features.planner._available_disk", lambda _: 100)
    monkeypatch.setattr("toolkit_common.features.planner.available_memory", lambda: 100)
    with pytest.raises(InputError, match=r"tokens of .* KiB do not fit .* which has 100 B free"):
        run(replace(how, store=store))
    assert not how.store_dir.exists()


def test_a_run_prints_the_price_of_every_place(
    how: Extraction, capsys: pytest.CaptureFixture[str]
) -> None:
    run(replace(how, train_reads=1_000_000, other_reads=5))
    printed = capsys.readouterr().err
    assert "tokens go to disk: requested" in printed
    assert "-> disk" in printed
    online = next(line for line in printed.splitlines() if line.startswith("     online"))
    assert online.endswith((" min", " h"))
    assert "(change with --store, --store-dtype)" in printed
    assert "  as fp32 " in printed
    assert "int8 " in printed


def test_the_cost_of_crops_is_printed(how: Extraction, capsys: pytest.CaptureFixture[str]) -> None:
    run(replace(how, random_crops=True, train_reads=1_000_000))
    printed = capsys.readouterr().err
    assert "runs the encoder on new crops of its images every epoch, about " in printed
    assert "--views K keeps K crops of each" in printed
