"""The reference bank: features of a run's lesions, for a search of neighbours later on.

```
bank.safetensors   images (m, d) features, lesions (m, k) and patients (m, k) features of the
                   metadata, embeddings (m, e) of the images, projected and normalised, unless the
                   patient loss alone was trained; fp32, row by row
bank.parquet       split, image and patient of each row, whoever and whatever it is
                   (`toolkit_common.seen.identities`), as keyed digests, and the raw values of the
                   schema's columns
```
Rows of split `train` are neighbours; those of `val`, held-out patients, tell how well neighbours
tell. It is written when asked for (`--bank`), as it is as confidential as the data: rows of one
patient can be matched and left out under the secret of this site, but an age and a site of the body
stay what they are.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from toolkit_common.backbones.exported import read_description
from toolkit_common.console import console
from toolkit_common.errors import InputError
from toolkit_common.features.encode import encode_images
from toolkit_common.foreign.rows import read_rows
from toolkit_common.outside import reason_of
from toolkit_common.runs.files import atomic_path, sha256_of
from toolkit_common.seed import derive_seed
from toolkit_common.seen.identities import identities
from toolkit_common.seen.record import Contents
from toolkit_common.seen.secret import keyed_digests, make_secret
from toolkit_slimp.exporting.embed import METADATA_BATCH
from toolkit_slimp.training.setup import Setup

TENSORS, ROWS = "bank.safetensors", "bank.parquet"
MOST_HELD_OUT = 2000  # lesions: an interval needs no more
IMAGE_KIND, GROUP_KIND = "bank image", "bank group"  # of digests


@torch.no_grad()
def write_bank(folder: Path, setup: Setup) -> None:
    """Write features and metadata of a run's training lesions, at most `bank_size` of them.

    Args:
        folder: Where to.
        setup: Of the run; its model is trained, and in eval mode afterwards.
    """
    model, data, table = setup.model.eval(), setup.data, setup.stream.table
    device, seed = setup.stepper.accelerator.device, model.settings.seed
    train = choose_bank_rows(setup.splits.train, model.settings.bank_size, seed=seed)
    most = min(MOST_HELD_OUT, model.settings.bank_size)
    held_out = choose_bank_rows(setup.splits.val, most, seed=seed)
    rows = np.concatenate([train, held_out])
    images = encode_images(model, data, rows, device=device).float()
    lesions, patients = [], []
    for index in torch.from_numpy(rows).split(METADATA_BATCH):
        lesions.append(model.lesion_encoder(table.lesions.take(index).to(device)))
        patients.append(model.patient_encoder(table.patients.take(index).to(device)))
    tensors = {"images": images, "lesions": torch.cat(lesions), "patients": torch.cat(patients)}
    if (embeddings := model.embed_images(images)) is not None:
        tensors["embeddings"] = embeddings
    with atomic_path(folder / TENSORS) as temporary:
        kept = {name: value.float().cpu().contiguous() for name, value in tensors.items()}
        save_file(kept, temporary, metadata={"format": "pt"})
    frame = _describe_rows(setup, rows)
    frame.insert(0, "split", ["train"] * len(train) + ["val"] * len(held_out))
    with atomic_path(folder / ROWS) as temporary:
        frame.to_parquet(temporary, index=False)
    columns = ", ".join(column.name for column in table.schema.columns)
    console.print(
        f"reference bank: features of {len(train)} training lesions and {len(held_out)} held-out "
        f"ones, and their {columns} as they are in the table, patients as keyed digests, in "
        f"{folder}: as confidential as the data",
        markup=False,
    )


def _describe_rows(setup: Setup, rows: np.ndarray) -> pd.DataFrame:
    """Return whose the rows are, as keyed digests, and the raw values of the schema's columns."""
    data, secret = setup.data, make_secret()
    assert data.groups is not None
    columns = [column.name for column in setup.schema.columns]
    frame = data.table.iloc[rows][columns].reset_index(drop=True)
    frame.insert(0, "identities", identities(Contents(data), rows, secret=secret))
    for name, kind, names in (
        ("group_hash", GROUP_KIND, data.groups[rows]),
        ("image_hash", IMAGE_KIND, data.table["image_id"].to_numpy()[rows]),
    ):
        frame.insert(0, name, keyed_digests(secret, kind, map(str, names)))
    return frame


def read_bank(folder: Path) -> tuple[torch.Tensor, pd.DataFrame]:
    """Read the features of the images `(m, d)` and the rows of an export's bank.

    Raises:
        InputError: If it has none, a damaged one, or one of before, without held-out lesions.
    """
    if not (folder / ROWS).is_file():
        raise InputError(
            f"{folder} has no reference bank: pre-train with --bank, or name the data set whose "
            "lesions are to be neighbours as --reference"
        )
    files = read_description(folder).provenance.get("files", {})
    for name in (TENSORS, ROWS):
        if not (folder / name).is_file() or sha256_of(folder / name) != files.get(name):
            raise InputError(f"{folder / name} is missing or damaged: its sha256 differs")
    rows: pd.DataFrame = read_rows(folder / ROWS).to_pandas()
    if not {"identities", "split"} <= set(rows) or not (rows["split"] == "val").any():
        raise InputError(
            f"the reference bank in {folder} has no held-out lesions, by which it is told what "
            "neighbours are worth: pre-train again with --bank, or give --reference"
        )
    return _images(folder / TENSORS, count=len(rows)), rows


def _images(path: Path, *, count: int) -> torch.Tensor:
    try:
        images = load_file(path).get("images")
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot read {path}: {reason_of(error)}") from None
    if images is None or images.ndim != 2 or len(images) != count or not images.isfinite().all():
        raise InputError(f"{path} is damaged: it has not a row of finite features for each lesion")
    return images


def choose_bank_rows(rows: np.ndarray, size: int, *, seed: int) -> np.ndarray:
    """Return at most `size` of the rows, in their order."""
    if len(rows) <= size:
        return rows
    draws = np.random.default_rng(derive_seed(seed, "bank"))
    chosen = draws.choice(len(rows), size, replace=False)
    return rows[np.sort(chosen)]
