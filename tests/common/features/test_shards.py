"""A shard is two files, each whole or absent and named when it is damaged."""

from pathlib import Path

import pytest
import torch

from toolkit_common.errors import InputError
from toolkit_common.features.codec import keep
from toolkit_common.features.contract import Features
from toolkit_common.features.shards import (
    TOKENS,
    VECTORS,
    checksum,
    holds_patches,
    is_whole,
    read_shard,
    shard_checksum,
    shard_path,
    write_shard,
)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """The files of a shard of two layers, kept as int8."""
    layers = {
        layer: Features({"mean": torch.ones(3, 4)}, torch.ones(3, 6, 4), (2, 3))
        for layer in (1, 12)
    }
    write_shard(tmp_path, 7, keep(layers, "int8"))
    return {kind: shard_path(tmp_path, kind, 7) for kind in (TOKENS, VECTORS)}


def test_vectors_and_tokens_lie_apart_and_both_know_the_grids(files: dict[str, Path]) -> None:
    names = {
        TOKENS: {"1.patches", "1.patches_scale", "12.patches", "12.patches_scale"},
        VECTORS: {"1.mean", "12.mean"},
    }
    for kind, path in files.items():
        assert is_whole(path)
        tensors, grids = read_shard(path, checksum(path))
        assert set(tensors) == names[kind]
        assert all(holds_patches(name) == (kind == TOKENS) for name in tensors)
        assert grids == {1: (2, 3), 12: (2, 3)}


def test_a_shard_without_patches_has_no_file_of_tokens(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, {1: Features({"mean": torch.ones(3, 4)}, None, (2, 3))})
    assert [path.name for path in tmp_path.glob("*.safetensors")] == ["vectors-00000.safetensors"]


@pytest.mark.parametrize("kind", [TOKENS, VECTORS])
def test_what_was_changed_or_cut_short_is_noticed(kind: str, files: dict[str, Path]) -> None:
    path = files[kind]
    written = shard_checksum(path)
    assert written == checksum(path)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    assert not is_whole(path)
    with pytest.raises(InputError, match=f"{path} is damaged .its checksum differs.: delete"):
        read_shard(path, written)
    with pytest.raises(InputError, match=f"{path} is damaged "):
        read_shard(path, checksum(path))
    path.unlink()
    with pytest.raises(InputError, match=f"{path} is damaged .*no such file or folder"):
        read_shard(path, written)
    path.write_bytes(content)
    path.with_suffix(".xxh3").unlink()
    assert not is_whole(path)
    assert shard_checksum(path) is None


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"0" * 1_000_000, b"0" * 32])
def test_a_checksum_that_is_none_is_that_of_no_file(content: bytes, files: dict[str, Path]) -> None:
    path = files[VECTORS]
    path.with_suffix(".xxh3").write_bytes(content)
    assert len(shard_checksum(path) or "") <= 33
    assert not is_whole(path)


def test_what_follows_a_checksum_spoils_it(files: dict[str, Path]) -> None:
    path = files[VECTORS]
    path.with_suffix(".xxh3").write_text(f"{checksum(path)}0")
    assert not is_whole(path)
