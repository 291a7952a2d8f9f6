"""Held-out patients during training: the loss, retrieval between modalities, the spread."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from rich.markup import escape

from toolkit_common.console import console
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.splits import Splits
from toolkit_common.errors import InputError
from toolkit_common.features.encode import encode_images
from toolkit_common.seed import derive_seed
from toolkit_slimp.metadata.table import EncodedTable
from toolkit_slimp.model.slimp import SlimpModel
from toolkit_slimp.model.terms import LesionFeatures, Members, NestedLoss, build_members
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.watching.chance import SUFFIX
from toolkit_slimp.watching.labels import METRICS, LabelWatch, build_label_watch
from toolkit_slimp.watching.retrieval import describe_retrieval
from toolkit_slimp.watching.spread import collapse_warning, describe_spread

POOL = 512  # lesions that are searched at once: recall depends on it, so it is fixed


@dataclass(frozen=True)
class HeldOut:
    """Held-out lesions and how to look at them.

    Attributes:
        data: The data set.
        rows: Held-out rows that are looked at, see `choose_pool`.
        table: Metadata of every row of the data set.
        device: Where the model is.
        labels: Watches labels as well; None where no label may be read.
    """

    data: ImageData
    rows: np.ndarray
    table: EncodedTable
    device: torch.device
    labels: LabelWatch | None = None

    @torch.no_grad()
    def __call__(self, model: SlimpModel) -> dict[str, float]:
        """Return the nested loss, recall at 1 and 5 at both levels, the spread, k-NN of labels.

        Loss and recall have their chance levels beside them (`watching/chance.py`).
        Warns when the embeddings have collapsed.

        Raises:
            FloatingPointError: If the loss or an embedding is no finite number.
        """
        _, members, loss = self.encode(model)
        is_nested = loss.lesion is not None or loss.patient is not None
        values = {}
        if is_nested:
            values["val_loss"] = float(loss.total)
            values[f"val_loss{SUFFIX}"] = float(loss.chance["total"])
        if loss.lesion is not None and loss.patient is not None:  # of one alone it is the loss
            for name, term in (("lesion", loss.lesion), ("patient", loss.patient)):
                values[f"val_{name}_loss"] = float(term)
                values[f"val_{name}_loss{SUFFIX}"] = float(loss.chance[name])
        values |= describe_retrieval(loss, members, ks=(1, 5), prefix="val_")
        if (warning := collapse_warning(loss.embeddings)) is not None:
            console.print(f"[bold red]WARNING[/] {escape(warning)}", markup=True)
        values |= describe_spread(loss.embeddings, loss.partners, prefix="val_")
        return values if self.labels is None else values | self.labels(model)

    @torch.no_grad()
    def encode(self, model: SlimpModel) -> tuple[LesionFeatures, Members, NestedLoss]:
        """Return the features of the rows, who belongs to whom, and the loss with its embeddings.

        Raises:
            FloatingPointError: If the loss or an embedding is no finite number.
        """
        # Nothing drawn, no statistics moved: two looks differ by the weights alone.
        model.eval()
        lesions = self.table.lesions.take(torch.from_numpy(self.rows)).to(self.device)
        images = encode_images(model, self.data, self.rows, device=self.device)
        members = self._members()
        features = LesionFeatures(images, model.lesion_encoder(lesions))
        loss = model.nested_loss(features, members)
        # Raised, not logged: NaN among figures would only be seen afterwards.
        if not (loss.total.isfinite() and loss.embeddings.isfinite().all()):
            raise FloatingPointError("held-out loss")
        return features, members, loss

    def _members(self) -> Members:
        """Return who belongs to whom among the rows; patients in the order of their names."""
        assert self.data.groups is not None
        _, first, segments = np.unique(
            self.data.groups[self.rows], return_index=True, return_inverse=True
        )
        return build_members(
            self.table,
            torch.from_numpy(self.rows),
            patients=torch.from_numpy(self.rows[first]),
            segments=torch.from_numpy(segments),
        ).to(self.device)


def build_held_out(
    settings: SlimpSettings,
    data: ImageData,
    splits: Splits,
    *,
    table: EncodedTable,
    device: torch.device,
) -> HeldOut:
    """Build what looks at the held-out patients of a run; labels are read if it says so.

    Raises:
        InputError: If the label to watch does not exist, or too few lesions have it.
    """
    assert data.groups is not None
    watches_labels = settings.watch_every is not None
    labels = build_label_watch(settings, data, splits, device=device) if watches_labels else None
    return HeldOut(
        data, choose_pool(splits.val, data.groups, seed=settings.seed), table, device, labels
    )


def refuse_unwatched(settings: SlimpSettings, model: SlimpModel, watch: HeldOut) -> None:
    """Refuse to keep the best by a metric that a look at this run's held-out patients lacks.

    Raises:
        InputError: Naming the metric and why it is not there.
    """
    labels = watch.labels
    watched = {
        "last": True,
        "val_lesion_recall_at_5": model.has_lesion_loss,
        "val_patient_recall_at_5": model.has_patient_loss,
        **{f"val_knn_{name}": labels is not None and name in labels.defined for name in METRICS},
    }
    if not watched[settings.keep]:
        level = settings.keep.split("_")[1]
        why = f"the {level} loss is off"
        if level == "knn":
            why = "there is no label to watch, or held-out lesions lack some of its values"
        raise InputError(
            f"keep {settings.keep}: no look at held-out patients has it, as {why}; keep last, or "
            "another metric"
        )


def choose_pool(rows: np.ndarray, groups: np.ndarray, *, seed: int) -> np.ndarray:
    """Return at most `POOL` of the rows, in their order: one of every group, then two, and so on.

    Args:
        rows: Held-out rows.
        groups: Patient of every row of the data set.
        seed: Of which lesions of a patient are taken.
    """
    shuffled = np.random.default_rng(derive_seed(seed, "pool")).permutation(rows)
    # How many of the patient's came before: sorted by it, all patients come first.
    turns = pd.Series(groups[shuffled]).groupby(groups[shuffled]).cumcount()
    pool: np.ndarray = np.sort(shuffled[np.argsort(turns, kind="stable")[:POOL]])
    return pool
