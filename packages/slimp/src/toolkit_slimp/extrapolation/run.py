"""`toolkit extrapolate slimp`: images without metadata in, what similar lesions have out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from toolkit_common.console import console
from toolkit_common.data.check import check_images
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.extrapolated import Extrapolated, write_extrapolated
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError
from toolkit_common.printable import counted
from toolkit_common.seen.check import SeenVerdict, check_seen
from toolkit_common.seen.record import Contents
from toolkit_common.sources.load import load_data
from toolkit_common.training.distributed import build_accelerator
from toolkit_slimp.exporting.read import load_slimp
from toolkit_slimp.extrapolation.agreement import FEWEST_PATIENTS, Agreement, agreement_table
from toolkit_slimp.extrapolation.asking import Answers, ask, measure_columns
from toolkit_slimp.extrapolation.contents import build_facts, build_rows, described_columns
from toolkit_slimp.extrapolation.reference import Run, open_run, read_reference
from toolkit_slimp.extrapolation.settings import ExtrapolateSettings


def extrapolate(settings: ExtrapolateSettings, *, run: Path, output: Path) -> Extrapolated:
    """Write extrapolated metadata of a data set.

    Args:
        settings: Of which images, from which reference.
        run: Folder of a pre-training run, or its export.
        output: File to write.

    Raises:
        InputError: If the run, the data or the reference are at fault, the encoder has seen whom it
            is to be judged on, no column has lift, or no image has a lesion that is near enough.
    """
    opened = _open(settings, run)
    data, seen = _load(settings, run)
    reference = read_reference(settings, opened)
    agreements = measure_columns(settings, reference)
    console.print(agreement_table(agreements, width=console.width))
    kept = [item.column for item in agreements if item.has_lift]
    if not kept:
        raise InputError(f"nothing is written: {_why_none(agreements, settings.threshold)}")
    bad = check_images(data, np.arange(len(data)), policy=settings.bad_files)["row"]
    rows, contents = np.setdiff1d(np.arange(len(data)), bad.to_numpy(int)), Contents(data)
    answers = ask(settings, reference, opened.look_at(contents, rows), names=kept)
    if not answers.is_near.any():
        raise InputError(f"nothing is written: {_why_nobody(answers, settings.threshold)}")
    item = Extrapolated(
        build_rows(contents, rows, answers, reference=reference, run=opened),
        described_columns(reference, answers),
        build_facts(
            settings, opened, reference, data=data, agreements=agreements, seen=seen.status
        ),
    )
    write_extrapolated(output, item)
    return item


def _open(settings: ExtrapolateSettings, run: Path) -> Run:
    model, schema = load_slimp(run)
    device = build_accelerator(device=settings.device, precision="fp32").device
    return open_run(run, model=model, schema=schema, device=device)


def _load(settings: ExtrapolateSettings, run: Path) -> tuple[ImageData, SeenVerdict]:
    """Load the data; refuse it where the encoder has seen its patients of test or validation."""
    data = load_data(settings.data, premalignant_as=settings.premalignant_as)
    if data.is_streamed:
        raise InputError(
            f"{data.id!r} is a stream: its image files could not be told from the reference's; "
            "give a data set on disk"
        )
    splits = make_splits(data, settings)
    seen = check_seen(str(run), data, splits, settings=settings, allow_seen=settings.allow_seen)
    console.print(
        f"data: {data.sheet.title}, {counted(len(data), 'image')} ({splits.origin})", markup=False
    )
    console.print(seen.message, markup=False)
    return data, seen


def _why_nobody(answers: Answers, threshold: float | None) -> str:
    images = counted(len(answers.similarity), "image")
    if threshold is None or not np.isfinite(answers.similarity).any():
        return (
            f"of {images} none has a lesion of other patients for each column: name another "
            "--reference"
        )
    return (
        f"none of the {images} has a lesion that is near enough: the nearest has a cosine of "
        f"{answers.similarity.max():.3f}, lower --threshold {threshold:g}"
    )


def _why_none(agreements: Sequence[Agreement], threshold: float | None) -> str:
    names = ", ".join(item.column for item in agreements)
    most = max((item.num_patients for item in agreements), default=0)
    if most < FEWEST_PATIENTS:
        lower = "" if threshold is None else f"lower --threshold {threshold:g}, or "
        return (
            f"held-out patients with a value and a lesion near enough are {most}, and a column "
            f"({names}) is judged by {FEWEST_PATIENTS} at least: {lower}name a larger --reference"
        )
    return (
        f"of held-out patients, the nearest lesions tell no column ({names}) better than random "
        "ones, beyond chance, and than its most frequent value or median"
    )
