"""`--metadata`: extrapolated metadata of a task's rows, in place of the data set's own.

Every row of train, validation and test comes from the file. Who extrapolated must not have been
trained on whom is judged on, whatever encoder is judged.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.extrapolated import Extrapolated, read_extrapolated, with_metadata
from toolkit_common.errors import InputError
from toolkit_common.seen.check import JUDGED, SeenVerdict
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.task import Task


@dataclass(frozen=True)
class TaskFile:
    """A file of extrapolated metadata, for a task.

    Attributes:
        path: Of the file.
        data: The task's data set with the file's metadata in place of its own.
        facts: What results record of it.
        sha256: Of the file.
        seen: Whether the encoder that extrapolated has seen whom is judged on.
        note: What must be known to read figures on it.
    """

    path: Path
    data: ImageData
    facts: Mapping[str, Any]
    sha256: str
    seen: SeenVerdict
    note: str


def read_for_task(settings: ProbeSettings, task: Task, *, hidden: Collection[str]) -> TaskFile:
    """Read the file of `--metadata` for the rows of a task.

    Args:
        settings: Which file.
        task: Whose rows.
        hidden: Columns that are not read.

    Raises:
        InputError: If it is no such file, lacks rows, has a value of none, is of other images, or
            its encoder has seen rows of test or validation.
    """
    path = settings.metadata
    assert path is not None
    item = read_extrapolated(path)
    table = item.table_of(task.data, task.rows)
    reference, abstained = item.facts["reference"], item.num_abstained(task.data, task.rows)
    names = [column.name for column in item.columns]
    if abstained == len(task.rows):
        raise InputError(
            f"{path} has no value of any of the {abstained} images, as none has a lesion that is "
            "near enough: make it with a lower --threshold, or read --inputs image"
        )
    facts = {
        "columns": names,
        "abstained": abstained,
        "reference": reference["name"],
        "encoder": item.facts["encoder"]["weights_sha256"],
        "sha256": item.sha256,
    }
    read = ", ".join(name for name in names if name not in hidden)
    note = (
        f"METADATA ARE EXTRAPOLATED: {read} are those of the most similar lesions of "
        f"{reference['name']}; {abstained} of {len(task.rows)} images have no such lesion, and no "
        "value"
    )
    data = with_metadata(task.data, table, item.columns)
    return TaskFile(path, data, facts, item.sha256, _judge(settings, task, item), note)


def _judge(settings: ProbeSettings, task: Task, item: Extrapolated) -> SeenVerdict:
    """Refuse metadata by an encoder that has seen rows of test or validation."""
    ids = task.data.table["image_id"].astype(str)
    seen = set(item.rows["image_id"][item.rows["seen"]])
    counts = {side: int(ids.iloc[task.splits[side]].isin(seen).sum()) for side in JUDGED}
    told = " and ".join(
        f"{count} of {len(np.asarray(task.splits[side]))} {side} images"
        for side, count in counts.items()
    )
    if any(counts.values()):
        message = (
            f"the encoder that extrapolated {settings.metadata} was pre-trained on patients or "
            f"images of {told}"
        )
        if not settings.allow_seen:
            raise InputError(
                f"{message}: give the splits of its pre-training, or go on with --allow-seen, "
                "which marks every figure"
            )
        return SeenVerdict("seen", f"SEEN IN PRE-TRAINING: {message}")
    if item.facts["seen"] == "unknown":
        return SeenVerdict(
            "unknown",
            f"SEEN IN PRE-TRAINING? of the encoder that extrapolated {settings.metadata} it was "
            "not known whom it was trained on",
        )
    return SeenVerdict("unseen")
