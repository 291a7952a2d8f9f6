"""What a finished run wrote is told from what is there now."""

import json
import os
from pathlib import Path

import pytest

from helpers.run_folders import write_run
from toolkit_common.errors import InputError
from toolkit_common.runs.files import sha256_of
from toolkit_common.runs.manifest import (
    read_manifest,
    read_run_results,
    refuse_changed,
    write_manifest,
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = write_run(tmp_path / "run", rows={"ep": (0.6, "")})
    (folder / "a.csv").write_text("1\n")
    names = ("a.csv", "results.json")
    write_manifest(folder, {name: sha256_of(folder / name) for name in names})
    return folder


def test_a_file_that_has_changed_since_the_run_is_refused(run: Path) -> None:
    refuse_changed(run, "a.csv", "none.csv")
    (run / "a.csv").write_text("2\n")
    refuse_changed(run, "results.json")
    with pytest.raises(InputError, match=f"{run}/a.csv is not as the run wrote it"):
        refuse_changed(run, "results.json", "a.csv")
    (run / "manifest.json").unlink()  # of a run that has not ended, say
    refuse_changed(run, "a.csv")


def test_a_manifest_that_is_none_is_named(run: Path) -> None:
    (run / "manifest.json").write_text('{"a.csv": 1}')
    with pytest.raises(InputError, match=rf"{run}/manifest.json is damaged: a\.csv: .* string"):
        read_manifest(run)


def test_another_figure_within_all_bounds_is_refused(run: Path) -> None:
    text = (run / "results.json").read_text()
    assert read_run_results(run) == json.loads(text)
    (run / "results.json").write_text(text.replace("0.6", "0.9"))
    with pytest.raises(InputError, match=rf"{run}/results.json is not as .*: put it back, or run"):
        read_run_results(run)
    (run / "manifest.json").unlink()
    assert read_run_results(run) == json.loads(text.replace("0.6", "0.9"))


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "no JSON: it is empty"), (b"[]", "it holds no JSON object"),
     (b'{"a": "\xff"}', "no JSON: it is not UTF-8 text")],
)  # fmt: skip
def test_results_that_are_no_json_object_are_refused(tmp_path: Path, content: bytes, why: str):
    run = write_run(tmp_path / "run")
    (run / "results.json").write_bytes(content)
    with pytest.raises(InputError, match=f"{run}/results.json is damaged.* {why}: run it again"):
        read_run_results(run)


def test_results_that_are_not_there_say_what_the_run_is(run: Path) -> None:
    (run / "results.json").unlink()
    os.mkfifo(run / "results.json")  # which would be waited for
    with pytest.raises(InputError, match=rf"{run} is damaged: it has DONE and no results.json"):
        read_run_results(run)
    (run / "DONE").unlink()
    with pytest.raises(InputError, match=rf"{run} has no results.json: it is no finished run"):
        read_run_results(run)


def test_results_that_cannot_be_read_are_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("toolkit_common.runs.manifest.read_bytes", refuse)
    with pytest.raises(
        InputError, match=rf"cannot read {run}/results.json: it may not be read or written"
    ):
        read_run_results(run)
