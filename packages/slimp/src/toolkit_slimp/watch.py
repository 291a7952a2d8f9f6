"""What the held-out patients say during training: retrieval between modalities, at both levels."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from toolkit_common.data.base import ImageData
from toolkit_common.data.loaders import build_loader
from toolkit_common.data.transforms import build_eval_transform
from toolkit_common.training.progress import console
from toolkit_slimp.judge import Judge
from toolkit_slimp.losses import equal_pairs
from toolkit_slimp.model import Features, Members, SlimpModel
from toolkit_slimp.retrieval import recall_at
from toolkit_slimp.spread import collapse_warning, describe_spread
from toolkit_slimp.table import EncodedTable

BATCH = 64
POOL = 512  # lesions that are searched at once: recall depends on it, so it is fixed


@dataclass(frozen=True)
class HeldOut:
    """Held-out lesions and how to look at them.

    Attributes:
        data: The data set.
        rows: Held-out rows, of which at most `POOL` are looked at.
        table: Metadata of every row of the data set.
        device: Where the model is.
        judge: Asks for labels as well; None where no label may be read.
    """

    data: ImageData
    rows: np.ndarray
    table: EncodedTable
    device: torch.device
    judge: Judge | None = None

    @torch.no_grad()
    def __call__(self, model: SlimpModel) -> dict[str, float]:
        """Return recall at 1 and 5 of image -> metadata and phenotype -> patient, and the spread.

        With a judge also what k-NN and EP tell of the labels.

        Tells when the images' embeddings have collapsed.
        """
        model.eval()
        rows = self.rows[:POOL]
        lesions = self.table.lesions.take(torch.from_numpy(rows)).to(self.device)
        images = torch.cat(list(encode_images(model, self.data, rows, self.device)))
        features = Features(images, model.lesion_encoder(lesions))
        members = self._members(rows)
        loss = model.nested_loss(features, members)
        found = {} if loss.lesion is None else {"val_loss": float(loss.total)}
        for k in (1, 5):
            if loss.lesion_pairs is not None:
                found[f"val_lesion_recall_at_{k}"] = recall_at(*loss.lesion_pairs, k)
            if loss.patient_pairs is not None:
                found[f"val_patient_recall_at_{k}"] = recall_at(
                    *loss.patient_pairs, k, positives=equal_pairs(members.patient_codes)
                )
        warning = collapse_warning(loss.embeddings)
        if warning is not None:
            console.print(f"[bold red]WARNING[/] {warning}")
        found |= describe_spread(loss.embeddings, loss.partners, prefix="val_")
        return found if self.judge is None else found | self.judge(model)

    def _members(self, rows: np.ndarray) -> Members:
        assert self.data.groups is not None
        _, first, segments = np.unique(
            self.data.groups[rows], return_index=True, return_inverse=True
        )
        table, patients = self.table, torch.from_numpy(rows[first])
        return Members(
            segments=torch.from_numpy(segments).to(self.device),
            lesion_codes=table.lesion_codes[torch.from_numpy(rows)].to(self.device),
            patients=table.patients.take(patients).to(self.device),
            patient_codes=table.patient_codes[patients].to(self.device),
        )


def encode_images(
    model: SlimpModel, data: ImageData, rows: np.ndarray, device: torch.device
) -> Iterator[Tensor]:
    """Yield the image features `(b, d)` of some rows, batch after batch, without augmentation."""
    preprocess = model.image_encoder.preprocess
    transform = build_eval_transform(preprocess)
    for batch in build_loader(data, rows, transform=transform, batch_size=BATCH):
        yield model.encode_images(preprocess.normalize(batch["image"].to(device)))
