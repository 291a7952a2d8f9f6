"""The token store: what is written is read, in any order, and damage is noticed."""

import errno
import json
import os
import pickle
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from helpers.devices import DEVICE, on_gpu
from helpers.mutations import mutated, reads_or_refuses
from helpers.properties import few_examples
from helpers.sparse_store import write_sparse_store
from helpers.stores import write_store
from toolkit_common.errors import InputError
from toolkit_common.features import store as module
from toolkit_common.features.codec import (
    StoreDtype,
    bytes_per_image,
    dequantize,
    keep,
    quantize,
    widen,
)
from toolkit_common.features.contract import Features, LayerFeatures, flatten
from toolkit_common.features.extract import SHARD_BYTES
from toolkit_common.features.planner import GIB, plan_extraction
from toolkit_common.features.store import (
    INDEX,
    JOINT_VERSION,
    MemoryStore,
    StoreSpec,
    StoreWriter,
    TokenStore,
    find_store,
)

ROWS = 11
SPEC = StoreSpec(
    encoder="e",
    layers=(2, 5),
    preprocess={"image_size": (8, 8), "mean": (0.5,)},
    images="i",
    num_images=ROWS,
    with_patches=True,
    with_pooled=False,
    dtype="fp32",
    precision="no",
)


def make_features(*, scale: float = 1.0) -> LayerFeatures:
    draws = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draws) * scale

    return {
        layer: Features({"mean": draw(ROWS, d), "cls": draw(ROWS, d)}, draw(ROWS, 6, d), (2, 3))
        for layer, d in ((2, 4), (5, 8))
    }


def rows_of(features: LayerFeatures, rows: Any) -> LayerFeatures:
    return {
        layer: Features(
            {name: vector[rows] for name, vector in kept.vectors.items()},
            None if kept.patches is None else kept.patches[rows],
            kept.grid,
        )
        for layer, kept in features.items()
    }


def write(
    folder: Path, features: LayerFeatures, spec: StoreSpec = SPEC, *, shard_rows: int = 4
) -> StoreWriter:
    writer = StoreWriter(folder, spec, shard_rows=shard_rows)
    for shard in range(writer.num_shards):
        rows = slice(shard * writer.shard_rows, (shard + 1) * writer.shard_rows)
        writer.write(shard, keep(rows_of(features, rows), spec.dtype))
    writer.finish()
    return writer


def assert_same(result: LayerFeatures, expected: LayerFeatures) -> None:
    assert result.keys() == expected.keys()
    for layer, kept in result.items():
        assert kept.grid == expected[layer].grid
        assert kept.vectors.keys() == expected[layer].vectors.keys()
        for name, vector in kept.vectors.items():
            assert torch.equal(vector, expected[layer].vectors[name])
        patches, wanted = kept.patches, expected[layer].patches
        assert (patches is None) == (wanted is None)
        if patches is not None and wanted is not None:
            assert torch.equal(patches, wanted)


# Reading


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("shard_rows", [1, 4, 11, 100])
def test_what_is_written_is_read(shard_rows: int, in_memory: bool, tmp_path: Path) -> None:
    features = make_features()
    write(tmp_path / "s", features, shard_rows=shard_rows)
    store = TokenStore(tmp_path / "s", in_memory=in_memory)
    assert len(store) == ROWS
    assert store.spec == replace(SPEC, preprocess={"image_size": [8, 8], "mean": [0.5]})
    assert_same(store.read(np.arange(ROWS)), features)


@pytest.mark.slow
@given(st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=30), st.integers(1, 12))
@few_examples
def test_rows_come_in_any_order_and_as_often_as_requested(rows: list[int], shard_rows: int) -> None:
    features, folder = make_features(), Path(f"store-{shard_rows}")
    if not folder.exists():
        write(folder, features, shard_rows=shard_rows)
    positions = np.array(rows)
    result = TokenStore(folder).read(positions)
    assert_same(result, MemoryStore(keep(features, "fp32")).read(positions))
    assert_same(result, rows_of(features, torch.tensor(rows)))


def test_batches_come_one_by_one(tmp_path: Path) -> None:
    features = make_features()
    write(tmp_path / "s", features)
    batches = [np.array([3, 9]), np.array([10]), np.array([0, 0, 5])]
    stores = (TokenStore(tmp_path / "s"), MemoryStore(keep(features, "fp32")))
    for from_disk, in_memory in zip(*(store.iterate(batches) for store in stores), strict=True):
        assert_same(from_disk, in_memory)
    assert len(stores[1]) == ROWS


@pytest.mark.parametrize(
    ("dtype", "expected", "tolerance"),
    [
        ("fp32", torch.float32, 0.0),
        ("fp16", torch.float16, 1e-3),
        ("bf16", torch.bfloat16, 8e-3),
        ("int8", torch.int8, 2e-2),
    ],
)
def test_patches_come_back_as_near_as_their_dtype(
    dtype: StoreDtype, expected: torch.dtype, tolerance: float, tmp_path: Path
) -> None:
    features = make_features()
    write(tmp_path / "s", features, replace(SPEC, dtype=dtype))
    for layer, kept in TokenStore(tmp_path / "s").read(np.arange(ROWS)).items():
        original = features[layer]
        assert kept.patches is not None
        assert original.patches is not None
        assert kept.patches.dtype == expected
        error = (widen(kept, torch.float32) - original.patches).abs().max()
        assert error <= tolerance * original.patches.abs().max()
        assert torch.equal(kept.vectors["mean"], original.vectors["mean"])


@on_gpu
@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16", "int8"])
def test_what_arrives_on_a_gpu_is_what_is_kept(dtype: StoreDtype, tmp_path: Path) -> None:
    write(tmp_path / "s", make_features(), replace(SPEC, dtype=dtype))
    store, batches = TokenStore(tmp_path / "s"), [np.array([3, 9, 1]), np.array([10, 0])]
    for batch, kept in zip(batches, store.iterate(batches), strict=True):
        arrived, expected = kept[5].to(DEVICE), store.read(batch)[5]
        assert torch.equal(widen(arrived, torch.float32).cpu(), widen(expected, torch.float32))


def test_int8_is_what_quantizing_gives(tmp_path: Path) -> None:
    features = make_features(scale=100.0)
    write(tmp_path / "s", features, replace(SPEC, dtype="int8"))
    result = TokenStore(tmp_path / "s").read(np.array([7]))[5]
    original = features[5].patches
    assert original is not None
    assert torch.equal(widen(result, torch.float32), dequantize(*quantize(original[7:8])))


def test_vectors_can_be_kept_alone(tmp_path: Path) -> None:
    features = {layer: replace(kept, patches=None) for layer, kept in make_features().items()}
    write(tmp_path / "s", features, replace(SPEC, with_patches=False))
    assert_same(TokenStore(tmp_path / "s").read(np.arange(ROWS)), features)


def test_vectors_are_read_without_the_tokens_beside_them(tmp_path: Path) -> None:
    features = make_features()
    write(tmp_path / "s", features)
    for path in (tmp_path / "s").glob("tokens-*"):
        path.unlink()
    positions = np.array([9, 0, 4])
    expected = {layer: replace(kept, patches=None) for layer, kept in features.items()}
    (result,) = TokenStore(tmp_path / "s").iterate([positions], patches=False)
    assert_same(result, rows_of(expected, positions))
    (result,) = MemoryStore(keep(features, "int8")).iterate([positions], patches=False)
    assert_same(result, rows_of(expected, positions))
    with pytest.raises(InputError, match=r"tokens-00000\.safetensors is damaged"):
        TokenStore(tmp_path / "s").read(positions)


def test_a_count_that_no_array_has_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "s", make_features())
    index = json.loads((tmp_path / "s" / INDEX).read_text())
    (tmp_path / "s" / INDEX).write_text(json.dumps({**index, "shard_rows": 2**64}))
    with pytest.raises(InputError, match="shard_rows"):
        TokenStore(tmp_path / "s")


@pytest.mark.parametrize("dtype", ["fp32", "int8"])
def test_a_store_of_the_layout_before_is_read(dtype: StoreDtype, tmp_path: Path) -> None:
    """Vectors and tokens in one file."""
    features, spec = make_features(), replace(SPEC, dtype=dtype)
    folder = tmp_path / spec.key(version=JOINT_VERSION)
    folder.mkdir()
    checksums = {}
    for shard, start in enumerate(range(0, ROWS, 4)):
        path = folder / f"tokens-{shard:05d}.safetensors"
        tensors = flatten(keep(rows_of(features, slice(start, start + 4)), dtype))
        save_file(tensors, path, metadata={"grids": json.dumps({2: (2, 3), 5: (2, 3)})})
        checksums[path.name] = xxhash.xxh3_128(path.read_bytes()).hexdigest()
    index = {"version": 3, "spec": asdict(spec), "shard_rows": 4, "shards": checksums}
    (folder / INDEX).write_text(json.dumps(index))
    assert find_store(spec, tmp_path) == folder
    assert find_store(replace(spec, with_patches=False), tmp_path) == folder
    store, positions = TokenStore(folder), np.array([10, 1, 5])
    expected = MemoryStore(keep(features, dtype)).read(positions)
    assert_same(store.read(positions), expected)
    alone = {layer: replace(kept, patches=None) for layer, kept in expected.items()}
    assert_same(store.read(positions, patches=False), alone)
    write(tmp_path / spec.key(), features, spec)
    assert find_store(spec, tmp_path) == tmp_path / spec.key()


@pytest.mark.parametrize(
    ("wanted", "is_served"),
    [
        ({"with_patches": False}, True),
        ({"with_patches": False, "dtype": "fp16"}, True),
        ({"with_pooled": False}, True),
        ({"with_patches": False, "with_pooled": False, "dtype": "int8"}, True),
        ({"dtype": "fp16"}, False),
        ({"layers": (2,)}, False),
    ],
    ids=str,
)
def test_a_store_serves_who_wants_less(wanted: dict[str, Any], is_served: bool, tmp_path) -> None:
    spec = replace(SPEC, with_pooled=True)
    write(tmp_path / spec.key(), make_features(), spec)
    assert (find_store(replace(spec, **wanted), tmp_path) is not None) == is_served


def test_what_is_read_can_be_trained_on_and_changed(tmp_path: Path) -> None:
    write(tmp_path / "s", make_features())
    store = TokenStore(tmp_path / "s")
    first = store.read(np.arange(ROWS))[5].vectors["mean"]
    torch.nn.Linear(8, 1)(first).sum().backward()
    first.zero_()
    assert store.read(np.arange(ROWS))[5].vectors["mean"].abs().sum() > 0


def test_another_process_gets_no_tensors(tmp_path: Path) -> None:
    """Pickling a view of a mapped shard would write the whole of it."""
    write(tmp_path / "s", make_features())
    store = TokenStore(tmp_path / "s")
    expected = store.read(np.arange(ROWS))
    pickled = pickle.dumps(store)
    assert len(pickled) < 4000
    assert_same(pickle.loads(pickled).read(np.arange(ROWS)), expected)
    assert_same(store.read(np.arange(ROWS)), expected)


# Keys


@pytest.mark.parametrize(
    "change",
    [
        {"encoder": "f"},
        {"layers": (2,)},
        {"layers": (2, 6)},
        {"preprocess": {"image_size": (8, 9), "mean": (0.5,)}},
        {"preprocess": {"image_size": (8, 8), "mean": (0.4,)}},
        {"images": "j"},
        {"num_images": 12},
        {"with_patches": False},
        {"with_pooled": True},
        {"dtype": "int8"},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_the_key_knows_everything_that_makes_features(change: dict[str, Any]) -> None:
    assert replace(SPEC, **change).key() != SPEC.key()


def test_the_key_is_the_same_for_the_same_contents(tmp_path: Path) -> None:
    assert replace(SPEC).key() == SPEC.key()
    write(tmp_path / "s", make_features())
    assert TokenStore(tmp_path / "s").spec.key() == SPEC.key()


# Writing, damage


def test_a_store_without_its_index_is_incomplete(tmp_path: Path) -> None:
    write(tmp_path / "s", make_features())
    (tmp_path / "s" / INDEX).unlink()
    with pytest.raises(InputError, match=f"token store {tmp_path}/s is incomplete"):
        TokenStore(tmp_path / "s")


def test_a_writer_knows_which_shards_are_whole(tmp_path: Path) -> None:
    writer = write(tmp_path / "s", make_features())
    assert writer.num_shards == 3
    shards = sorted((tmp_path / "s").glob("tokens-*.safetensors"))
    shards[0].unlink()
    shards[1].write_bytes(shards[1].read_bytes()[:-1])
    assert [writer.has(shard) for shard in range(3)] == [False, False, True]
    vectors = tmp_path / "s" / "vectors-00002.safetensors"
    vectors.with_suffix(".xxh3").unlink()
    assert not writer.has(2)


def test_a_resumed_writer_cuts_the_rows_as_before(tmp_path: Path) -> None:
    write(tmp_path / "s", make_features(), shard_rows=4)
    assert StoreWriter(tmp_path / "s", SPEC, shard_rows=7).shard_rows == 4


def test_tokens_that_do_not_fit_are_refused_before_anything_is_written() -> None:
    with pytest.raises(InputError, match="do not fit fp16"):
        keep(make_features(scale=1e6), "fp16")


def test_nothing_is_left_of_a_write_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_disk(tensors: object, path: Path, **_: object) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr("toolkit_common.features.shards.save_file", fill_disk)
    writer = StoreWriter(tmp_path / "s", SPEC, shard_rows=4)
    with pytest.raises(OSError, match="no space left"):
        writer.write(0, keep(make_features(), "fp32"))
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["layout.json"]


@pytest.mark.parametrize("place", [10, 500, -1])
def test_one_changed_byte_is_noticed(place: int, tmp_path: Path) -> None:
    write(tmp_path / "s", make_features())
    shard = tmp_path / "s" / "tokens-00001.safetensors"
    content = bytearray(shard.read_bytes())
    content[place] ^= 1
    shard.write_bytes(content)
    store = TokenStore(tmp_path / "s")
    store.read(np.array([0, 10]))
    with pytest.raises(InputError, match=f"{shard} is damaged .its checksum differs.: delete"):
        store.read(np.array([0, 5]))


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("name", ["mean", "cls"])
def test_what_is_no_number_is_noticed_when_it_is_read_back(
    name: str, in_memory: bool, tmp_path: Path
) -> None:
    """A store of before features were checked, whole by its checksums."""
    features = make_features()
    for kept in features.values():
        kept.vectors[name][5] = float("nan")
    write(tmp_path / "s", features)
    names = "image {}.png".format
    store = TokenStore(tmp_path / "s", in_memory=in_memory, name_row=names)
    store.read(np.array([0, 8]))
    message = rf"2.{name} of 1 of 4 rows .* first image 5.png; delete the token store {tmp_path}/s"
    with pytest.raises(InputError, match=message):
        store.read(np.array([4]))


def test_a_missing_shard_is_noticed(tmp_path: Path) -> None:
    write(tmp_path / "s", make_features())
    (tmp_path / "s" / "tokens-00002.safetensors").unlink()
    with pytest.raises(
        InputError, match=r"tokens-00002.safetensors is damaged \(no such file or folder"
    ):
        TokenStore(tmp_path / "s").read(np.array([10]))


def test_a_shard_that_is_no_safetensors_file_is_noticed(tmp_path: Path) -> None:
    """Its checksum may fit: then the file was written so."""
    write(tmp_path / "s", make_features())
    shard, index = tmp_path / "s" / "tokens-00000.safetensors", tmp_path / "s" / INDEX
    shard.write_bytes(b"short")
    described = json.loads(index.read_text())
    described["shards"][shard.name] = xxhash.xxh3_128(b"short").hexdigest()
    index.write_text(json.dumps(described))
    with pytest.raises(InputError, match=r"tokens-00000.safetensors is damaged \(.*header"):
        TokenStore(tmp_path / "s").read(np.array([0]))


def test_where_the_machine_fails_nobody_is_told_to_delete_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> object:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    folder = write_store(tmp_path)
    monkeypatch.setattr(module, "read_json", fail)
    with pytest.raises(OSError, match="Too many open files") as caught:
        TokenStore(folder)
    assert not isinstance(caught.value, InputError)


@pytest.mark.parametrize("name", [INDEX, "vectors-00001.safetensors"])
def test_a_mutated_store_gives_an_error_or_the_same_features(name: str, tmp_path: Path) -> None:
    folder = write_store(tmp_path)
    content, expected = (folder / name).read_bytes(), TokenStore(folder).read(np.arange(8))

    @few_examples
    @given(mutated(content))
    def check(changed: bytes) -> None:
        (folder / name).write_bytes(changed)
        read = reads_or_refuses(lambda: TokenStore(folder).read(np.arange(8)))
        assert read is None or torch.equal(read[2].vectors["mean"], expected[2].vectors["mean"])

    check()


# ImageNet-1k through ViT-B/16, as docs/machines.md has it on paper

IMAGENET = replace(SPEC, layers=(12,), num_images=1_281_167, dtype="fp16")
SHAPES = {12: (196, 768)}


def held_bytes() -> int:
    """Memory of this process that is its own: mapped files are the system's to drop."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith("RssAnon"))
    return 1024 * int(line.split()[1])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_store_of_imagenet_is_planned_opened_and_read_in_little_memory(tmp_path: Path) -> None:
    row_bytes = bytes_per_image(SHAPES, dtype="fp16", with_patches=True)
    shard_rows = SHARD_BYTES // row_bytes
    folder = tmp_path / "s"
    claimed = write_sparse_store(folder, IMAGENET, tokens=196, width=768, shard_rows=shard_rows)
    assert claimed == row_bytes * len(range(IMAGENET.num_images)) == 405_381_737_472
    plan = plan_extraction(claimed, folder=folder, free_memory=64 * GIB, free_disk=1024 * GIB)
    assert (plan.place, plan.in_memory) == ("disk", False)
    before = held_bytes()
    store = TokenStore(folder)
    draws = np.random.default_rng(0)
    batches = [draws.integers(0, len(store), 4) for _ in range(3)]
    for batch, kept in zip(batches, store.iterate(batches), strict=True):
        assert kept[12].patches is not None
        assert kept[12].patches.shape == (len(batch), 196, 768)
    # Of shards of 128 MiB: three batches, their readers, an index of 6,044 files.
    assert held_bytes() - before < 64 << 20


def test_a_shard_that_was_removed_while_others_were_made_is_named(tmp_path: Path) -> None:
    features = make_features()
    writer = write(tmp_path, features)
    (tmp_path / "index.json").unlink()
    (tmp_path / "tokens-00001.xxh3").unlink()
    with pytest.raises(InputError, match=r"1 of \d+ files .* \(tokens-00001.safetensors first\)"):
        writer.finish()
    assert not (tmp_path / "index.json").exists()
