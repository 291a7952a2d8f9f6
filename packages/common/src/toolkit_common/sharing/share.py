"""Writes an encoder so that it can be published: weights, how they are read, a model card.

```
OUT/
  model.safetensors  the image encoder under its library's own names, as the Hub calls it
  config.json        its architecture and input as timm reads them, of an encoder of timm's
  encoder.json       what `--backbone OUT` reads; of its training what may be said in public
  README.md          the model card
  seen.safetensors   whom it was trained on, as keyed digests: if that is wanted
  architecture-*/    configuration of an architecture that no library knows by name
```
The image encoder alone: what reads metadata needs the words and numbers of the table.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolkit_common.backbones.contract import hash_weights
from toolkit_common.backbones.exported import (
    SHARED,
    TIMM,
    export_encoder,
    find_export,
    read_description,
)
from toolkit_common.backbones.load import build_exported_encoder
from toolkit_common.backbones.named.licences import UNKNOWN
from toolkit_common.errors import InputError
from toolkit_common.runs.files import atomic_folder, refuse_unwritable, write_text
from toolkit_common.runs.folder import RunFolder
from toolkit_common.seen.record import NO_KEY, OLD_KEY, SEEN, read_seen
from toolkit_common.sharing.figures import read_figures
from toolkit_common.sharing.model_card import Subject, model_card
from toolkit_common.sharing.provenance import cut_places, licences, public_provenance, sources

CARD = "README.md"


@dataclass(frozen=True)
class Shared:
    """What was written.

    Attributes:
        folder: Where.
        files: Names of the files in it.
        licences: Of everything that the encoder was made of.
        sources: Who made the data, in the words of their cards.
        has_hashes: Whether digests of whom it has seen are among them.
        has_timm: Whether timm reads it.
        fingerprint: Of the weights, that of the run's encoder.
    """

    folder: Path
    files: tuple[str, ...]
    licences: dict[str, str]
    sources: dict[str, str]
    has_hashes: bool
    has_timm: bool
    fingerprint: str

    @property
    def unknown(self) -> tuple[str, ...]:
        """Of what the licence is not known."""
        return tuple(what for what, licence in self.licences.items() if licence == UNKNOWN)


def share_encoder(
    source: Path, out: Path, *, keep_hashes: bool = False, probed: Sequence[Path] = ()
) -> Shared:
    """Write an encoder folder that is fit to publish.

    Args:
        source: A finished pre-training run, or its encoder folder.
        out: Where to; a new folder.
        keep_hashes: Whether to publish whom it has seen, as keyed digests.
        probed: Finished probe runs of this encoder, whose figures go into the model card.

    Raises:
        InputError: If the run is not done or has no encoder, `out` exists, hashes are wanted and
            cannot be given, or a probe run is of another encoder.
    """
    folder = _finished(source)
    if out.exists() or out.is_symlink():
        raise InputError(f"{out} exists: an encoder to publish goes to a new folder")
    refuse_unwritable(out.parent, option="the folder to publish in")
    description = read_description(folder)
    public: dict[str, Any] = public_provenance(description.provenance)
    if keep_hashes:
        _refuse_no_hashes(folder)
        public["seen"] = description.provenance["seen"]
    encoder, _ = build_exported_encoder(folder, pretrained=True)
    fingerprint = hash_weights(encoder)
    figures = [read_figures(path, fingerprint) for path in probed]
    card = replace(description.card, reason=cut_places(description.card.reason))
    with atomic_folder(out) as temporary:
        export_encoder(
            temporary, encoder, architecture=description.architecture, card=card,
            provenance=public, weights=SHARED,
        )  # fmt: skip
        if keep_hashes:
            shutil.copyfile(folder / SEEN, temporary / SEEN)
        has_timm = (temporary / TIMM).is_file()
        written = replace(description, card=card, provenance=public)
        subject = Subject(written, encoder, figures, keep_hashes, has_timm)
        write_text(temporary / CARD, model_card(subject))
        files = sorted(path for path in temporary.rglob("*") if path.is_file())
        names = tuple(path.relative_to(temporary).as_posix() for path in files)
    return Shared(out, names, licences(public), sources(public), keep_hashes, has_timm, fingerprint)


def _finished(source: Path) -> Path:
    """Return the encoder's folder of a run that is done."""
    run = RunFolder(source)
    if run.has("run.json") and not run.is_done:
        raise InputError(
            f"the run {source} is not done, so that there is nothing to publish: finish it with "
            f"--resume --output {source}"
        )
    if (source / "heads").is_dir():
        raise InputError(
            f"{source} is a probe run: give the pre-training whose encoder it judged as --from "
            f"(and --probed {source} for its figures), or --onnx FILE for the probe itself"
        )
    return find_export(source)


def _refuse_no_hashes(folder: Path) -> None:
    keys = {record.key_id for record in read_seen(folder)}
    if OLD_KEY in keys:
        raise InputError(
            f"{folder} holds plain hashes of patients, which tell who they are to whoever can list "
            "the ids: they are never published; leave --keep-seen-hashes out"
        )
    if keys == {NO_KEY} or not (folder / SEEN).is_file():
        raise InputError(f"{folder} holds no hashes of whom it has seen: leave them out")
