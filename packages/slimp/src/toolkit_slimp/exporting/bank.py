"""The reference bank: features of the training lesions, for a search of neighbours later on.

```
bank.safetensors   images (m, d) features, lesions (m, k) and patients (m, k) features of the
                   metadata, embeddings (m, e) of the images, projected and normalised, unless the
                   patient loss alone was trained; fp32, row by row
bank.parquet       image and patient of each row, as keyed digests, and the raw values of the
                   schema's columns
```
It is written when asked for (`--bank`), as it is as confidential as the data: rows of one patient
can be matched and left out under the secret of this site, but an age and a site of the body stay
what they are.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from toolkit_common.console import console
from toolkit_common.features.encode import encode_images
from toolkit_common.runs.files import atomic_path
from toolkit_common.seed import derive_seed
from toolkit_common.seen.secret import keyed_digests, make_secret
from toolkit_slimp.training.setup import Setup

TENSORS, ROWS = "bank.safetensors", "bank.parquet"
METADATA_BATCH = 4096


@torch.no_grad()
def write_bank(folder: Path, setup: Setup) -> None:
    """Write features and metadata of a run's training lesions, at most `bank_size` of them.

    Args:
        folder: Where to.
        setup: Of the run; its model is trained, and in eval mode afterwards.
    """
    model, data, table = setup.model.eval(), setup.data, setup.stream.table
    assert data.groups is not None
    device = setup.stepper.accelerator.device
    rows = choose_bank_rows(setup.splits.train, model.settings.bank_size, seed=model.settings.seed)
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
    columns = [column.name for column in table.schema.columns]
    frame = data.table.iloc[rows][columns].reset_index(drop=True)
    secret = make_secret()
    for name, kind, names in (
        ("group_hash", "bank group", data.groups[rows]),
        ("image_hash", "bank image", data.table["image_id"].to_numpy()[rows]),
    ):
        frame.insert(0, name, keyed_digests(secret, kind, map(str, names)))
    with atomic_path(folder / ROWS) as temporary:
        frame.to_parquet(temporary, index=False)
    console.print(
        f"reference bank: features of {len(rows)} training lesions and their {', '.join(columns)} "
        f"as they are in the table, patients as keyed digests, in {folder}: as confidential as the "
        "data",
        markup=False,
    )


def choose_bank_rows(rows: np.ndarray, size: int, *, seed: int) -> np.ndarray:
    """Return at most `size` of the rows, in their order."""
    if len(rows) <= size:
        return rows
    draws = np.random.default_rng(derive_seed(seed, "bank"))
    chosen = draws.choice(len(rows), size, replace=False)
    return rows[np.sort(chosen)]
