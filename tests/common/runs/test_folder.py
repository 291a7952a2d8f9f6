"""A run folder is created once, resumed with the same settings, and marked when it is whole."""

import json
import math
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from conftest import assert_bad_input
from toolkit_common.config import Invocation, Layer, Settings, option, resolve
from toolkit_common.console import console
from toolkit_common.errors import InputError
from toolkit_common.runs.files import read_json, sha256_of
from toolkit_common.runs.folder import RunFolder, choose_run_folder
from toolkit_common.runs.locks import unlock_all
from toolkit_common.runs.manifest import read_manifest


class Example(Settings):
    epochs: int = option(3, "Epochs.")
    lr: float = option(0.1, "Learning rate.")
    num_workers: int = option(0, "Processes.", affects_result=False)


def call(output: Path | None, *, values: dict[str, Any] | None = None, **how: bool) -> Any:
    return Invocation(resolve(Example, [Layer("--set", values or {})]), output, **how)


def started(path: Path, values: dict[str, Any] | None = None, *, resume: bool = False) -> RunFolder:
    invocation = call(path, values=values, resume=resume)
    run = choose_run_folder(invocation, name="test")
    run.start(invocation, kind="test", facts={"data": "abc"})
    return run


# Which folder


def test_without_output_the_next_free_name_is_taken() -> None:
    assert choose_run_folder(call(None), name="probe").path == Path("runs/probe-1")
    for taken in ("probe-1", "probe-2", "slimp-3"):
        Path("runs", taken).mkdir(parents=True)
    assert choose_run_folder(call(None), name="probe").path == Path("runs/probe-3")


def test_choosing_touches_no_disk(tmp_path: Path) -> None:
    choose_run_folder(call(tmp_path / "a"), name="test")
    choose_run_folder(call(None), name="test")
    started(tmp_path / "b")
    choose_run_folder(call(tmp_path / "b", overwrite=True), name="test")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b"]
    assert (tmp_path / "b/run.json").exists()


def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    assert choose_run_folder(call(tmp_path), name="test").path == tmp_path


def test_an_existing_run_is_not_written_over(tmp_path: Path) -> None:
    started(tmp_path / "a")
    expected = f"run folder {tmp_path}/a exists: add --resume .* --overwrite .* another --output"
    with pytest.raises(InputError, match=expected):
        choose_run_folder(call(tmp_path / "a"), name="test")


def test_a_file_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(InputError, match=f"{tmp_path}/a is a file: give --output a folder"):
        choose_run_folder(call(tmp_path / "a"), name="test")


@pytest.mark.parametrize("folder", ["afile/x", "/proc/zz"])
@pytest.mark.parametrize("command", [["probe"], ["pretrain", "slimp"]], ids=str)
def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_loaded(
    tmp_path: Path, run_cli: Callable[..., Result], folder: str, command: list[str]
) -> None:
    (tmp_path / "afile").touch()
    result = run_cli(*command, "--data", "nowhere", "-o", folder)
    assert_bad_input(result, f"--output {folder} cannot be ", "choose a folder that you may write")


def test_a_link_to_nowhere_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "missing/b")
    with pytest.raises(InputError, match=f"cannot make the run folder {tmp_path}/a: File exists"):
        RunFolder(tmp_path / "a").start(call(tmp_path / "a"), kind="test", facts={})


def test_overwrite_refuses_a_folder_that_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=f"{tmp_path} is no run folder, so --overwrite will not"):
        choose_run_folder(call(tmp_path, overwrite=True), name="test")


def test_overwrite_replaces_a_run(tmp_path: Path) -> None:
    run = started(tmp_path / "a")
    (run.path / "heads").mkdir()
    (run.path / "heads/old.safetensors").touch()
    invocation = call(run.path, values={"epochs": 9}, overwrite=True)
    choose_run_folder(invocation, name="test").start(invocation, kind="test", facts={})
    assert not (run.path / "heads").exists()
    assert "epochs: 9  # --set" in (run.path / "config.yaml").read_text()
    assert len(run.facts()["starts"]) == 1


@pytest.mark.parametrize("left", [[], [".config.yaml.7.tmp"], ["config.yaml", ".run.json.7.tmp"]])
def test_a_start_that_was_killed_leaves_a_folder_to_begin_again(
    tmp_path: Path, left: list[str]
) -> None:
    run = started(tmp_path / "a")
    config = (run.path / "config.yaml").read_text()
    shutil.rmtree(run.path)
    run.path.mkdir()
    for name in left:
        (run.path / name).write_text(config)
    invocation = call(run.path, overwrite=True)
    choose_run_folder(invocation, name="test").start(invocation, kind="test", facts={})
    assert run.has("config.yaml")
    assert run.has("run.json")


@pytest.mark.parametrize("survives", ["heads", "splits.csv", "run.json", "config.yaml"])
def test_an_overwriting_that_was_killed_can_be_repeated(
    tmp_path: Path, survives: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = started(tmp_path / "a")
    (run.path / "heads").mkdir()
    for name in ("splits.csv", "DONE"):
        (run.path / name).touch()
    unlink, rmtree = Path.unlink, shutil.rmtree

    def killed(path: Path, *, missing_ok: bool = False) -> None:
        if path.name == survives:
            raise KeyboardInterrupt
        rmtree(path) if path.is_dir() else unlink(path, missing_ok=missing_ok)

    invocation = call(run.path, overwrite=True)
    monkeypatch.setattr(Path, "unlink", killed)
    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        choose_run_folder(invocation, name="test").start(invocation, kind="test", facts={})
    monkeypatch.undo()
    assert not run.is_done
    choose_run_folder(invocation, name="test").start(invocation, kind="test", facts={})
    assert len(run.facts()["starts"]) == 1


def test_resume_and_overwrite_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--resume and --overwrite exclude each other"):
        choose_run_folder(call(tmp_path, resume=True, overwrite=True), name="test")


# Resume


@pytest.mark.parametrize("name", ["missing", "empty", "file"])
def test_there_must_be_something_to_resume(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=f"nothing to resume at {tmp_path}/{name}: .*config.yaml"):
        choose_run_folder(call(tmp_path / name, resume=True), name="test")


def test_a_resumed_run_keeps_the_settings_that_affect_the_result(tmp_path: Path) -> None:
    started(tmp_path / "a", {"epochs": 3, "lr": 0.1})
    invocation = call(tmp_path / "a", values={"epochs": 4, "lr": 0.5}, resume=True)
    expected = (
        f"cannot resume {tmp_path}/a with other settings: "
        "epochs (was 3, now 4); lr (was 0.1, now 0.5); leave"
    )
    with pytest.raises(InputError, match=re.escape(expected)):
        choose_run_folder(invocation, name="test")


def test_what_a_calls_settings_were_completed_by_is_no_change(tmp_path: Path) -> None:
    started(tmp_path)
    longer = call(tmp_path, values={"epochs": 7}, resume=True)
    with pytest.raises(InputError, match="epochs"):
        choose_run_folder(longer, name="test")
    run = choose_run_folder(longer, name="test", complete=lambda _: longer.resolved)
    assert run.path == tmp_path


def test_a_resumed_run_may_change_the_others(tmp_path: Path) -> None:
    run = started(tmp_path / "a")
    invocation = call(tmp_path / "a", values={"num_workers": 8}, resume=True)
    assert choose_run_folder(invocation, name="test").path == run.path


def test_resuming_adds_a_start_and_keeps_the_configuration(tmp_path: Path) -> None:
    run = started(tmp_path / "a")
    before = (run.path / "config.yaml").read_text()
    invocation = call(run.path, values={"num_workers": 8}, resume=True)
    run.start(invocation, kind="test", facts={"data": "abc"})
    assert len(run.facts()["starts"]) == 2
    assert (run.path / "config.yaml").read_text() == before


def test_what_a_killed_process_has_begun_is_gone_once_the_run_goes_on(tmp_path: Path) -> None:
    run = started(tmp_path / "a")
    half = [run.path / ".test.parquet.12.tmp", run.path / "predictions/.ep.parquet.12.tmp"]
    for path in half:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (run.path / ".encoder.12.tmp").mkdir()
    (run.path / "kept.tmp").touch()
    run.start(call(run.path, resume=True), kind="test", facts={"data": "abc"})
    assert [path.name for path in run.path.rglob("*.tmp")] == ["kept.tmp"]
    run.finish()
    assert not any(name.endswith("12.tmp") for name in read_manifest(run.path))


def test_a_run_is_not_resumed_on_other_data_or_with_another_encoder(tmp_path: Path) -> None:
    invocation = call(tmp_path / "a")
    run = RunFolder(tmp_path / "a")
    facts = {"data": "a" * 64, "encoder": "b" * 64, "metadata_encoders": "c" * 64}
    run.start(invocation, kind="test", facts=facts)
    before = (run.path / "run.json").read_text()
    again = call(run.path, resume=True)
    changed = {**facts, "data": "d" * 64, "metadata_encoders": "e" * 64}
    expected = (
        f"cannot resume {run.path}: since it began, these have changed: "
        f"data (was {'a' * 12}, now {'d' * 12}); "
        f"metadata encoders (was {'c' * 12}, now {'e' * 12}); put them back, or start a new run. "
        "Times of image files count as data: if nothing else changed, copy the files again with "
        "their times (cp -p, rsync -t)"
    )
    with pytest.raises(InputError, match=re.escape(expected)):
        run.start(again, kind="test", facts=changed)
    assert (run.path / "run.json").read_text() == before
    with pytest.raises(InputError, match=r"encoder \(was b+, now d+\); put .* new run$"):
        run.start(again, kind="test", facts={**facts, "encoder": "d" * 64})
    run.start(again, kind="test", facts=facts)
    assert len(run.facts()["starts"]) == 2


def test_a_run_that_was_killed_before_its_record_is_resumed(tmp_path: Path) -> None:
    run = started(tmp_path / "a")
    (run.path / "run.json").unlink()
    run.start(call(run.path, resume=True), kind="test", facts={"data": "def"})
    assert run.facts()["data"] == "def"


def test_a_run_whose_settings_this_version_does_not_know_is_not_resumed(tmp_path: Path) -> None:
    run = started(tmp_path / "a")
    (run.path / "config.yaml").write_text("epochs: 3\nmomentum: 0.9\n")
    with pytest.raises(InputError, match=f"{run.path}/config.yaml: unknown setting momentum"):
        choose_run_folder(call(run.path, resume=True), name="test")


@pytest.mark.parametrize("name", ["run.json", "config.yaml"])
def test_a_damaged_run_is_not_resumed_and_the_line_says_what_to_do(tmp_path, name) -> None:
    run = started(tmp_path / "a")
    (run.path / name).write_text("{")
    remedy = "put that file back as it was, or start anew with --overwrite in place of --resume"
    with pytest.raises(InputError, match=f"cannot resume {run.path}: .*{name}.*; {remedy}$"):
        choose_run_folder(call(run.path, resume=True), name="test")
    unlock_all()
    run = choose_run_folder(call(run.path, overwrite=True), name="test")
    run.start(call(run.path, overwrite=True), kind="test", facts={})
    assert run.facts()["kind"] == "test"


# One process at a time


@pytest.mark.slow
def test_a_run_that_is_written_is_neither_resumed_nor_overwritten(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        started(tmp_path / "a")
        (tmp_path / "ready").touch()
        time.sleep(60)
        os._exit(0)
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    before = (tmp_path / "a/run.json").read_bytes()
    try:
        for how in ("resume", "overwrite"):
            again = call(tmp_path / "a", **{how: True})
            with pytest.raises(InputError, match=rf"{tmp_path}/a is being .*\(pid {child} on "):
                choose_run_folder(again, name="test")
            with pytest.raises(InputError, match=rf"{tmp_path}/a is being .*\(pid {child} on "):
                RunFolder(tmp_path / "a").start(again, kind="test", facts={"data": "abc"})
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert (tmp_path / "a/run.json").read_bytes() == before
    run = choose_run_folder(call(tmp_path / "a", resume=True), name="test")
    run.start(call(tmp_path / "a", resume=True), kind="test", facts={"data": "abc"})
    run.finish()
    assert not (run.path / ".lock").exists()


# What is recorded


def test_a_run_records_what_was_requested_on_what_machine(tmp_path: Path) -> None:
    run = started(tmp_path / "a")
    record = run.facts()
    assert record["kind"] == "test"
    assert record["data"] == "abc"
    assert record["command"][0] == "toolkit"
    assert {"python", "torch", "toolkit-common"} <= set(record["versions"])
    assert record["machine"]["num_threads"] == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", record["starts"][0])


def test_the_log_is_one_json_object_a_line(tmp_path: Path) -> None:
    run = started(tmp_path)
    run.log(step=1, loss=0.5)
    run.log(step=2, loss=None)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert list(map(json.loads, lines)) == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": None}]


def test_undefined_values_are_logged_as_null(tmp_path: Path) -> None:
    run = started(tmp_path)
    run.log(step=1, loss=math.nan, top5={"ep": -math.inf, "knn": 0.5})
    line = (tmp_path / "metrics.jsonl").read_text()
    assert line == '{"step": 1, "loss": null, "top5": {"ep": null, "knn": 0.5}}\n'


def test_rewinding_drops_later_lines_and_the_one_cut_short(tmp_path: Path) -> None:
    run = started(tmp_path)
    for step in (1, 2, 3):
        run.log(step=step)
    run.log(note="no step: kept")
    with (tmp_path / "metrics.jsonl").open("a") as file:
        for spoilt in (
            '{"step": 1e999}',
            '{"step": Infinity}',
            "[" * 100_000,
            "[]",
            '{"step": {}}',
        ):
            file.write(f"{spoilt}\n")
        file.write('{"step": 2, "lo')
    run.rewind_log(2)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert lines == ['{"step": 1}', '{"step": 2}', '{"note": "no step: kept"}']


def test_rewinding_without_a_log_does_nothing(tmp_path: Path) -> None:
    RunFolder(tmp_path).rewind_log(3)
    assert list(tmp_path.iterdir()) == []


def test_results_carry_their_version(tmp_path: Path) -> None:
    run = started(tmp_path)
    run.write_results({"top1": 0.5})
    assert read_json(run.path / "results.json") == {"version": 1, "top1": 0.5}


def test_done_is_the_last_file_and_the_manifest_covers_the_others(tmp_path: Path) -> None:
    run = started(tmp_path)
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions/a.csv").write_text("1,2\n")
    assert not run.is_done
    run.finish()
    assert run.is_done
    (tmp_path / "DONE").unlink()  # as if killed between the two: the resumed run ends again
    run.finish()
    manifest = read_json(tmp_path / "manifest.json")
    assert set(manifest) == {"config.yaml", "run.json", "predictions/a.csv"}
    assert all(sha256_of(tmp_path / name) == digest for name, digest in manifest.items())


def test_a_log_of_what_is_printed_ends_with_the_run_or_its_lock(tmp_path: Path) -> None:
    run = started(tmp_path / "a")
    console.print("one")
    run.finish()
    console.print("two")
    assert (tmp_path / "a/log.txt").read_text() == "one\n"
    assert "log.txt" in read_json(tmp_path / "a/manifest.json")
    console.forget()
    started(tmp_path / "b")
    console.print("three")
    unlock_all()  # as if cut short
    console.print("four")
    assert (tmp_path / "b/log.txt").read_text() == "three\n"
    console.forget()


def test_a_run_that_goes_on_has_no_manifest_of_before(tmp_path: Path) -> None:
    run = started(tmp_path)
    run.finish()
    (tmp_path / "DONE").unlink()
    assert "run.json" in read_manifest(tmp_path)
    started(tmp_path, resume=True)
    assert read_manifest(tmp_path) == {}


def test_without_a_manifest_there_is_no_done(tmp_path: Path) -> None:
    run = started(tmp_path)
    (tmp_path / "manifest.json").mkdir()  # cannot be replaced by a file
    with pytest.raises(OSError, match=r"manifest\.json"):
        run.finish()
    assert not run.is_done


@pytest.mark.parametrize("keep", [False, True])
def test_states_of_a_done_run_go_unless_they_are_to_stay(tmp_path: Path, keep: bool) -> None:
    run = started(tmp_path / "run")
    state = run.path / "checkpoints/part/step-000000001.pt"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"state")
    run.finish(keep_checkpoints=keep)
    assert run.is_done
    assert (run.path / "checkpoints").exists() == keep
    assert ("checkpoints/part/step-000000001.pt" in read_manifest(run.path)) == keep


# Where it began


def test_a_run_names_files_from_where_it_began_wherever_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    run, away = started(Path("runs/a")), started(tmp_path / "away/b")
    assert "folder_from_run" not in read_json(away.path / "run.json")
    monkeypatch.chdir(tmp_path / "elsewhere")
    run = RunFolder(tmp_path / "project/runs/a")
    with run.where_it_began():
        assert Path.cwd() == tmp_path / "project"
    assert away.begun_in() == tmp_path / "project"
    (tmp_path / "project").rename(tmp_path / "moved")
    assert RunFolder(Path("../moved/runs/a")).begun_in() == tmp_path / "moved"
    assert away.begun_in() == tmp_path / "elsewhere"  # its folder is gone: from here
    assert RunFolder(tmp_path / "none").begun_in() == tmp_path / "elsewhere"


def test_the_checkpoints_of_a_run_go_from_its_manifest_too(tmp_path: Path) -> None:
    run = started(tmp_path / "a")
    (run.path / "checkpoints").mkdir()
    (run.path / "checkpoints/step-1.pt").touch()
    run.finish(keep_checkpoints=True)
    assert "checkpoints/step-1.pt" in read_manifest(run.path)
    run.drop_checkpoints()
    assert not (run.path / "checkpoints").exists()
    assert sorted(read_manifest(run.path)) == ["config.yaml", "run.json"]
