"""Which heads of a finished run have attention maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit_common.errors import InputError
from toolkit_common.registry import lookup
from toolkit_probing.heads.files import read_spec
from toolkit_probing.heads.head import Head
from toolkit_probing.heads.kept import heads_of_rows, repeat_of
from toolkit_probing.methods import METHODS
from toolkit_probing.probes import POOLS, AttentivePool
from toolkit_probing.results.contents import Results
from toolkit_probing.results.names import short_names
from toolkit_probing.results.rows import Row
from toolkit_probing.settings import ProbeSettings


@dataclass(frozen=True)
class KeptHead:
    """A head of a run.

    Attributes:
        file: Its file.
        name: Of its row, as tables show it; of its file where no row is its.
        row: Its row; None where there is none.
        repeat: Which of the row's repeats it is.
    """

    file: Path
    name: str
    row: Row | None = None
    repeat: int = 0


def heads_with_maps(run: Path) -> Mapping[str, Path]:
    """Return the files of a run's heads that have attention, by name.

    Raises:
        InputError: If there is none.
    """
    files = sorted((run / "heads").glob("*.safetensors"))
    if not files and (run / "fold-0").is_dir():
        raise InputError(f"{run} is a run of all folds: name one, such as {run}/fold-0")
    if not files:
        raise InputError(f"{run} holds no heads: give the folder of a toolkit probe run")
    drawable = {
        file.stem: file
        for file in files
        # What has no pooling of its own, as linear probing, has nothing to draw.
        if issubclass(POOLS.get(read_spec(file).method, Head), AttentivePool)
    }
    if not drawable:
        raise InputError(f"no head of {run} has attention maps: probe with --method ep")
    return drawable


def choose_head(run: Path, name: str | None) -> Path:
    """Return the file of a run's head that has attention.

    Raises:
        InputError: If there is none, or none of that name, or several begin so.
    """
    drawable = heads_with_maps(run)
    if name is None:
        # EP's first: False sorts before True.
        return min(
            drawable.values(), key=lambda file: METHODS[read_spec(file).method].published is None
        )
    if name in drawable:
        return drawable[name]
    begins = [stem for stem in drawable if stem.startswith(name)]
    if len(begins) > 1:
        raise InputError(f"--head {name} is one of: {', '.join(begins)}")
    return drawable[begins[0]] if begins else lookup(drawable, name, kind="head")


def head_of(run: Path, results: Results, settings: ProbeSettings, *, file: Path) -> KeptHead:
    """Return a head's file with the row that it is of."""
    (head,) = _with_rows(run, results, settings, files=[file])
    return head


def heads_to_measure(run: Path, results: Results, settings: ProbeSettings) -> list[KeptHead]:
    """Return the first head of every row that has maps, of those that learned from most labels.

    Raises:
        InputError: If no head has maps.
    """
    heads = _with_rows(run, results, settings, files=[*heads_with_maps(run).values()])
    amounts = [0.0 if head.row is None else float(np.mean(head.row.num_train)) for head in heads]
    kept: dict[str, KeptHead] = {}
    for head, amount in zip(heads, amounts, strict=True):
        if amount == max(amounts):
            first = kept.setdefault(head.name, head)
            kept[head.name] = head if head.repeat < first.repeat else first
    return list(kept.values())


def _with_rows(
    run: Path, results: Results, settings: ProbeSettings, *, files: Sequence[Path]
) -> list[KeptHead]:
    rows = {row.name: row for row in results.rows}
    shown = dict(zip(rows, short_names(results.rows), strict=True))
    kept = heads_of_rows(run, results.rows_of_heads, settings)
    names = {file: name for name, own in kept.items() for file in own}
    return [
        _with_row(file, shown[names[file]], rows[names[file]])
        if file in names
        else KeptHead(file, file.stem)
        for file in files
    ]


def _with_row(file: Path, name: str, row: Row) -> KeptHead:
    repeats, repeat = list(zip(row.seeds, row.draws, strict=True)), repeat_of(file)
    return KeptHead(file, name, row, repeats.index(repeat) if repeat in repeats else 0)
