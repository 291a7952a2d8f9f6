"""--overwrite deletes what runs write, and nothing else."""

import shutil
from pathlib import Path

import pytest

from conftest import assert_bad_input
from helpers.readers import VIT
from helpers.slimp_run import pretrain
from toolkit_common.errors import InputError
from toolkit_common.runs.replaced import refuse_replacing

KEPT = Path(__file__).parents[2] / "formats/0.1.0"


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.mark.parametrize("kind", ["probe", "pretrain"])
def test_what_runs_write_may_be_replaced(kind: str, tmp_path: Path) -> None:
    shutil.copytree(KEPT / kind, tmp_path / "run/fold-0")
    shutil.copytree(KEPT / kind, tmp_path / "run", dirs_exist_ok=True)
    for name in (".lock", "report.html", "attention.png", "checkpoints/ep/pass-1/step-000000001.pt",
                 "diverged/step-000000003-rank-0.csv", "curves/top1-by-shots.png",
                 "heads/.a.safetensors.12.tmp"):  # fmt: skip
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).touch()
    refuse_replacing(tmp_path / "run")


@pytest.mark.slow
def test_what_commands_leave_today_may_be_replaced(world: Path, run_cli, tmp_path: Path) -> None:
    for name in ("probe", "slimp"):
        shutil.copytree(world / name, tmp_path / name)
    data, more = f"csv:{world / 'table.csv'}", ["--report", "--keep-checkpoints"]
    probe = ["probe", "--data", data, "--label", "label", "--backbone", VIT, "--random-init",
             "--epochs", "1", *more]  # fmt: skip
    for words in (
        ["attention", "--from", "probe"],
        [*probe, "--method", "linear", "--tune", "lora", "-o", "tuned"],
        [*probe, "--method", "ep,linear", "--shots", "1,2", "-o", "shots"],
        [*probe, "--method", "linear,knn", "--folds", "3", "-o", "folds"],
    ):
        made = run_cli(*words)
        assert made.exit_code == 0, made.output
    pretrain(data, tmp_path / "watched", *more, "--tracker", "tensorboard")
    for run in ("probe", "slimp", "tuned", "shots", "folds", "folds/fold-0", "watched"):
        refuse_replacing(tmp_path / run)
    with pytest.raises(InputError, match="is no run folder"):  # a cache is none
        refuse_replacing(world / "stores")


@pytest.mark.parametrize(
    "name",
    ["notes.txt", "thesis/chapter.tex", "heads/notes.md", "fold-0/mine.csv", "page.html",
     "encoder/a/b.txt", "results.json/x", "fold-0/fold-mine/x"],
)  # fmt: skip
def test_what_is_somebodys_own_is_named(name: str, tmp_path: Path) -> None:
    shutil.copytree(KEPT / "probe", tmp_path / "run/fold-0")
    shutil.copytree(KEPT / "probe", tmp_path / "run", dirs_exist_ok=True)
    if name == "results.json/x":
        (tmp_path / "run/results.json").unlink()
    own = tmp_path / "run" / name
    own.parent.mkdir(parents=True, exist_ok=True)
    own.touch()
    with pytest.raises(
        InputError, match=f"^{tmp_path}/run/.* is nothing that a run writes, so "
    ) as told:
        refuse_replacing(tmp_path / "run")
    assert str(own).startswith(str(told.value).partition(" is nothing")[0])


@pytest.mark.parametrize("facts", ["", "{}", "[]", '{"name": "a web application"}'])
def test_a_file_that_is_called_as_a_runs_makes_no_run(facts: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(facts)
    with pytest.raises(InputError, match=f"^{tmp_path} is no run folder, so --overwrite will not"):
        refuse_replacing(tmp_path)


def test_a_command_deletes_nothing_of_such_a_folder(run_cli, tmp_path: Path) -> None:
    run = Path(shutil.copytree(KEPT / "probe", tmp_path / "run"))
    (run / "notes.txt").write_text("years of work")
    before = files_of(run)
    result = run_cli("probe", "--method", "knn", "--output", str(run), "--overwrite")
    assert_bad_input(result, f"{run}/notes.txt is nothing that a run writes", "move it elsewhere")
    assert files_of(run) == before
