"""Training states on disk: written atomically, checked when read, the last two kept.

A state is a nested dict of tensors and plain values. It is read with `weights_only=True`, so that
no checkpoint can run code.
"""

import logging
from pathlib import Path
from typing import Any

from toolkit_common.errors import InputError
from toolkit_common.outside import is_of_machine
from toolkit_common.printable import shortened
from toolkit_common.runs.files import atomic_path, sha256_of, write_text

CHECKPOINTS = "checkpoints"  # folder of a run
KEEP = 2

logger = logging.getLogger(__name__)


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Save `state` as the checkpoint of `step` and delete all but the last two."""
    import torch

    path = folder / f"step-{step:09d}.pt"
    with atomic_path(path) as temporary:
        # Through a file of Python's, which says what is wrong with a disk; torch's own says that
        # something is.
        with temporary.open("wb") as file:
            torch.save(state, file)
        checksum = sha256_of(temporary)
    # The checksum comes second: a checkpoint without one was cut short and is not used.
    write_text(path.with_suffix(".sha256"), checksum)
    # More than one, as the last may turn out damaged.
    for old in sorted(folder.glob("step-*.pt"))[:-KEEP]:
        # The checksum first: killed in between, what is left is a state that is not used.
        old.with_suffix(".sha256").unlink(missing_ok=True)
        old.unlink()


def load_checkpoint(folder: Path) -> tuple[int, dict[str, Any]] | None:
    """Return the newest whole checkpoint as `(step, state)`, or None if there is none.

    One that is cut short or whose checksum differs is passed over with a warning.

    Raises:
        InputError: If one is whole by its checksum and holds what is not read.
    """
    import torch

    for path in sorted(folder.glob("step-*.pt"), reverse=True):
        checksum = path.with_suffix(".sha256")
        if checksum.exists() and checksum.read_bytes() == sha256_of(path).encode():
            try:
                # On the CPU first: a checkpoint of one device is resumed on another.
                state = torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:  # torch raises any kind on what it did not write
                if is_of_machine(error):
                    raise
                # Passed over it would begin again from an earlier step, or the first, unnoticed.
                raise InputError(
                    f"checkpoint {path} cannot be read ({shortened(str(error))}): delete it, and "
                    "the run goes on from the one before it"
                ) from error
            return int(path.stem.removeprefix("step-")), state
        logger.warning("checkpoint %s is damaged: using the one before it", path)
    return None
