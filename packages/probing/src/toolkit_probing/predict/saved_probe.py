"""A probe of a finished run: which of its heads, and the encoder that it was trained on."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit_common.backbones.contract import Backbone
from toolkit_common.backbones.ids import parse_backbone_id
from toolkit_common.console import console
from toolkit_common.errors import InputError
from toolkit_common.registry import lookup
from toolkit_common.runs.folder import RunFolder
from toolkit_common.runs.manifest import refuse_changed
from toolkit_common.seen.check import trained_folder
from toolkit_probing.heads.files import read_spec
from toolkit_probing.heads.head import HeadSpec
from toolkit_probing.heads.inputs import describe_place
from toolkit_probing.heads.kept import heads_of_rows
from toolkit_probing.methods import METHODS
from toolkit_probing.protocols import settings_of
from toolkit_probing.results.contents import Results
from toolkit_probing.results.rows import Row
from toolkit_probing.results.saved import read_run
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.encoder import load_judged_backbone
from toolkit_probing.task.subsets import ALL

WITHOUT_HEAD = {
    "knn": "k-NN votes by its training images, which a run does not hold",
    "logreg": "the run is of before, when logistic regressions were not kept: run it again",
}


@dataclass(frozen=True)
class SavedProbe:
    """One head of a finished probe run.

    Attributes:
        run: The run's folder, absolute.
        results: What results.json holds.
        settings: The run's.
        row: The head's entry in the results.
        head: The head's file.
        spec: What the file says that it is.
    """

    run: Path
    results: Results
    settings: ProbeSettings
    row: Row
    head: Path
    spec: HeadSpec

    @property
    def classes(self) -> tuple[str, ...]:
        """Its classes, in the order of its probabilities."""
        return tuple(self.results.data.classes)


@dataclass(frozen=True)
class LoadedEncoder:
    """The encoder of a probe.

    Attributes:
        backbone: It, reading the probe's layer alone, and tuned where the probe was.
        export: The exported folder that its weights are from, absolute; None where they are none.
    """

    backbone: Backbone
    export: Path | None


def choose_probe(run: Path, *, row: str | None = None, method: str | None = None) -> SavedProbe:
    """Choose a head of a finished run, and print which one and among what.

    Args:
        run: The run's folder.
        row: Name of a row of results.json or of a head's file, or how it begins; EP's first row
            that learned from all labels, else the first, by default.
        method: Choose among the rows of this method.

    Raises:
        InputError: If the run has not ended, or keeps no such head, or several begin so.
    """
    folder = run.resolve()
    results = read_run(folder).results
    if results.folds:
        raise InputError(f"{run} is a run of all folds: name one, such as {run}/fold-0")
    settings = settings_of(folder)
    heads = heads_of_rows(folder, results.rows_of_heads, settings)
    chosen, file = _choose(folder, results.rows, heads, row=row, method=method)
    refuse_changed(folder, "splits.csv")  # others hide whom it has learned from
    probe = SavedProbe(folder, results, settings, chosen, file, read_spec(file))
    _show(probe, heads)
    return probe


def load_encoder(probe: SavedProbe, backbone: str | None = None) -> LoadedEncoder:
    """Load the encoder of a probe.

    Args:
        probe: The probe.
        backbone: Its id where it lies elsewhere now; its weights must be those of the run.

    Raises:
        InputError: If it is gone, or its weights have changed.
    """
    settings = probe.settings
    if backbone is not None:
        settings = settings.model_copy(update={"backbone": backbone})
    # Settings name weights as seen from where the run began.
    there = RunFolder(probe.run).where_it_began() if backbone is None else nullcontext()
    with there:
        try:
            loaded = load_judged_backbone(
                probe.run, settings, head=probe.head.name, is_named=backbone is not None
            )
        except InputError as error:
            raise InputError(
                f"cannot load the encoder that {probe.run} judged: {error}; where it lies "
                "elsewhere now, --backbone names it"
            ) from error
        text = None if settings.random_init else settings.backbone
        export = None if text is None else trained_folder(parse_backbone_id(text))
        export = None if export is None else export.absolute()
    # No other layer need be computed.
    if probe.spec.layer in loaded.info.layers:
        loaded.info = replace(loaded.info, layers=(probe.spec.layer,))
    return LoadedEncoder(loaded, export)


def _choose(
    run: Path,
    rows: Sequence[Row],
    heads: Mapping[str, Sequence[Path]],
    *,
    row: str | None,
    method: str | None,
) -> tuple[Row, Path]:
    if method is not None:
        methods = lookup({item.method: item.method for item in rows}, method, kind=f"row of {run}")
        rows = [item for item in rows if item.method == methods]
    if row is not None:
        return _named(run, rows, heads, name=row)
    able = [item for item in rows if item.name in heads]
    if not able:
        raise _no_head(run, rows[0], heads)
    # EP's first, of all labels: False sorts before True, and the sort keeps the order.
    first = min(able, key=lambda item: (METHODS[item.method].published is None, item.labels != ALL))
    return first, heads[first.name][0]


def _named(
    run: Path, rows: Sequence[Row], heads: Mapping[str, Sequence[Path]], *, name: str
) -> tuple[Row, Path]:
    known = {item.name: item for item in rows}
    if name in known and name not in heads:
        raise _no_head(run, known[name], heads)
    places = {item: (known[item], files[0]) for item, files in heads.items() if item in known}
    files = {
        file.stem: (known[item], file)
        for item, own in heads.items()
        if item in known
        for file in own
    }
    # A row's name before a file's: of several seeds the first predicts.
    for named in (places, files):
        if name in named:
            return named[name]
        begin = [item for item in named if item.startswith(name)]
        if len(begin) == 1:
            return named[begin[0]]
        if begin:
            raise InputError(f"--row {name} is one of: {', '.join(begin)}")
    for item in known:
        if item.startswith(name):
            raise _no_head(run, known[item], heads)
    return lookup(places, name, kind=f"row of {run}")


def _no_head(run: Path, row: Row, heads: Mapping[str, Sequence[Path]]) -> InputError:
    why = WITHOUT_HEAD.get(row.method, "its file is gone")
    rest = f"rows with a head: {', '.join(heads)}" if heads else "no row of it has a head"
    return InputError(f"row {row.name} of {run} has no head that predicts: {why}; {rest}")


def _show(probe: SavedProbe, heads: Mapping[str, Sequence[Path]]) -> None:
    row, own = probe.row, heads[probe.row.name]
    others = [name for name in heads if name != row.name]
    line = (
        f"probe: row {row.name} of {probe.run} ({row.method}, "
        f"{describe_place(row.layer, row.source)}, {row.labels}), head {probe.head.stem}"
    )
    if len(own) > 1:
        line += f", one of {len(own)} seeds and draws (--row takes another head by its name)"
    if others:
        line += f"; --row takes another of: {', '.join(others)}"
    console.print(line, markup=False)
