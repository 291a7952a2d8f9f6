"""A pre-training run as it is reported: what its folder holds, and its data set where that lies.

Held-out patients are read from the folder; a run that has kept none (`--no-report`, or of before)
has them encoded once more by its export, where its data set can still be read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from toolkit_common.config import read_yaml, resolve
from toolkit_common.console import console
from toolkit_common.data.dataset import ImageData, Labels
from toolkit_common.data.splits import read_splits
from toolkit_common.errors import InputError
from toolkit_common.runs.files import METRICS_LOG
from toolkit_common.runs.folder import RunFolder
from toolkit_common.runs.manifest import refuse_changed
from toolkit_common.sources.load import load_data
from toolkit_slimp.exporting.read import load_slimp
from toolkit_slimp.metadata.schema import Schema
from toolkit_slimp.metadata.schema_file import read_schema_file
from toolkit_slimp.metadata.table import encode_table
from toolkit_slimp.reports.contents import Results, read_results
from toolkit_slimp.reports.recalls import Recall, recalls
from toolkit_slimp.reports.watched import KEPT, Watched, read_watched, watch_again
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.watching.held_out import HeldOut, choose_pool


@dataclass(frozen=True)
class PretrainRun:
    """What a page of a run is made of.

    Attributes:
        path: Its folder.
        results: Of the run.
        facts: What run.json holds.
        settings: Of the run.
        schema: The columns that it reads.
        watched: Its held-out patients; None where they cannot be encoded any more.
        data: Its data set, for pictures; None where it cannot be read.
    """

    path: Path
    results: Results
    facts: Mapping[str, Any]
    settings: SlimpSettings
    schema: Schema
    watched: Watched | None
    data: ImageData | None

    @cached_property
    def recalls(self) -> list[Recall]:
        """Recalls of its held-out patients with intervals; none where they are not encoded."""
        return [] if self.watched is None else recalls(self.watched)

    @property
    def people(self) -> str:
        """What its groups are."""
        return self.results.people

    @property
    def judged_by(self) -> list[str]:
        """The words of the command that judges its encoder on patients that it has not seen."""
        results = self.results
        return next_step(self.settings, self.path, data=results.data.id, label=results.label)


def read_finished(path: Path) -> PretrainRun:
    """Read a finished run; its held-out patients are encoded where it has not kept them.

    Raises:
        InputError: If it is not done, or damaged, or not as it was written.
    """
    run = RunFolder(path)
    if not run.is_done:
        raise InputError(
            f"the run {path} is not done: finish it with toolkit pretrain slimp --resume --output "
            f"{path}"
        )
    results = read_results(run)
    # All that figures are made of: within its bounds anything else gives others.
    refuse_changed(path, "schema.json", "splits.csv", METRICS_LOG, *KEPT)
    settings = resolve(SlimpSettings, [read_yaml(path / "config.yaml")]).settings
    schema = read_schema_file(path / "schema.json")
    facts, watched = run.facts(), read_watched(path)
    whole = path.resolve()  # the current folder is another below, from which data name images
    with run.where_it_began():
        data = _data(settings, facts)
        if watched is None and data is not None:
            watched = _encode(whole, settings, data=data)
    return PretrainRun(path, results, facts, settings, schema, watched, data)


def labels_of(data: ImageData, settings: SlimpSettings) -> Labels | None:
    """Return the label that a run watched, or the data set's default; None where there is none."""
    try:
        return data.labels(settings.watch_label)
    except InputError:
        return None


def next_step(settings: SlimpSettings, run: Path, *, data: str, label: str | None) -> list[str]:
    """Return the words of the command that judges a run on patients that it has not seen.

    Args:
        settings: Of the run.
        run: Its folder.
        data: Id of the data set, with how its labels count.
        label: What to predict; None where the data set does not say.
    """
    words = ["toolkit", "probe", "--method", "ep,linear,knn", "--backbone", str(run)]
    words += ["--data", data, "--label", label or "COLUMN"]
    default = {name: field.default for name, field in SlimpSettings.model_fields.items()}
    for name in ("bad_files", "split_seed", "splits", "folds"):
        if (value := getattr(settings, name)) != default[name]:
            words += [f"--{name.replace('_', '-')}", str(value)]
    words += ["--fold", str(settings.fold)] if settings.folds is not None else []
    # What a run before has seen its encoder still knows.
    words += ["--allow-seen"] if settings.allow_seen else []
    return words


def _data(settings: SlimpSettings, facts: Mapping[str, Any]) -> ImageData | None:
    """Return the run's data set, None (which is printed) where it is gone or another now."""
    try:
        data = load_data(settings.data, premalignant_as=settings.premalignant_as)
    except InputError as error:
        console.print(f"no pictures: the data set cannot be read ({error})", markup=False)
        return None
    if data.fingerprint() != facts.get("data"):
        console.print(
            f"no pictures: {data.id!r} is no longer what the run was trained on", markup=False
        )
        return None
    return data


def _encode(path: Path, settings: SlimpSettings, *, data: ImageData) -> Watched:
    """Encode the held-out rows of a run by its export."""
    model, schema = load_slimp(path)
    assert data.groups is not None, "a run without groups is refused"
    rows = choose_pool(read_splits(path / "splits.csv", data).val, data.groups, seed=settings.seed)
    console.print(f"encoding {len(rows)} held-out images, which the run has not kept")
    held_out = HeldOut(data, rows, encode_table(data, schema), torch.device("cpu"))
    return watch_again(held_out, model, schema, labels=labels_of(data, settings))
