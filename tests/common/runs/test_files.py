"""Files are whole or not there."""

import hashlib
import math
import os
from pathlib import Path
from stat import S_IMODE

import pytest

from toolkit_common.errors import InputError
from toolkit_common.runs.files import (
    atomic_folder,
    atomic_path,
    cache_folder,
    read_json,
    read_log,
    refuse_unwritable,
    sha256_of,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def write_half(path: Path, error: BaseException) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        raise error


def test_a_file_appears_only_when_its_block_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "deep/er/a.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert names(path.parent) == ["a.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(OSError, match="disk on fire"):
        write_half(path, OSError("disk on fire"))
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_failed_first_write_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_half(tmp_path / "a.txt", KeyboardInterrupt())
    assert names(tmp_path) == []


def test_who_may_read_a_file_is_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_path(tmp_path / "a") as temporary:
            temporary.touch(mode=0o600)  # as safetensors does
    finally:
        os.umask(before)
    assert S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_the_bytes_reach_the_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    seen: list[bool] = []
    monkeypatch.setattr("os.fsync", lambda _: seen.append(path.exists()))
    write_text(path, "text")
    assert seen == [False]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "a/whole") as folder:
        (folder / "one").touch()
        assert not (tmp_path / "a/whole").exists()
    with pytest.raises(FileNotFoundError), atomic_folder(tmp_path / "half") as folder:
        (folder / "none/one").touch()
    assert names(tmp_path) == ["a", "one", "whole"]


def test_a_block_that_writes_nothing_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(FileNotFoundError, match=r"\.a\.txt"), atomic_path(path):
        pass
    assert path.read_text() == "old"


@pytest.mark.parametrize("value", [math.nan, math.inf, [1.0, -math.inf]])
def test_json_refuses_what_is_no_json_and_keeps_the_old_file(tmp_path: Path, value: object) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"auroc": None})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"auroc": value})
    assert read_json(path) == {"auroc": None}
    assert names(tmp_path) == ["a.json"]


def test_json_comes_back_with_its_letters(tmp_path: Path) -> None:
    value = {"name": "n\u00e6vus \u4e2d", "list": [1, 2.5, None, True], "nested": {"a": {}}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value


def test_text_is_utf8_wherever_it_is_written(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "n\u00e6vus\n")
    assert (tmp_path / "a.txt").read_bytes() == b"n\xc3\xa6vus\n"


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1])
def test_the_checksum_covers_every_byte(tmp_path: Path, size: int) -> None:
    data = bytes(index % 251 for index in range(size))
    (tmp_path / "a").write_bytes(data)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("folder", [".", "new", "new/and/deeper"])
def test_a_folder_that_can_be_made_is_left_as_it_was(tmp_path: Path, folder: str) -> None:
    refuse_unwritable(Path(folder), option="--output")
    refuse_unwritable(tmp_path / folder, option="--output")
    assert names(tmp_path) == []


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--output .* is not UTF-8: give it another name"):
        refuse_unwritable(tmp_path / os.fsdecode(b"bad\xff"), option="--output")
    assert names(tmp_path) == []


def test_a_way_through_what_is_not_there_is_refused(tmp_path: Path) -> None:
    # It would look new, and be the folder beside once the way has been made.
    with pytest.raises(InputError, match=r"goes through .*none, which is no folder"):
        refuse_unwritable(tmp_path / "none/../run", option="--output")
    (tmp_path / "there").mkdir()
    refuse_unwritable(tmp_path / "there/../run", option="--output")
    assert names(tmp_path) == ["there"]


@pytest.mark.parametrize("folder", ["file", "file/x", "file/x/y"])
def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    expected = f"--output {folder} cannot be made: {tmp_path}/file is a file; choose a folder"
    with pytest.raises(InputError, match=expected):
        refuse_unwritable(Path(folder), option="--output")


@pytest.mark.parametrize(
    ("folder", "shown"),
    [("/proc/zz",) * 2, ("/proc/zz/x",) * 2, ("a" * 300, "a{200,}[.]{3}")],  # cut in messages
)
def test_a_folder_that_cannot_be_written_is_refused(folder: str, shown: str) -> None:
    with pytest.raises(InputError, match=rf"--output {shown} cannot be written \(.+\); choose"):
        refuse_unwritable(Path(folder), option="--output")


def test_the_cache_is_where_the_user_or_the_system_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "system"))
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("TOOLKIT_CACHE")
    assert cache_folder() == tmp_path / "system/toolkit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/toolkit"


def test_a_log_is_read_and_lines_that_are_spoilt_left_out(tmp_path):
    assert read_log(tmp_path) == []
    lines = [b'{"step": 1}', b'{"step": 2}', b'"word"', b'{"step": "\xf3"}', b'{"step": 4, "lo']
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join(lines))
    assert read_log(tmp_path) == [{"step": 1}, {"step": 2}]
