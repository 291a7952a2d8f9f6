"""What a run leaves behind when its loss is no number: the batch that did it."""

from pathlib import Path

import pandas as pd
from safetensors.torch import save_file

from toolkit_common.runs.files import atomic_path, write_text
from toolkit_common.training.distributed import rank
from toolkit_slimp.training.batches import Batch


def save_batch(batch: Batch, image_ids: "pd.Series[str]", folder: Path, *, step: int) -> Path:
    """Write this process's part of a batch, its rows and image ids beside it.

    Args:
        batch: What to write.
        image_ids: Of every row of the data set.
        folder: Where to.
        step: Number of the step, for the name.

    Returns:
        The safetensors file; a csv file of the same name lists the rows.
    """
    place = folder / f"step-{step:09d}-rank-{rank()}.safetensors"
    members = batch.members
    tensors = {
        "rows": batch.rows,
        "images": batch.images,
        "segments": members.segments,
        "lesion_codes": members.lesion_codes,
        "patient_codes": members.patient_codes,
    }
    if batch.views is not None:
        tensors["views"] = batch.views
    for name, metadata in (("lesions", batch.lesions), ("patients", members.patients)):
        for part, tensor in vars(metadata).items():
            tensors[f"{name}.{part}"] = tensor
    with atomic_path(place) as temporary:
        save_file({key: value.cpu().contiguous() for key, value in tensors.items()}, temporary)
    rows = batch.rows.cpu().numpy()
    listed = pd.DataFrame({"row": rows, "image_id": image_ids.iloc[rows].to_numpy()})
    write_text(place.with_suffix(".csv"), listed.to_csv(index=False))
    return place
