"""The one check of all commands that judge an encoder: has it seen whom it is judged on?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from toolkit_common.backbones.exported import (
    DESCRIPTION,
    SHARED,
    WEIGHTS,
    find_export,
    read_description,
)
from toolkit_common.backbones.ids import BackboneId, parse_backbone_id
from toolkit_common.backbones.named.alias import LOCAL
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.settings import SplitSettings
from toolkit_common.data.splits import Splits, make_splits
from toolkit_common.errors import InputError
from toolkit_common.printable import shell_line
from toolkit_common.seen.compare import Overlap, compare_rows
from toolkit_common.seen.record import Contents, Record, read_seen

SeenStatus = Literal["", "unseen", "seen", "unknown"]  # empty: of an encoder that is no export
JUDGED = ("test", "val")
MARKS: Mapping[SeenStatus, str] = {"seen": "SEEN", "unknown": "SEEN?"}  # the worse one first
EXPLAINED: Mapping[SeenStatus, str] = {
    "seen": "the encoder was pre-trained on patients or images that it is judged on",
    "unknown": "whether the encoder was pre-trained on patients that it is judged on is not known",
}


@dataclass(frozen=True)
class SeenVerdict:
    """Whether an encoder has seen whom it is judged on, a sentence that says so, and which rows."""

    status: SeenStatus = ""
    message: str = ""
    rows: tuple[int, ...] = ()


def mark(text: str, status: SeenStatus, *, between: str = "\n") -> str:
    """Return a figure as it is shown: with a mark where its rows were seen, or may have been."""
    return f"{text}{between}{MARKS[status]}" if status in MARKS else text


def worse_verdict(first: SeenVerdict, second: SeenVerdict) -> SeenVerdict:
    """Return what two encoders behind one figure make of it: the worse status, both messages."""
    order: tuple[SeenStatus, ...] = ("seen", "unknown", "unseen", "")
    worse = min((first.status, second.status), key=order.index)
    return SeenVerdict(worse, "; ".join(item.message for item in (first, second) if item.message))


def trained_folder(parsed: BackboneId) -> Path | None:
    """Return the export that an encoder's weights come from, however they are named."""
    if parsed.weights is not None:
        folder = parsed.weights.parent
        is_export = parsed.weights.name in (WEIGHTS, SHARED) and (folder / DESCRIPTION).is_file()
        return folder if is_export else None
    if parsed.source == "timm" and parsed.name.startswith(LOCAL):  # timm reads exports too
        folder = Path(parsed.name.removeprefix(LOCAL))
        return folder if (folder / DESCRIPTION).is_file() else None
    return Path(parsed.name) if parsed.source == "exported" else None


def check_seen(
    backbone: str | None,
    data: ImageData,
    splits: Splits,
    *,
    settings: SplitSettings | None,
    allow_seen: bool,
) -> SeenVerdict:
    """Refuse to judge an encoder on whom it was trained on; call it where no weights are random.

    Args:
        backbone: Id of the encoder.
        data: The data set to judge on.
        splits: Its rows that are judged on; new images are all of its test split.
        settings: How they were split; None where all rows are judged on, whatever their split.
        allow_seen: Go on with a verdict that every figure is to be marked by.

    Raises:
        InputError: If patients, lesions or images of test or validation were seen; names how many,
            and options that give splits without.
    """
    folder = None if backbone is None else trained_folder(parse_backbone_id(backbone))
    if folder is None:
        return SeenVerdict()
    records, contents = read_seen(folder), Contents(data)
    overlap = _compare(records, contents, splits, settings=settings)
    if overlap.is_refused and not allow_seen:
        what = (
            f"was pre-trained on patients or images of {overlap.counted()}"
            if overlap.num_seen
            else f"cannot be judged on {data.id!r}: {overlap.doubts[0]}"
        )
        way = "leave them out"
        if settings is not None:
            way = _other_splits(folder, records, contents, settings=settings)
        raise InputError(
            f"encoder {folder} {what}: {way}, or go on with --allow-seen, which marks every figure"
        )
    return _judge(folder, overlap, data)


def _compare(
    records: tuple[Record, ...],
    contents: Contents,
    splits: Splits,
    *,
    settings: SplitSettings | None,
) -> Overlap:
    sides = {side: splits[side] for side in JUDGED if len(splits[side])}
    if settings is None:
        return compare_rows(records, contents, sides)

    def train() -> np.ndarray:
        # As made: a label that some rows lack moves no row to another split.
        return make_splits(contents.data, settings).train

    return compare_rows(records, contents, sides, train=train)


def _judge(folder: Path, overlap: Overlap, data: ImageData) -> SeenVerdict:
    notes = "".join(f"; {note}" for note in overlap.notes)
    if overlap.num_seen:
        return SeenVerdict(
            "seen",
            f"SEEN IN PRE-TRAINING: encoder {folder} was trained on patients or images of "
            f"{overlap.counted()}: these figures are not of unseen patients{notes}",
            tuple(np.concatenate([*overlap.seen.values()]).tolist()),
        )
    if overlap.doubts:
        doubts = "; ".join(overlap.doubts)
        return SeenVerdict("unknown", f"SEEN IN PRE-TRAINING? encoder {folder}: {doubts}{notes}")
    sizes = " and ".join(f"{size} {side} images" for side, size in overlap.sizes.items())
    what = "patient, lesion or image" if "group" in data.table else "image (there are no groups)"
    return SeenVerdict("unseen", f"seen in pre-training: no {what} of the {sizes}{notes}")


def _other_splits(
    folder: Path, records: tuple[Record, ...], contents: Contents, *, settings: SplitSettings
) -> str:
    """Return the options that give splits of unseen rows, found by trying them."""
    now = _options(settings)
    for options, candidate in _candidates(folder):
        try:
            splits = make_splits(contents.data, candidate)
            is_right = not _compare(records, contents, splits, settings=candidate).is_refused
        except InputError:  # its file of splits is another data set's
            continue
        if is_right:
            instead = f" in place of {shell_line(now)}" if now else ""
            return f"give {shell_line(options)}{instead}"
    return "its splits all hold such rows; name those that are left in a file for --splits"


def _candidates(folder: Path) -> Iterator[tuple[list[str], SplitSettings]]:
    """Yield the splits of pre-training: as options, and as the file that its run has kept."""
    export = find_export(folder)
    stored: Any = read_description(export).provenance.get("settings", {})
    given = {key: stored[key] for key in ("split_seed", "folds", "fold") if key in stored}
    settings = SplitSettings(**given)
    yield _options(settings) or ["--split-seed", str(settings.split_seed)], settings
    file = export.parent / "splits.csv"
    if file.is_file():
        yield ["--splits", str(file)], SplitSettings(splits=file)


def _options(settings: SplitSettings) -> list[str]:
    """Return the options that make these splits, as they are typed."""
    options: list[str] = []
    for key in SplitSettings.model_fields:
        value = getattr(settings, key)
        # Without folds a run of before holds a fold 0.
        says_nothing = key == "fold" and settings.folds is None
        if value != SplitSettings.model_fields[key].default and not says_nothing:
            options += [f"--{key.replace('_', '-')}", str(value)]
    return options
