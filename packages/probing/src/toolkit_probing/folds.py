"""`toolkit probe --folds K` without `--fold`: every fold in turn, a run each, then one table.

A run of all folds holds those of single ones (`fold-0`, `fold-1`, ...), each an ordinary run that
can be looked at, resumed and drawn by itself. Killed, it loses what the running fold had not saved.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from accelerate import Accelerator

from toolkit_common.backbones.contract import Backbone
from toolkit_common.config import Invocation, Resolved
from toolkit_common.console import console
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.splits import splits_table
from toolkit_common.features.extract import Extracted
from toolkit_common.runs.facts import FOLD_PREFIX, SETTINGS
from toolkit_common.runs.files import sha256_of_text
from toolkit_common.runs.folder import RunFolder, choose_run_folder
from toolkit_common.training.distributed import on_main, own_accelerator
from toolkit_probing.attention.judged import open_judged
from toolkit_probing.loaded import Loaded, load
from toolkit_probing.methods.choose import with_all_methods, with_all_options
from toolkit_probing.reports.curves import write_curves
from toolkit_probing.reports.run_end import write_reports
from toolkit_probing.results.contents import Results, read_results
from toolkit_probing.results.folds import pool_folds
from toolkit_probing.results.saved import FOLDS
from toolkit_probing.run import CURVE_METRIC, complete, judge, run_probe, show
from toolkit_probing.settings import ProbeSettings

Fold = tuple[RunFolder, Invocation[ProbeSettings], Loaded]
SHOWN = "balanced_accuracy"  # on the way: the table comes when all folds have ended


def run_every_fold(
    invocation: Invocation[ProbeSettings],
    *,
    backbone: Backbone | None = None,
    data: ImageData | None = None,
) -> dict[str, Any]:
    """Carry out a probe run on every fold and return what the results.json of all holds.

    All folds are checked before anything is trained, and the encoder runs once. Arguments as of
    `run_probe`.

    Raises:
        InputError: If the settings, the data or the backbone are at fault; of a fold it says which.
        KeyboardInterrupt: After Ctrl-C, when the state is saved.
    """
    invocation = complete(invocation)
    settings = with_all_methods(invocation.settings)
    assert settings.folds is not None, "a run of all folds has some"
    run = choose_run_folder(invocation, name="probe", complete=with_all_options)
    if invocation.resume and run.is_done:
        return show(read_results(run.path), run, invocation)
    parts = [_of_fold(invocation, run, fold) for fold in range(settings.folds)]
    # Before anything is written, as another process would find folders that this one has begun.
    runs = [_choose_fold(part) for part in parts]
    is_done = [own.is_done and part.resume for own, part in zip(runs, parts, strict=True)]
    with own_accelerator(device=settings.device, precision=settings.precision) as accelerator:
        split = [with_all_methods(part.settings) for part in parts]
        loaded = load(split, backbone=backbone, data=data)
        on_main(accelerator, lambda: _start(run, invocation, loaded))
        todo = [fold for fold in range(settings.folds) if not is_done[fold]]
        _judge_folds(list(zip(runs, parts, loaded, strict=True)), todo, accelerator=accelerator)
        names = [own.path.name for own in runs]
        on_main(accelerator, lambda: _finish(run, names, settings, data=loaded[0].task.data))
        accelerator.end_training()
    printed = loaded[0].task.data.choices
    return show(read_results(run.path), run, invocation, printed=printed)


def run_any(
    invocation: Invocation[ProbeSettings],
    *,
    backbone: Backbone | None = None,
    data: ImageData | None = None,
) -> dict[str, Any]:
    """Carry out a probe run: on one split, or on every fold where none is named.

    Arguments as of `run_probe`.
    """
    act = run_every_fold if invocation.settings.is_every_fold else run_probe
    return act(invocation, backbone=backbone, data=data)


def _judge_folds(folds: Sequence[Fold], todo: Sequence[int], *, accelerator: Accelerator) -> None:
    """Judge the folds that are to do, one after the other."""
    extracted: Extracted | None = None
    for fold, (own, part, item) in enumerate(folds):
        console.print(f"fold {fold} ({fold + 1} of {len(folds)}): {_sizes(item)}")
        if fold not in todo:
            console.print(f"fold {fold} is done: {own.path}")
            continue
        again = replace(item, extracted=extracted)
        results, extracted = judge(own, part, again, accelerator=accelerator)
        extracted = _for_next(part.settings, item, extracted)
        console.print(f"fold {fold}: {_shown(results)}")


def _of_fold(
    invocation: Invocation[ProbeSettings], run: RunFolder, fold: int
) -> Invocation[ProbeSettings]:
    """Return the call that one fold of a call for all is."""
    whole = invocation.resolved
    resolved = Resolved(
        whole.settings.model_copy(update={"fold": fold}),
        {**whole.sources, "fold": "one of all folds"},
    )
    folder = run.path / f"{FOLD_PREFIX}{fold}"
    goes_on = invocation.resume and (folder / SETTINGS).exists()
    return replace(invocation, resolved=resolved, output=folder, resume=goes_on, overwrite=False)


def _choose_fold(part: Invocation[ProbeSettings]) -> RunFolder:
    assert part.output is not None, "a fold lies in the run of all"
    if not part.resume:  # in a folder that is new, or that `--overwrite` empties
        return RunFolder(part.output)
    return choose_run_folder(part, name="fold", complete=with_all_options)


def _start(run: RunFolder, invocation: Invocation[ProbeSettings], loaded: Sequence[Loaded]) -> None:
    tables = [splits_table(item.task.splits, item.task.data) for item in loaded]
    facts = {
        "data": loaded[0].task.data.fingerprint(),
        "splits": sha256_of_text("".join(table.to_csv(index=False) for table in tables)),
        "encoder": loaded[0].backbone.fingerprint(),
    }
    run.start(invocation, kind=FOLDS, facts=facts)


def _for_next(settings: ProbeSettings, item: Loaded, extracted: Extracted) -> Extracted | None:
    """Return features that the next fold may read: those of the same rows, read in the same way."""
    # Crops are of the training images of a fold, metadata beside may be fitted to them, and what
    # is tuned reads images.
    if settings.tune != "none" or settings.augment == "crops" or item.metadata is not None:
        return None
    return replace(extracted, was_cached=True, seconds=0.0)


def _finish(
    run: RunFolder, folds: Sequence[str], settings: ProbeSettings, *, data: ImageData
) -> None:
    results = pool_folds(run.path, folds)
    write_curves(run.path / "curves", [*results.rows, *results.baselines], CURVE_METRIC)
    if settings.report:
        pictures = settings.pictures
        write_reports(run.path, results, data, open_images=open_judged, pictures=pictures)
    run.write_results(results.to_json())
    run.finish(keep_checkpoints=settings.keep_checkpoints)


def _sizes(item: Loaded) -> str:
    splits = item.task.splits
    return ", ".join(f"{name} {len(splits[name])}" for name in ("train", "val", "test"))


def _shown(results: Results) -> str:
    rows = [(row.name, row.metrics[SHOWN].mean) for row in results.rows]
    figures = ", ".join(
        f"{name} {'undefined' if mean is None else f'{mean:.3f}'}" for name, mean in rows
    )
    return f"{SHOWN.replace('_', ' ')}: {figures}"
