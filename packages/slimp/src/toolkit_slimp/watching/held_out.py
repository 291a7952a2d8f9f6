"""What the held-out patients say during training: retrieval between modalities, at both levels."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from toolkit_common.console import console
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.loaders import build_loader
from toolkit_common.images.transforms import build_eval_transform
from toolkit_common.seed import derive_seed
from toolkit_slimp.metadata.table import EncodedTable
from toolkit_slimp.model.slimp import SlimpModel
from toolkit_slimp.model.terms import Features, Members
from toolkit_slimp.watching.judge import Judge
from toolkit_slimp.watching.retrieval import describe_retrieval
from toolkit_slimp.watching.spread import collapse_warning, describe_spread

BATCH = 64
POOL = 512  # lesions that are searched at once: recall depends on it, so it is fixed


@dataclass(frozen=True)
class HeldOut:
    """Held-out lesions and how to look at them.

    Attributes:
        data: The data set.
        rows: Held-out rows that are looked at, see `choose_pool`.
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
        """Return the nested loss, recall at 1 and 5 at both levels, and the spread.

        With a judge also what k-NN and EP tell of the labels.

        Tells when the embeddings have collapsed.

        Raises:
            FloatingPointError: If the loss or an embedding is no finite number.
        """
        model.eval()
        rows = self.rows
        lesions = self.table.lesions.take(torch.from_numpy(rows)).to(self.device)
        images = torch.cat(list(encode_images(model, self.data, rows, self.device)))
        features = Features(images, model.lesion_encoder(lesions))
        members = self._members(rows)
        loss = model.nested_loss(features, members)
        if not (loss.total.isfinite() and loss.embeddings.isfinite().all()):
            raise FloatingPointError("held-out loss")
        is_nested = loss.lesion is not None or loss.patient is not None
        found = {"val_loss": float(loss.total)} if is_nested else {}
        found |= describe_retrieval(loss, members, ks=(1, 5), prefix="val_")
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
            metadata_codes=table.metadata_codes[torch.from_numpy(rows)].to(self.device),
            patients=table.patients.take(patients).to(self.device),
            patient_codes=table.patient_codes[patients].to(self.device),
        )


def choose_pool(rows: np.ndarray, groups: np.ndarray, *, seed: int) -> np.ndarray:
    """Return at most `POOL` of the rows, in their order: one of every group, then two, and so on.

    Args:
        rows: Held-out rows.
        groups: Patient of every row of the data set.
        seed: Of which lesions of a patient are taken.
    """
    shuffled = np.random.default_rng(derive_seed(seed, "pool")).permutation(rows)
    turns = pd.Series(groups[shuffled]).groupby(groups[shuffled]).cumcount()
    found: np.ndarray = np.sort(shuffled[np.argsort(turns, kind="stable")[:POOL]])
    return found


def encode_images(
    model: SlimpModel, data: ImageData, rows: np.ndarray, device: torch.device
) -> Iterator[Tensor]:
    """Yield the image features `(b, d)` of some rows, batch after batch, without augmentation."""
    preprocess = model.image_encoder.preprocess
    transform = build_eval_transform(preprocess)
    for batch in build_loader(data, rows, transform=transform, batch_size=BATCH):
        yield model.encode_images(preprocess.normalize(batch["image"].to(device)))
