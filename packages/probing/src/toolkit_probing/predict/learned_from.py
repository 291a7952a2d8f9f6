"""Has the probe, or its encoder, learned from the images that it is to predict?

A probe's answers to its own training images say nothing of others. The run's rows that it learned
from or was picked on are compared with the new ones: by their ids where the data set is the very
same, else by patients, lesions, and the contents of the image files.
"""

import secrets
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from toolkit_common.console import console, quieted
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.tables import read_table, require_columns
from toolkit_common.errors import InputError
from toolkit_common.printable import counted
from toolkit_common.runs.folder import RunFolder
from toolkit_common.seen.check import MARKS, SeenStatus, SeenVerdict, check_seen
from toolkit_common.seen.compare import Overlap, compare_rows, sum_up
from toolkit_common.seen.record import Contents, build_record
from toolkit_common.seen.secret import NUM_BYTES
from toolkit_common.sources.load import load_data
from toolkit_probing.predict.new_images import split_settings
from toolkit_probing.predict.saved_probe import SavedProbe
from toolkit_probing.predict.settings import PredictSettings
from toolkit_probing.task.task import Task

NEW = "new"  # name of the side that is judged, for counts
UNKNOWN = "?"


@dataclass(frozen=True)
class Learned:
    """Who has learned from which of the new images.

    Attributes:
        probe: Of the probe.
        encoder: Of its encoder's pre-training.
    """

    probe: SeenVerdict
    encoder: SeenVerdict

    @property
    def status(self) -> SeenStatus:
        """The worse of both."""
        own = (self.probe.status, self.encoder.status)
        return next((status for status in MARKS if status in own), self.probe.status)

    @property
    def messages(self) -> list[str]:
        """What is to be known, a line each."""
        return [item.message for item in (self.probe, self.encoder) if item.message]

    def words(self, rows: np.ndarray) -> list[str]:
        """Return who has learned from each row: `probe`, `encoder`, both, nobody, or unknown."""
        sides = {"probe": self.probe, "encoder": self.encoder}
        nobody = UNKNOWN if any(item.status == "unknown" for item in sides.values()) else ""
        who = {name: set(item.rows) for name, item in sides.items()}
        return [
            ",".join(name for name, own in who.items() if row in own) or nobody
            for row in rows.tolist()
        ]


def check_learned(
    probe: SavedProbe, task: Task, settings: PredictSettings, *, export: Path | None
) -> Learned:
    """Refuse images that the probe or its encoder has learned from, unless the user allows them.

    Args:
        probe: The probe.
        task: The new images, as its test split.
        settings: Whether to go on; which rows of the data set were chosen.
        export: The exported folder of the encoder; None where it is none.

    Raises:
        InputError: If there are any; names how many, and by what they were known.
    """
    own = _check_probe(probe, task, allow_seen=settings.allow_seen)
    whose = SeenVerdict()
    if export is not None:
        whose = check_seen(
            str(export),
            task.data,
            task.splits,
            settings=None if settings.split == "all" else split_settings(probe),
            allow_seen=settings.allow_seen,
        )
    learned = Learned(own, whose)
    for message in learned.messages:
        console.print(message, markup=False)
    return learned


def _check_probe(probe: SavedProbe, task: Task, *, allow_seen: bool) -> SeenVerdict:
    rows, ids = task.splits.test, _learned_ids(probe)
    is_same = RunFolder(probe.run).facts().get("data") == task.data.fingerprint()
    overlap = (
        _by_ids(task.data, rows, ids) if is_same else _by_contents(probe, task.data, rows, ids=ids)
    )
    if overlap.num_seen and not allow_seen:
        raise InputError(
            f"the probe of {probe.run} learned from {overlap.counted()}: predict images that it "
            "has not seen (--split test: the test rows of its data set), or go on with "
            "--allow-seen, which marks them and every figure"
        )
    if overlap.num_seen:
        return SeenVerdict(
            "seen",
            f"SEEN IN TRAINING: the probe learned from {overlap.counted()}: its answers to them "
            "say nothing of others",
            tuple(overlap.seen[NEW].tolist()),
        )
    if overlap.doubts:
        return SeenVerdict("unknown", f"SEEN IN TRAINING? {'; '.join(overlap.doubts)}")
    return SeenVerdict("unseen", f"seen in training: none of the {len(rows)} files")


def _learned_ids(probe: SavedProbe) -> np.ndarray:
    """Return the ids of the run's images that the probe learned from or was picked on."""
    path = probe.run / "splits.csv"
    table = read_table(path)
    require_columns(table, ("image_id", "split"), path=path)
    learned = {"train", "val", probe.settings.select_on}
    ids: np.ndarray = table["image_id"][table["split"].isin(learned)].to_numpy()
    return ids


def _by_ids(data: ImageData, rows: np.ndarray, ids: np.ndarray) -> Overlap:
    """Compare rows of the run's own data set: its splits say who is on which side."""
    own = data.table["image_id"].astype(str).to_numpy()[rows]
    return sum_up({"ids": np.isin(own, ids.astype(str))}, {NEW: rows}, data)


def _by_contents(
    probe: SavedProbe, data: ImageData, rows: np.ndarray, *, ids: np.ndarray
) -> Overlap:
    """Compare rows of another data set with the run's own, which is read once more."""
    name = probe.settings.data
    secret = secrets.token_bytes(NUM_BYTES)  # for this moment: nothing of it is kept
    try:
        # Its places are as seen from where the run began.
        with RunFolder(probe.run).where_it_began():
            console.print(f"comparing with what the probe learned from: {name}", markup=False)
            with quieted(wanted=True):  # what was chosen of it the run has said
                own = load_data(name, premalignant_as=probe.settings.premalignant_as)
            learned = _rows_of(own, ids)
            record = build_record(own, learned, learned, secret=secret, reader=name)
    except InputError as error:
        doubt = (
            f"the data set that the probe learned from cannot be read any more ({error}): the ids "
            "of its images alone were compared"
        )
        return replace(_by_ids(data, rows, ids), doubts=(doubt,))
    overlap = compare_rows([record], Contents(data), {NEW: rows}, secret=secret)
    if len(learned) == len(ids):
        return overlap
    gone = counted(
        len(ids) - len(learned),
        "image that the probe learned from is", "images that the probe learned from are",
    )  # fmt: skip
    doubt = f"{gone} gone from {name}"
    return replace(overlap, doubts=(*overlap.doubts, doubt))


def _rows_of(data: ImageData, ids: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.isin(data.table["image_id"].astype(str), ids.astype(str)))
