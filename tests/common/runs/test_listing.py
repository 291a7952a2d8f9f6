"""Run folders are found, told by state, and shown with their best figure."""

import json
import os
from pathlib import Path

import pytest

from helpers.kills import run_forked
from helpers.run_folders import write_run
from toolkit_common.errors import InputError
from toolkit_common.runs.listing import (
    damage_of,
    find_run_folders,
    is_run,
    look_at_run,
    state_of,
    whole_of,
)
from toolkit_common.runs.locks import LOCK, lock_folder, unlock_all


def test_runs_are_found_at_any_depth_and_folds_count_with_their_whole(tmp_path: Path) -> None:
    for name in ("b", "a/deep", "whole", "whole/fold-0", "whole/fold-1"):
        write_run(tmp_path / name)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/run.json").write_text("[]")
    names = [str(path.relative_to(tmp_path)) for path in find_run_folders(tmp_path)]
    assert names == ["a/deep", "b", "whole"]
    assert list(find_run_folders(tmp_path / "whole/fold-0")) == [tmp_path / "whole/fold-0"]
    assert whole_of(tmp_path / "whole/fold-0") == tmp_path / "whole"
    assert whole_of(tmp_path / "whole") is None
    assert not is_run(tmp_path / "other")
    with pytest.raises(InputError, match=f"no folder of runs at {tmp_path}/none"):
        list(find_run_folders(tmp_path / "none"))


def test_the_best_row_is_that_of_highest_balanced_accuracy(tmp_path: Path) -> None:
    rows = {"ep": (0.7, "seen"), "knn": (None, ""), "linear": (0.6, "")}
    run = look_at_run(write_run(tmp_path / "run", rows=rows))
    assert (run.row, run.metric, run.figure, run.seen) == ("ep", "balanced accuracy", 0.7, "seen")
    assert (run.backbone, run.data, run.kind) == ("timm:vit", "csv:t.csv", "probe")
    assert json.loads(json.dumps(run.to_json()))["figure"] == 0.7


def test_a_pretraining_shows_what_it_was_watched_by(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", kind="pretrain-slimp")
    values = {"val_loss": 1.0, "val_knn_auroc": 0.8}
    (folder / "results.json").write_text(json.dumps({"held_out": values}))
    run = look_at_run(folder)
    assert (run.row, run.metric, run.figure) == ("", "val_knn_auroc (held out)", 0.8)


@pytest.mark.parametrize("text", ["{", "[]", '{"rows": [1]}', '{"rows": null}', "{}"])
def test_damaged_results_show_no_figure(tmp_path: Path, text: str) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "results.json").write_text(text)
    (folder / "config.yaml").write_text("a: [")
    run = look_at_run(folder)
    assert (run.figure, run.backbone, run.data) == (None, "stand-in", "")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("run.json", '{"kind": "pro', "{folder}/run.json is damaged, no JSON: "),
        ("run.json", "{}", "{folder}/run.json is damaged: kind: field required"),
        ("run.json", '{"kind": ""}', "{folder}/run.json is damaged: kind: string should have at"),
        ("run.json", "[]", "{folder}/run.json is damaged: input should be an object, got []"),
        ("run.json", '{"kind": 1}', "{folder}/run.json is damaged: kind: input should be a valid"),
        ("run.json", "[" * 9999, "{folder}/run.json is damaged, no JSON: "),
        ("results.json", "", "{folder}/results.json is damaged, no JSON: "),
        (
            "results.json",
            None,
            "{folder} is damaged: it has DONE and no results.json; put that",
        ),
        ("results.json", "[]", "{folder}/results.json is damaged: it holds no JSON object"),
        ("config.yaml", "a: [", "{folder}/config.yaml"),
        ("config.yaml", None, "{folder} has no config.yaml"),
    ],
)
def test_a_damaged_run_is_told_by_the_file(tmp_path, name, text, message) -> None:
    folder = write_run(tmp_path / "run")
    assert damage_of(folder) == ""
    (folder / name).unlink(missing_ok=True)
    if text is not None:
        (folder / name).write_text(text)
    assert message.format(folder=folder) in damage_of(folder)
    assert list(find_run_folders(tmp_path)) == [folder]


def test_a_run_is_done_running_or_interrupted(tmp_path: Path) -> None:
    done, other = write_run(tmp_path / "done"), write_run(tmp_path / "other", is_done=False)
    assert [state_of(done), state_of(other)] == ["done", "interrupted"]
    lock_folder(other)
    running = tmp_path / "running"
    assert run_forked(lambda: running.write_text(state_of(other)))
    unlock_all()
    assert running.read_text() == "running"
    (other / LOCK).touch()  # of a process that was killed
    assert state_of(other) == "interrupted"


def test_sizes_tell_checkpoints_apart_those_of_folds_too(tmp_path: Path) -> None:
    whole = write_run(tmp_path / "whole", settings="folds: 3\nfold: null\n", is_done=False)
    for fold, is_done in ((0, True), (1, False)):
        part = write_run(whole / f"fold-{fold}", is_done=is_done)
        (part / "checkpoints").mkdir()
        (part / "checkpoints/step-1.pt").write_bytes(b"x" * 100)
    run = look_at_run(whole)
    assert (run.checkpoint_bytes, run.folds) == (200, (1, 3))
    assert run.num_bytes > 200


def test_a_pipe_in_the_place_of_results_is_not_waited_for(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    (run / "results.json").unlink(missing_ok=True)
    os.mkfifo(run / "results.json")
    assert damage_of(run).startswith(f"{run} is damaged: it has DONE and no results.json; put")
    assert look_at_run(run).path == run
