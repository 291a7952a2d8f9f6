"""`toolkit cache`: what is kept is listed, checked, and removed when nobody reads it."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from conftest import assert_bad_input
from helpers.kills import run_forked
from helpers.stores import SPEC, write_store
from toolkit_common.cli import cache
from toolkit_common.errors import InputError
from toolkit_common.features.inventory import NAMES, open_for_use
from toolkit_common.features.store import INDEX
from toolkit_common.runs.files import read_json, write_json
from toolkit_common.runs.locks import share_folder, unlock_all

DAY = 86400


@pytest.fixture
def stores(tmp_path: Path) -> dict[str, Path]:
    """Two token stores in the cache, one last used 40 days ago, and what else lies there."""
    root = tmp_path / "cache/features"
    made = {
        "new": write_store(root),
        "old": write_store(root, replace(SPEC, images="j")),
    }
    for name, folder in made.items():
        open_for_use(folder, backbone=f"timm:{name}_vit", data=f"csv:{name}.csv")
    unlock_all()
    names = read_json(made["old"] / NAMES)
    write_json(made["old"] / NAMES, names | {"used": time.time() - 40 * DAY})
    os.utime(made["old"] / INDEX, (0, time.time() - 50 * DAY))
    (tmp_path / "cache/images").mkdir()
    (tmp_path / "cache/images/abc-224.hdf5").write_bytes(b"12345")
    (tmp_path / "cache/features/.x.12.tmp").mkdir()
    (tmp_path / "cache/letter.txt").write_text("hello")
    return made


def test_stores_are_listed_by_encoder_data_size_and_age_and_the_rest_as_what_it_is(
    run_cli, stores, tmp_path, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")
    shown = run_cli("cache", "ls").stdout
    assert shown.startswith(f"cache: {tmp_path}/cache (by $TOOLKIT_CACHE)")
    assert "40 d" in shown and "50 d" in shown  # noqa: PT018
    assert "2 token stores" in shown
    assert f"shrunk images: {tmp_path}/cache/images/abc-224.hdf5, 5 B" in shown
    assert f"not of the toolkit: {tmp_path}/cache/letter.txt" in shown
    assert "left by a process that was killed, or is being written" in shown
    table = shown[shown.index("store  ") : shown.index("\n2 token stores")]
    assert max(map(len, table.splitlines())) <= 80
    listed = json.loads(run_cli("cache", "ls", "OLD_vit", "--json").stdout)
    assert [item["store"] for item in listed["stores"]] == [stores["old"].name]
    assert listed["stores"][0]["data"] == ["csv:old.csv"]


def test_the_systems_cache_folder_is_told_apart(run_cli, tmp_path, monkeypatch):
    monkeypatch.delenv("TOOLKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    shown = run_cli("cache", "ls").stdout
    assert shown.startswith(f"cache: {tmp_path}/xdg/toolkit (by $XDG_CACHE_HOME)\nno token store")
    own = write_store(tmp_path / "mine")
    listed = json.loads(run_cli("cache", "ls", "--store-dir", tmp_path / "mine", "--json").stdout)
    assert [item["path"] for item in listed["stores"]] == [str(own)]


def test_what_fits_is_removed_and_the_rest_stays(run_cli, stores, tmp_path):
    result = run_cli("cache", "rm", "--older-than", "30d", "--yes")
    assert result.exit_code == 0, result.output
    assert "timm:old_vit on csv:old.csv" in result.stdout
    assert (stores["new"].is_dir(), stores["old"].is_dir()) == (True, False)
    assert run_cli("cache", "rm", "*", "--yes").exit_code == 0
    assert not stores["new"].exists()
    assert not (tmp_path / "cache/images/abc-224.hdf5").exists()
    assert (tmp_path / "cache/letter.txt").exists()


def test_what_a_process_reads_stays(run_cli, stores, tmp_path):
    share_folder(stores["new"])
    refused = []
    assert run_forked(lambda: refused.append(run_cli("cache", "rm", "*", "--yes")) or _two(refused))
    assert stores["old"].exists()
    assert_bad_input(run_cli("cache", "rm", "new_vit", "--yes"),
                     "(timm:new_vit on csv:new.csv) is in use by a running process")  # fmt: skip
    unlock_all()


def _two(results: list) -> None:
    assert results[0].exit_code == 2


def test_nothing_is_removed_without_a_name_or_an_answer(run_cli, stores, monkeypatch):
    assert_bad_input(run_cli("cache", "rm"), "name what is to go", "--older-than 30d")
    assert_bad_input(run_cli("cache", "rm", "no_such", "--yes"), "nothing in the cache fits")
    assert_bad_input(run_cli("cache", "rm", "old"), "no terminal to answer on: add --yes")
    for age in ("30", "d", "-1d", "3 y", "inf d"):
        assert_bad_input(run_cli("cache", "rm", "--older-than", age), "a number and one of s, min")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(cache.sys, "stdin", type("T", (), {"isatty": staticmethod(lambda: True)}))
    monkeypatch.setattr(typer, "confirm", lambda question: False)
    with pytest.raises(typer.Exit):
        cache.confirm("remove?", yes=False)
    assert all(folder.exists() for folder in stores.values())


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("2h", 7200), ("1.5 d", 129600)])
def test_ages_are_read(text: str, seconds: float) -> None:
    assert cache.parse_age(text) == seconds
    with pytest.raises(InputError, match="5x: give a number"):
        cache.parse_age("5x")


def test_ages_are_shown_in_the_largest_unit() -> None:
    now = time.time()
    shown = [cache.age(now - seconds) for seconds in (-5, 59, 61, 7300, 3 * DAY + 1)]
    assert shown == ["0 s", "59 s", "1 min", "2 h", "3 d"]


def test_broken_stores_are_named_with_what_removes_them(run_cli, stores):
    sound = run_cli("cache", "verify")
    assert (sound.exit_code, sound.stdout.splitlines()[-1]) == (0, "2 of 2 are sound")
    (stores["old"] / "vectors-00000.safetensors").write_bytes(b"else")
    result = run_cli("cache", "verify")
    assert result.exit_code == 1
    key = stores["old"].name[:8]
    assert f"BROKEN  {key}  timm:old_vit on csv:old.csv: vectors-00000" in result.stdout
    assert f"1 of 2 are broken: toolkit cache rm {key}" in result.stdout
    assert run_cli("cache", "verify", "new_vit").exit_code == 0
    found = json.loads(run_cli("cache", "verify", "--json").stdout)
    assert sorted(len(item["damage"]) for item in found) == [0, 1]
    assert run_cli("cache", "rm", key, "--yes").exit_code == 0
    assert run_cli("cache", "verify").exit_code == 0
