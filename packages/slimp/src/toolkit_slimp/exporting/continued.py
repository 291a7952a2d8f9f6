"""Reads the run that another one continues: whole, or refused in one line."""

import hashlib
from pathlib import Path

from safetensors import SafetensorError

from toolkit_common.backbones.exported import WEIGHTS as IMAGE_WEIGHTS
from toolkit_common.backbones.exported import find_export, read_description
from toolkit_common.errors import InputError
from toolkit_common.runs.files import sha256_of
from toolkit_common.runs.folder import RunFolder
from toolkit_slimp.exporting.read import load_slimp
from toolkit_slimp.exporting.write import SCHEMA, WEIGHTS
from toolkit_slimp.model.warm_start import Parent


def load_parent(path: Path) -> Parent:
    """Load the run to continue, with its metadata encoders and heads.

    Args:
        path: The run's folder, wherever it lies now, or its `encoder/`.

    Raises:
        InputError: If it is not there, not done, damaged, or no run of `toolkit pretrain slimp`.
    """
    if not path.is_dir():
        raise InputError(f"no run to continue at {path}: give the folder of a SLIMP run as --from")
    run = RunFolder(path)
    if run.has("run.json") and not run.is_done:
        raise InputError(
            f"the run {path} is not done, so that there is nothing to continue: finish it with "
            f"--resume --output {path}"
        )
    try:
        folder = find_export(path)
    except InputError:
        raise InputError(
            f"{path} is no run of toolkit pretrain slimp, nor the encoder folder of one: it has "
            "no encoder.json"
        ) from None
    try:
        model, schema = load_slimp(folder)
        description = read_description(folder)
        provenance = description.provenance
        # Of exports that do not say it: what their own losses read.
        trained = tuple(provenance.get("trained_levels", model.trains))
        files = (IMAGE_WEIGHTS, WEIGHTS, SCHEMA)
        sums = "".join(sha256_of(folder / name) for name in files)
    except (KeyError, TypeError, ValueError, RuntimeError, OSError, SafetensorError) as error:
        if isinstance(error, InputError):
            raise
        text = " ".join(str(error).split())
        raise InputError(f"{folder} is damaged ({type(error).__name__}: {text[:200]})") from None
    return Parent(
        folder=folder,
        model=model,
        schema=schema,
        card=description.card,
        trained=trained,
        digest=hashlib.sha256(sums.encode()).hexdigest(),
    )
