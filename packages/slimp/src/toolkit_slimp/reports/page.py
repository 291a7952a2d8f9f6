"""A pre-training run as one page that needs nothing beside it: the answer first, then its reasons.

How it looks stands in `page.html`, what all pages share in `toolkit_common.pages`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from torch.nn import functional as F

from toolkit_common.pages.page import render
from toolkit_common.pages.provenance import command_of, origin
from toolkit_common.printable import first_of, placeless_command
from toolkit_common.runs.files import read_log, write_text
from toolkit_common.runs.folder import RunFolder
from toolkit_slimp.metadata.schema import ColumnSchema
from toolkit_slimp.reports import evidence
from toolkit_slimp.reports.contents import Side
from toolkit_slimp.reports.finished import PretrainRun
from toolkit_slimp.reports.formats import claim_of, warnings_of
from toolkit_slimp.reports.maps import drawn_embeddings, maps
from toolkit_slimp.reports.neighbours import search_pictures
from toolkit_slimp.training.adapt import COLUMNS, TRAINABLE

MOST_WORDS = 8  # categories of a column
SIDES: Mapping[Side, str] = {"train": "training", "val": "held out"}
CONFIDENTIAL = (
    "This page shows images and metadata of patients: it is as confidential as the data, lies in "
    "the run folder alone, and is no part of the encoder that is exported."
)
SOURCE = (
    "Christopoulos et al., Skin Lesion Phenotyping via Nested Multi-modal Contrastive Learning, "
    "arXiv 2505.23709"
)


def write_html(path: Path, run: PretrainRun) -> None:
    """Write a run as a page.

    Raises:
        InputError: If nothing draws its figures.
    """
    with RunFolder(run.path).where_it_began():  # from which data name images
        searches, among = search_pictures(run.watched, run.schema, run.data)
    sections = [section for section in _sections(run) if section[2]]
    text = render(
        "toolkit_slimp.reports",
        "page.html",
        title=f"SLIMP pre-training of {run.results.architecture}",
        claim=claim_of(run),
        warnings=warnings_of(run),
        facts=list(_facts(run)),
        sections=sections,
        searches=searches,
        among=among,
        has_pictures=any(search.query.picture for search in searches),
        people=run.people,
        columns=[_column(run, column) for column in run.schema.columns],
        seen=list(_seen(run)),
        ancestors=[_ancestor(step) for step in run.results.ancestors],
        groups=_table(run.path / TRAINABLE, _groups),
        tensors=_table(run.path / TRAINABLE, _tensors),
        starts=_table(run.path / COLUMNS, _starts),
        selection=list(_selection(run)),
        provenance=[*_weights(run), *origin(run.facts)],
        command=command_of(run.facts),
        judged_by=placeless_command(run.judged_by),
        citations=[("SLIMP", SOURCE)],
    )
    write_text(path, text)


def _facts(run: PretrainRun) -> Iterator[str]:
    data, sizes = run.results.data, run.results.sizes
    counted = "; ".join(
        f"{name} {sizes[side].images} images of {sizes[side].groups} {run.people}"
        for side, name in SIDES.items()
        if side in sizes
    )
    yield f"{data.id}: {counted + '; ' if counted else ''}{data.splits}."
    if run.recalls:
        yield (
            "Recall says whether images and metadata were aligned for patients that are held out, "
            "not what the encoder is worth for a diagnosis: judge that by the command below."
        )
    yield CONFIDENTIAL


def _sections(run: PretrainRun) -> Iterator[tuple[str, str, list[Markup]]]:
    log = read_log(run.path)
    yield "losses", "Losses", list(evidence.losses(log))
    now = evidence.recall_now(run.recalls, people=run.people)
    yield "recall", "Recall against chance", [
        *([now] if now else []), *evidence.recall_by_epoch(log),
    ]  # fmt: skip
    gradients = evidence.gradients(log, run.settings)
    yield "spread", "Spread and gradients", [
        *evidence.spread(log, note=_deviation(run)), *([gradients] if gradients else []),
    ]  # fmt: skip
    drawn = [] if run.watched is None else list(maps(run.watched, run.schema))
    yield "map", "Map of held-out images", drawn


def _column(run: PretrainRun, column: ColumnSchema) -> dict[str, Any]:
    shares = run.results.missing.get(column.name, {})
    return {
        "name": column.name,
        "level": column.level,
        "kind": column.kind,
        "values": _values(column),
        "shares": [
            share
            for side in SIDES
            for share in (
                (shares[side].missing, shares[side].unknown) if side in shares else (None, None)
            )
        ],
    }


def _values(column: ColumnSchema) -> str:
    if column.quantiles:
        ends = f"{column.quantiles[0]:g} to {column.quantiles[-1]:g}"
        return f"{ends} {column.unit}".strip()
    return first_of(column.categories, MOST_WORDS)


def _seen(run: PretrainRun) -> Iterator[tuple[str, Any]]:
    data, sizes = run.results.data, run.results.sizes
    yield "data set", data.id
    yield "licence", data.licence or "not stated"
    for side, name in SIDES.items():
        if side in sizes:
            size = sizes[side]
            lesions = [] if size.lesions is None else [f"{size.lesions} lesions"]
            counts = [f"{size.images} images", f"{size.groups} {run.people}", *lesions]
            yield name, ", ".join(counts)
    yield "splits", data.splits
    for line in data.choices:
        yield "chosen", line


def _selection(run: PretrainRun) -> Iterator[tuple[str, Any]]:
    results, settings = run.results, run.settings
    step, which = results.kept_state
    yield "kept", f"step {step} of {results.steps} (epochs: {results.epochs:.4g}), {which}"
    yield (
        "loss",
        (
            f"lambda {settings.lesion_weight:g}, temperature {settings.temperature:g}, negatives "
            f"{settings.lesion_negatives}, ablation {settings.ablation}"
        ),
    )
    yield (
        "batches",
        (
            f"{settings.patients_per_batch} {run.people}, at most {settings.lesions_per_patient} "
            "lesions of each"
        ),
    )
    yield "rates", f"{settings.lr:g}, image encoder {settings.image_lr:g}"
    yield "seeds", f"{settings.seed}, of the splits {settings.split_seed}"


def _deviation(run: PretrainRun) -> str:
    """Return how far embeddings of length 1 vary, as a sentence."""
    if run.watched is None:
        return ""
    unit = F.normalize(drawn_embeddings(run.watched)[0].double(), dim=1)
    deviation = float((unit - unit.mean(dim=0)).square().sum(dim=1).mean().sqrt())
    return (
        f"Standard deviation of the kept state's embeddings: {deviation:.2f} (0: all alike, 1: "
        "spread evenly)."
    )


def _ancestor(step: Mapping[str, Any]) -> str:
    said = f"{step.get('method', 'an unknown method')} on {step.get('data', 'unknown data')}"
    more = [f"licence: {step.get('data_licence', 'unknown')}"]
    more += [f"{name}: {step[name]}" for name in ("steps", "train", "start") if name in step]
    return f"{said} ({', '.join(more)})"


def _weights(run: PretrainRun) -> Iterator[tuple[str, str]]:
    yield "image encoder", run.results.architecture
    yield "starts from", run.results.start
    if (parent := run.results.parent) is not None:
        yield "continues", f"{parent.run}, training {parent.train}"


def _table(path: Path, rows: Any) -> list[tuple[str, ...]]:
    """Return rows for humans of a table of a continued run; none of others."""
    return list(rows(pd.read_csv(path, keep_default_na=False))) if path.is_file() else []


def _groups(frame: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    learning = frame.sort_values("learns", ascending=False, kind="stable")
    for keys, sizes in learning.groupby(["group", "learns"], sort=False)["size"]:
        group, learns = keys
        yield str(group), "yes" if learns else "no", str(len(sizes)), f"{sizes.sum():,}"


def _tensors(frame: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    for row in frame.sort_values("learns", ascending=False, kind="stable").to_dict("records"):
        yield str(row["name"]), row["group"], "yes" if row["learns"] else "no", f"{row['size']:,}"


def _starts(frame: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    for row in frame.to_dict("records"):
        yield str(row["column"]), row["level"], row["kind"], row["start"], _words(row)


def _words(row: Mapping[Any, Any]) -> str:
    parts: Sequence[str] = [str(row["note"])] if row["note"] else []
    for what in ("new", "dropped"):
        if row[f"{what}_words"]:
            parts = [*parts, f"{what}: {row[f'{what}_words']}"]
    return "; ".join(parts)
