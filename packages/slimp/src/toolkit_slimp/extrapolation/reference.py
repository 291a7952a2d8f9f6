"""The lesions that are asked: of the run's bank, or of a data set, split as the run was.

Training patients' lesions are the neighbours, validation patients' tell what neighbours are worth.
No label is read, and no column that the reference's sheet calls a leak.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from toolkit_common.backbones.exported import find_export, read_description
from toolkit_common.console import console
from toolkit_common.data.check import check_images
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.settings import SplitSettings
from toolkit_common.data.splits import Splits, make_splits
from toolkit_common.errors import InputError
from toolkit_common.features.encode import encode_images
from toolkit_common.printable import counted
from toolkit_common.runs.files import sha256_of_text
from toolkit_common.runs.manifest import refuse_changed
from toolkit_common.seen.compare import compare_rows
from toolkit_common.seen.identities import identities
from toolkit_common.seen.record import Contents, read_seen
from toolkit_common.seen.secret import key_id, keyed_digests, make_secret
from toolkit_common.sharing.provenance import public_data
from toolkit_common.sources.load import load_data
from toolkit_slimp.exporting.bank import IMAGE_KIND, MOST_HELD_OUT, choose_bank_rows, read_bank
from toolkit_slimp.extrapolation.neighbours import Identities
from toolkit_slimp.extrapolation.settings import ExtrapolateSettings
from toolkit_slimp.extrapolation.values import Values, read_values
from toolkit_slimp.metadata.leaks import refuse_leaks
from toolkit_slimp.metadata.schema import ColumnSchema, Schema
from toolkit_slimp.metadata.table import encode_rows, named
from toolkit_slimp.model.slimp import SlimpModel


@dataclass(frozen=True)
class Lesions:
    """Lesions with what is compared of them.

    Attributes:
        features: Of the images `(m, d)`, of unit length.
        identities: Who and what each is.
        names: Digest of each image's name `(m,)`.
    """

    features: Float[Tensor, "m d"]
    identities: Identities
    names: np.ndarray


@dataclass(frozen=True)
class Reference:
    """Lesions with metadata.

    Attributes:
        train: The neighbours, of training patients.
        held_out: Of validation patients.
        table: Their metadata, those of `train` first, with the `group`.
        columns: Of the schema, those that may be extrapolated.
        facts: What the file says of it.
    """

    train: Lesions
    held_out: Lesions
    table: pd.DataFrame
    columns: Sequence[ColumnSchema]
    facts: Mapping[str, Any]

    @property
    def held_out_groups(self) -> np.ndarray:
        """Patient of each held-out lesion, as a number."""
        return pd.factorize(self.table["group"])[0][len(self.train.names) :]

    def values(self, column: ColumnSchema) -> tuple[Values, np.ndarray]:
        """Return a column's values of the neighbours, and its numbers of the held-out lesions."""
        both, count = read_values(column, self.table), len(self.train.names)
        return replace(both, numbers=both.numbers[:count]), both.numbers[count:]


@dataclass(frozen=True)
class Run:
    """What a run gives: its folder, its model and its columns.

    Attributes:
        folder: The exported encoder.
        model: Frozen, in eval mode, where it computes.
        schema: Its columns.
        device: Where it computes.
    """

    folder: Path
    model: SlimpModel
    schema: Schema
    device: torch.device

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What its export says of its training."""
        return read_description(self.folder).provenance

    def look_at(self, contents: Contents, rows: np.ndarray) -> Lesions:
        """Return what is compared of some rows of a data set; no metadata are read."""
        secret, data = make_secret(), contents.data
        vectors = encode_images(self.model, data, rows, device=self.device)
        names = map(str, data.table["image_id"].to_numpy()[rows])
        return Lesions(
            F.normalize(vectors.float(), dim=1),
            identities(contents, rows, secret=secret),
            keyed_digests(secret, IMAGE_KIND, names),
        )


def read_reference(settings: ExtrapolateSettings, run: Run) -> Reference:
    """Read the reference that the settings name; prints what it is.

    Raises:
        InputError: If there is none, it has no such column or no held-out patients, nobody could be
            told apart, or the encoder was trained on its held-out patients.
    """
    if settings.reference is None:
        if settings.reference_splits is not None:
            raise InputError(
                f"--reference-splits {settings.reference_splits} splits a --reference: the bank "
                "of the run has its own"
            )
        reference = _from_bank(settings, run)
    else:
        reference = _from_data(settings, run, settings.reference)
    facts = reference.facts
    console.print(
        f"reference: {facts['name']}, {counted(facts['lesions'], 'lesion')} of "
        f"{facts['patients']} training "
        f"patients; {facts['held_out_lesions']} of {facts['held_out_patients']} held-out ones",
        markup=False,
    )
    return reference


def _columns(settings: ExtrapolateSettings, run: Run) -> list[ColumnSchema]:
    """Return the columns of the requested levels but for leaks that pre-training has accepted."""
    accepted = run.provenance.get("settings", {}).get("allow_leaks", ())
    columns = [
        column
        for column in run.schema.columns
        if settings.level in ("both", column.level) and column.name not in accepted
    ]
    if not columns:
        raise InputError(
            f"{run.folder} knows no {settings.level} columns to extrapolate: give another --level"
        )
    return columns


def _from_bank(settings: ExtrapolateSettings, run: Run) -> Reference:
    columns = _columns(settings, run)
    images, rows = read_bank(run.folder)
    records, secret = read_seen(run.folder), make_secret()
    if records[-1].key_id != key_id(secret) and not settings.allow_seen:
        raise InputError(
            f"the reference bank in {run.folder} was made under the secret of another site, so "
            "that patients of the data could not be told from its own: give --reference, or go on "
            "with --allow-seen"
        )
    known = np.concatenate([record.of(kind) for record in records for kind in record.digests])
    count = int((rows["split"] == "train").sum())  # which come first
    held_out = rows["identities"][count:]
    if num_seen := sum(np.isin(item, known).any() for item in held_out):
        message = (
            f"encoders that {run.folder} continues were trained on {num_seen} of {len(held_out)} "
            "held-out lesions of its bank: how well neighbours tell is overstated"
        )
        if not settings.allow_seen:
            raise InputError(f"{message}; go on with --allow-seen")
        console.print(message, markup=False)
    features = F.normalize(images, dim=1).to(run.device)
    digests = [item.astype(np.uint64) for item in rows["identities"]]
    names = rows["image_hash"].to_numpy(np.uint64)
    parts = [
        Lesions(features[part], digests[part], names[part])
        for part in (slice(count), slice(count, None))
    ]
    table = rows.rename(columns={"group_hash": "group"})
    name = f"bank of an encoder trained on {run.provenance['data']}"
    return _reference(parts, table, columns, name=name, fingerprint=records[-1].fingerprint)


def _from_data(settings: ExtrapolateSettings, run: Run, identifier: str) -> Reference:
    data = load_data(identifier)
    if data.is_streamed:
        raise InputError(
            f"reference {data.id!r} is a stream: its image files could not be told from those of "
            "the data; give a data set on disk"
        )
    columns = [item for item in _columns(settings, run) if _is_of(data, item)]
    if not columns:
        raise InputError(
            f"reference {data.id!r} has none of the columns that {run.folder} knows: "
            f"{', '.join(column.name for column in _columns(settings, run))}"
        )
    refuse_leaks(data, Schema(tuple(columns)))
    with named(data):
        encode_rows(Schema(tuple(columns)), data.table)  # refuses values out of range
    splits, contents = _split(settings, run, data), Contents(data)
    bad = check_images(data, splits.all, policy=settings.bad_files)["row"].to_numpy(int)
    train = np.setdiff1d(splits.train, bad)
    held_out = choose_bank_rows(np.setdiff1d(splits.val, bad), MOST_HELD_OUT, seed=0)
    _refuse_seen(settings, run, contents, held_out=held_out)
    rows = np.concatenate([train, held_out])
    parts = [run.look_at(contents, part) for part in (train, held_out)]
    table = data.table.iloc[rows][[column.name for column in columns]].reset_index(drop=True)
    groups = rows.astype(str) if data.groups is None else data.groups[rows]
    table = table.assign(group=groups)
    return _reference(
        parts, table, columns,
        name=public_data(data.id), fingerprint=contents.fingerprint(train),
    )  # fmt: skip


def _reference(
    parts: Sequence[Lesions],
    table: pd.DataFrame,
    columns: Sequence[ColumnSchema],
    *,
    name: str,
    fingerprint: str,
) -> Reference:
    train, held_out = parts
    count = len(train.names)
    facts = {
        "name": name,
        "fingerprint": fingerprint,
        "columns": sha256_of_text(Schema(tuple(columns)).to_json()),
        "lesions": count,
        "patients": int(table["group"][:count].nunique()),
        "held_out_lesions": len(held_out.names),
        "held_out_patients": int(table["group"][count:].nunique()),
    }
    return Reference(train, held_out, table, columns, facts)


def _is_of(data: ImageData, column: ColumnSchema) -> bool:
    """Whether a data set has a column and does not call it a label or a leak."""
    apart = {*data.sheet.labels, *data.sheet.leaks}
    return column.name in data.table and column.name not in apart


def _split(settings: ExtrapolateSettings, run: Run, data: ImageData) -> Splits:
    """Split a reference by the user's file, as the run was, or else by the run's settings.

    The run's file stands first: its splits are stratified by labels, which are nobody's business
    here, so that those made here are not.
    """
    stored = run.provenance.get("settings", {})
    given = {key: stored[key] for key in ("split_seed", "folds", "fold") if key in stored}
    file = settings.reference_splits or run.folder.parent / "splits.csv"
    if settings.reference_splits is None and not (file.is_file() and _is_for(file, data)):
        made = make_splits(data, SplitSettings(**given), stratify=False)
    else:
        if settings.reference_splits is None:  # whose rows held-out patients are
            refuse_changed(file.parent, file.name)
        made = make_splits(data, SplitSettings(splits=file))
    console.print(f"reference splits: {made.origin}", markup=False)
    return made


def _is_for(file: Path, data: ImageData) -> bool:
    """Whether a run's file of splits is about these images."""
    listed = set(pd.read_csv(file, dtype=str, keep_default_na=False)["image_id"])
    ids = set(data.table["image_id"].astype(str))
    # A part of the run's data set, or all of it and what the run has left out.
    return ids <= listed or listed <= ids


def _refuse_seen(
    settings: ExtrapolateSettings, run: Run, contents: Contents, *, held_out: np.ndarray
) -> None:
    """Refuse a reference whose held-out patients the encoder was trained on."""
    overlap = compare_rows(read_seen(run.folder), contents, {"held-out": held_out})
    if overlap.num_seen and not settings.allow_seen:
        raise InputError(
            f"encoder {run.folder} was pre-trained on {overlap.counted()}, of which it is to be "
            "told how well neighbours tell: give --reference-splits as pre-training had them, or "
            "go on with --allow-seen"
        )
    for doubt in overlap.doubts:
        console.print(f"held-out lesions of the reference: {doubt}", markup=False)


def open_run(path: Path, *, model: SlimpModel, schema: Schema, device: torch.device) -> Run:
    """Return a run whose model was loaded, frozen and where it is to compute."""
    model.requires_grad_(requires_grad=False)
    return Run(find_export(path), model.to(device), schema, device)
