"""What a run folder may hold: `--overwrite` deletes that alone."""

import re
from collections.abc import Iterator
from pathlib import Path

from toolkit_common.console import TEXT_LOG
from toolkit_common.errors import InputError
from toolkit_common.runs.checkpoints import CHECKPOINTS
from toolkit_common.runs.facts import FACTS, FOLD_PREFIX, SETTINGS, is_run
from toolkit_common.runs.files import METRICS_LOG
from toolkit_common.runs.locks import LOCK
from toolkit_common.runs.manifest import DONE, MANIFEST, RESULTS

FILES = {
    SETTINGS, FACTS, LOCK, TEXT_LOG, METRICS_LOG, RESULTS, MANIFEST, DONE,
    "splits.csv", "bad_files.csv", "test_rows.parquet", "report.html", "summary.md",
    "attention.png", "schema.json", "columns.csv", "trainable.csv",
}  # fmt: skip
FOLDERS = {  # and what the files in them are called, however deep
    "heads": r".+\.safetensors",
    "encoders": r".+\.safetensors",
    "predictions": r".+\.parquet",
    CHECKPOINTS: r"step-\d+\.(pt|sha256)|passes\.json",
    "diverged": r"step-.+\.(safetensors|csv)",
    "curves": r".+\.(csv|png)",
    "encoder": r".+\.(json|safetensors|parquet)",
    "held_out": r".+\.(safetensors|parquet)",
    "tensorboard": r"events\..+|.+\.yml",
    "wandb": r".+",
}
ONE_FOLD = re.compile(rf"{FOLD_PREFIX}\d+")
BEGUN = re.compile(r"\..+\.tmp")  # what killed processes left behind


def refuse_replacing(folder: Path) -> None:
    """Refuse to delete a folder that is no run's, or holds what no run writes.

    Raises:
        InputError: If so; the message names the first.
    """
    names = {item.name for item in folder.iterdir()}
    names = {name for name in names if name != LOCK and not BEGUN.fullmatch(name)}
    if names != {SETTINGS} and not is_run(folder):  # which is a start that was killed
        raise InputError(f"{folder} is no run folder, so --overwrite will not delete it")
    foreign = next(_foreign(folder), None)
    if foreign is not None:
        raise InputError(
            f"{foreign} is nothing that a run writes, so --overwrite will not delete {folder}: "
            "move it elsewhere first"
        )


def _foreign(folder: Path) -> Iterator[Path]:
    for item in sorted(folder.iterdir()):
        is_folder = item.is_dir() and not item.is_symlink()  # what a link leads to stays
        if BEGUN.fullmatch(item.name) or (item.name in FILES and not is_folder):
            continue
        if is_folder and ONE_FOLD.fullmatch(item.name):
            yield from _foreign(item)
        elif item.name in FOLDERS:
            yield from _strange(item, re.compile(FOLDERS[item.name])) if is_folder else ()
        else:
            yield item


def _strange(folder: Path, names: re.Pattern[str]) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if not path.is_dir() and not names.fullmatch(path.name) and not BEGUN.fullmatch(path.name):
            yield path
