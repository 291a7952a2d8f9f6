"""Token stores are listed with whose tokens they hold, and damage is named."""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.kills import run_forked
from helpers.small_data import build_data
from helpers.stores import SPEC, write_store
from toolkit_common.backbones.load import load_backbone
from toolkit_common.errors import InputError
from toolkit_common.features.encode import Extraction
from toolkit_common.features.extract import extract
from toolkit_common.features.inventory import find_damage, list_stores, open_for_use
from toolkit_common.features.store import INDEX
from toolkit_common.runs.locks import removing, unlock_all
from toolkit_common.training.distributed import build_accelerator


def test_a_store_is_listed_with_all_names_that_runs_gave_it(tmp_path: Path) -> None:
    folder = write_store(tmp_path)
    assert list_stores(tmp_path)[0].backbones == ()
    open_for_use(folder, backbone="timm:b", data="csv:t.csv")
    open_for_use(folder, backbone="timm:b", data="data.yaml")
    (stored,) = list_stores(tmp_path)
    assert (stored.backbones, stored.data) == (("timm:b",), ("csv:t.csv", "data.yaml"))
    assert (stored.spec["num_images"], stored.is_whole, stored.is_in_use) == (11, True, True)
    assert time.time() - stored.used < 60
    assert stored.num_bytes == sum(path.stat().st_size for path in folder.iterdir())
    unlock_all()
    assert list_stores(tmp_path)[0].state == "whole"


def test_the_last_used_comes_first_and_other_things_are_none(tmp_path: Path) -> None:
    old, new = write_store(tmp_path), write_store(tmp_path, replace(SPEC, images="j"))
    os.utime(old / INDEX, (0, 1000))
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").touch()
    assert [item.path for item in list_stores(tmp_path)] == [new, old]
    assert list_stores(tmp_path / "absent") == []


@pytest.mark.parametrize(
    ("spoil", "damage"),
    [
        (lambda shard: shard.write_bytes(shard.read_bytes()[:-1] + b"\x01\x02"), "not as it was"),
        (Path.unlink, "vectors-00001.safetensors is gone"),
        (lambda shard: (shard.parent / INDEX).write_text("{"), "index.json cannot be read"),
        (lambda shard: (shard.parent / INDEX).write_text("{}"), "index.json cannot be read"),
    ],
)
def test_damage_is_named(tmp_path: Path, spoil, damage: str) -> None:
    folder = write_store(tmp_path)
    assert list(find_damage(list_stores(tmp_path)[0])) == []
    spoil(folder / "vectors-00001.safetensors")
    (found,) = find_damage(list_stores(tmp_path)[0])
    assert damage in found


def test_what_is_there_of_an_unfinished_store_is_checked(tmp_path: Path) -> None:
    folder = write_store(tmp_path, is_finished=False)
    (folder / "vectors-00000.xxh3").unlink()  # cut short: it is written again
    (stored,) = list_stores(tmp_path)
    assert (stored.is_whole, stored.spec, list(find_damage(stored))) == (False, {}, [])
    (folder / "vectors-00001.safetensors").write_bytes(b"other")
    assert "vectors-00001.safetensors is not as it was written" in next(find_damage(stored))


def test_what_another_process_reads_is_not_removed(tmp_path: Path) -> None:
    folder = write_store(tmp_path)
    open_for_use(folder, backbone="b", data="d")

    def remove() -> None:
        with pytest.raises(InputError, match="is in use by a running process"), removing(folder):
            raise AssertionError

    assert run_forked(remove)
    unlock_all()
    with removing(folder):
        assert run_forked(lambda: _refused(folder))
    with removing(folder):
        pass


def _refused(folder: Path) -> None:
    with pytest.raises(InputError, match="is being removed by another process"):
        open_for_use(folder, backbone="b", data="d")


def test_a_store_that_is_ours_to_read_alone_is_read(tmp_path: Path, monkeypatch) -> None:
    folder = write_store(tmp_path)

    def denied(*args: object) -> int:
        raise PermissionError

    monkeypatch.setattr("toolkit_common.runs.locks.os.open", denied)
    monkeypatch.setattr("toolkit_common.features.inventory.write_json", denied)
    open_for_use(folder, backbone="b", data="d")
    assert list_stores(tmp_path)[0].backbones == ()


@pytest.mark.slow
def test_an_extraction_notes_whose_tokens_it_keeps_and_holds_them(tmp_path: Path) -> None:
    backbone = load_backbone("timm:test_vit?image_size=32", random_init=True)
    data = build_data(["a", "b"] * 4)
    how, accelerator = Extraction(tmp_path, store="disk"), build_accelerator(device="cpu")
    for _ in range(2):  # made, then found
        extract(backbone, data, np.arange(8), how=how, accelerator=accelerator)
        (stored,) = list_stores(tmp_path)
        assert (stored.backbones, stored.data) == (("timm:test_vit?image_size=32",), ("small",))
        assert stored.is_in_use
        unlock_all()
        (stored.path / "names.json").unlink()
