"""`toolkit probe`: backbone and data in, features once, every method, figures out."""

import resource
import time
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator

from toolkit_common.backbones.contract import Backbone
from toolkit_common.config import Invocation
from toolkit_common.console import console
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.splits import splits_table
from toolkit_common.features.encode import Extraction, RowEncoder
from toolkit_common.features.extract import Extracted, extract
from toolkit_common.runs.files import sha256_of_text, write_text
from toolkit_common.runs.folder import RunFolder, choose_run_folder
from toolkit_common.training.distributed import on_main, own_accelerator
from toolkit_probing.attention.judged import JudgedImages
from toolkit_probing.loaded import Loaded, load
from toolkit_probing.methods.baselines import judge_baselines
from toolkit_probing.methods.checks import (
    refuse_bad_options,
    refuse_unused,
)
from toolkit_probing.methods.choose import (
    group_by_fit,
    requested_methods,
    with_all_methods,
    with_all_options,
)
from toolkit_probing.methods.specs import takes_steps
from toolkit_probing.methods.tuned import describe_tuning, image_sources
from toolkit_probing.protocols import used_protocol
from toolkit_probing.reports.curves import write_curves
from toolkit_probing.reports.run_end import write_reports
from toolkit_probing.results.contents import (
    Cost,
    JudgedBackbone,
    JudgedData,
    Results,
    diverged_heads,
    read_results,
)
from toolkit_probing.results.predictions import write_predictions
from toolkit_probing.results.rows import Outcome, build_rows
from toolkit_probing.results.saved import write_test_rows
from toolkit_probing.results.summary import show_results
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.context import Context
from toolkit_probing.task.encoder import (
    build_extraction,
    show_price_of_views,
)
from toolkit_probing.task.shrunk import shrink_images
from toolkit_probing.task.subsets import Subset
from toolkit_probing.task.task import Task
from toolkit_probing.training.checkpoint import logged_metric
from toolkit_probing.training.dtype_cost import measure_dtype_cost
from toolkit_probing.training.plan import Shortfall, find_shortfall

CURVE_METRIC = "balanced_accuracy"


def run_probe(
    invocation: Invocation[ProbeSettings],
    *,
    backbone: Backbone | None = None,
    data: ImageData | None = None,
) -> dict[str, Any]:
    """Carry out one probe run and return what results.json holds.

    Args:
        invocation: What to judge, and how.
        backbone: The backbone that the settings name, where it is loaded already.
        data: The data set that they name, likewise.

    Raises:
        InputError: If the settings, the data or the backbone are at fault.
        KeyboardInterrupt: After Ctrl-C, when the state is saved.
    """
    invocation = complete(invocation)
    settings = with_all_methods(invocation.settings)
    run = choose_run_folder(invocation, name="probe", complete=with_all_options)
    if invocation.resume and run.is_done:
        return show(read_results(run.path), run, invocation)
    with own_accelerator(device=settings.device, precision=settings.precision) as accelerator:
        (loaded,) = load([settings], backbone=backbone, data=data)
        results, _ = judge(run, invocation, loaded, accelerator=accelerator)
        accelerator.end_training()
    return show(results, run, invocation, printed=loaded.task.data.choices)


def complete(invocation: Invocation[ProbeSettings]) -> Invocation[ProbeSettings]:
    """Return a call with every option of its methods.

    Raises:
        InputError: If a method has no such option, or a setting would have no effect.
    """
    settings, sources = with_all_methods(invocation.settings), invocation.resolved.sources
    refuse_bad_options(settings, sources)
    refuse_unused(settings, sources)
    return replace(invocation, resolved=with_all_options(invocation.resolved))


def judge(
    run: RunFolder,
    invocation: Invocation[ProbeSettings],
    loaded: Loaded,
    *,
    accelerator: Accelerator,
) -> tuple[Results, Extracted]:
    """Judge what was loaded and fill the run folder; returns the features, for other folds."""
    settings = with_all_methods(invocation.settings)
    shortfall = _shortfall(settings, loaded.subsets, accelerator.num_processes)
    if shortfall is not None:
        console.print(shortfall.note)
    on_main(accelerator, lambda: _start(run, invocation, loaded))
    results, outcomes, extracted = _probe(
        settings, loaded, run, accelerator=accelerator, shortfall=shortfall
    )
    if accelerator.is_main_process:
        _finish(
            run, replace(loaded, extracted=extracted), results, outcomes=outcomes,
            settings=settings,
        )  # fmt: skip
    return results, extracted


def show(
    results: Results,
    run: RunFolder,
    invocation: Invocation[ProbeSettings],
    *,
    printed: Collection[str] = (),
) -> dict[str, Any]:
    """Print what a run gave, but for notes that were printed, and return what `--json` prints."""
    notes = [note for note in results.notes if note not in printed]
    show_results(replace(results, notes=notes), run.path, as_json=invocation.as_json)
    return {**results.to_json(), "run": str(run.path)}


def _diverged(run: RunFolder, settings: ProbeSettings) -> dict[str, int]:
    metric = logged_metric(settings.select_on, settings.select_by)
    return diverged_heads(run.path, metric)


def _shortfall(
    settings: ProbeSettings, subsets: Sequence[Subset], num_processes: int
) -> Shortfall | None:
    """Return how far the batch of heads that are trained is below what was requested."""
    is_trained = any(takes_steps(method, settings) for method in requested_methods(settings))
    if settings.head is not None or not is_trained:
        return None
    sizes = [size for subset in subsets for size in subset.sizes]
    return find_shortfall(settings, sizes, num_processes)


def _probe(
    settings: ProbeSettings,
    loaded: Loaded,
    run: RunFolder,
    *,
    accelerator: Accelerator,
    shortfall: Shortfall | None,
) -> tuple[Results, list[Outcome], Extracted]:
    """Return what results.json holds, outcomes with those of baselines, and features."""
    task, backbone, metadata = loaded.task, loaded.backbone, loaded.metadata
    how = _extraction(settings, task, accelerator)
    images = shrink_images(settings, task, backbone, accelerator=accelerator)
    extracted = loaded.extracted or _extract(
        replace(loaded, task=images.task), settings, how, accelerator=accelerator
    )
    start = time.perf_counter()
    context = Context(
        settings, task, loaded.subsets, backbone, extracted, loaded.views, run, accelerator
    )
    outcomes = judge_methods(context)
    seconds = time.perf_counter() - start
    is_main = accelerator.is_main_process
    baselines, others = _judge_baselines(settings, loaded) if is_main else ([], [])
    dtype_cost = measure_dtype_cost(context, images.task.data, how)
    rows = partial(
        build_rows, task=task, settings=settings, num_processes=accelerator.num_processes
    )
    results = Results(
        protocol=used_protocol(settings, unmet=shortfall.phrase if shortfall else None),
        data=JudgedData.of(task),
        backbone=JudgedBackbone.of(backbone.info),
        notes=[
            *([extracted.equal] if extracted.equal else []),
            *loaded.notes,
            *([shortfall.note] if shortfall else []),
        ],
        tuning=describe_tuning(settings, len(task.splits.train)),
        features={**extracted.facts, "dtype_cost": dtype_cost},
        inputs={"read": settings.named_inputs, "metadata": metadata and dict(metadata.facts)},
        images=images.facts,
        diverged=_diverged(run, settings) if is_main else {},
        cost=Cost(seconds=seconds, peak_memory_bytes=_peak_bytes(accelerator)),
        rows=rows(outcomes, inputs=settings.named_inputs, seen=loaded.seen.status),
        baselines=[
            *rows(baselines, inputs="metadata alone"),
            *rows(others, inputs="extrapolated metadata alone", seen=loaded.seen.status),
        ],
    )
    return results, [*outcomes, *baselines, *others], extracted


def _judge_baselines(
    settings: ProbeSettings, loaded: Loaded
) -> tuple[list[Outcome], list[Outcome]]:
    """Return the baselines of the data set's own metadata, and those of extrapolated ones."""
    given = None if loaded.metadata is None else loaded.metadata.extrapolated
    judge = partial(judge_baselines, loaded.task, settings, loaded.subsets)
    return judge(), [] if given is None else judge(extrapolated=given)


def judge_methods(context: Context) -> list[Outcome]:
    """Fit the requested methods, those that share a fit together, and return what they do."""
    shares = [view.share for view in context.views]
    return [
        part
        for fit, methods in group_by_fit(context.settings)
        for outcome in fit(context, methods)
        for part in outcome.of_views(shares)
    ]


def _peak_bytes(accelerator: Accelerator) -> int:
    """Return the most memory held at once so far: of the GPU, or of this process on a CPU."""
    if accelerator.device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(accelerator.device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts KiB


def _start(run: RunFolder, invocation: Invocation[ProbeSettings], loaded: Loaded) -> None:
    task = loaded.task
    splits = splits_table(task.splits, task.data).to_csv(index=False)
    facts = {
        "data": task.data.fingerprint(),
        "splits": sha256_of_text(splits),
        "encoder": loaded.backbone.fingerprint(),
    }
    if loaded.metadata is not None:
        facts["metadata_encoders"] = loaded.metadata.digest
    run.start(invocation, kind="probe", facts=facts)
    if not run.has("splits.csv"):  # a resumed run is refused other ones
        write_text(run.path / "splits.csv", splits)
    if len(task.bad_files):
        write_text(run.path / "bad_files.csv", task.bad_files.to_csv(index=False))


def _extraction(settings: ProbeSettings, task: Task, accelerator: Accelerator) -> Extraction:
    methods = requested_methods(settings)
    trained = [method for method in methods if takes_steps(method, settings)]
    epochs = settings.epochs if trained else 0
    at_once = len(methods) - len(trained)
    tested = len(settings.hide_metadata) * len(task.splits.test)
    judged = epochs * len(task.splits[settings.select_on]) + tested
    return replace(
        build_extraction(settings, accelerator),
        store=settings.store,
        with_patches=any(method.reads_tokens for method in methods),
        with_pooled="pooled" in settings.vectors,
        random_crops=settings.augment == "crops",
        views=settings.views,
        seed=settings.seed,
        train_reads=epochs * len(task.splits.train),
        other_reads=judged + at_once * len(task.rows),
    )


def _extract(
    loaded: Loaded, settings: ProbeSettings, how: Extraction, *, accelerator: Accelerator
) -> Extracted:
    """Return what heads read of the task's rows: features of images, metadata, both, or images."""
    task, backbone, metadata = loaded.task, loaded.backbone, loaded.metadata
    if settings.tune != "none":
        return image_sources(backbone, task, how, accelerator=accelerator)
    if metadata is not None and metadata.is_all:
        return metadata.alone()
    if how.random_crops and how.views and not task.data.is_streamed:
        train = task.rows[task.positions("train")]
        show_price_of_views(RowEncoder(backbone, task.data, how, accelerator), train)
    extracted = extract(
        backbone, task.data, task.rows, how=how, accelerator=accelerator,
        train=task.positions("train"),
    )  # fmt: skip
    return extracted if metadata is None else metadata.beside(extracted)


def _finish(
    run: RunFolder,
    loaded: Loaded,
    results: Results,
    *,
    outcomes: Sequence[Outcome],
    settings: ProbeSettings,
) -> None:
    """Write what a run gave; `loaded` holds its features too."""
    task = loaded.task
    for outcome in outcomes:
        write_predictions(run.path, outcome, task)
    # Results late and DONE last: a run that was killed on the way is not taken for finished.
    write_curves(run.path / "curves", [*results.rows, *results.baselines], CURVE_METRIC)
    write_test_rows(run.path, task.data, task.splits.test)
    if settings.report:
        images, pictures = _judged_images(loaded), settings.pictures
        write_reports(
            run.path, results, task.data,
            open_images=lambda _: nullcontext(images), pictures=pictures,
        )  # fmt: skip
    run.write_results(results.to_json())
    run.finish(keep_checkpoints=settings.keep_checkpoints)


def _judged_images(loaded: Loaded) -> JudgedImages:
    """Return the test images of a run that is about to end, with the features that it holds."""
    assert loaded.extracted is not None
    encoded = (loaded.backbone, loaded.extracted.source)
    return JudgedImages(loaded.task, lambda _: encoded)
