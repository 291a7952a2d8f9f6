"""What labels say of the encoder while it trains: k-NN on held-out patients.

Frozen features are read, and nothing that is learnt of labels goes back; with `--keep val_knn_...`
they choose which of the states that were watched is exported.
Training lesions are the examples, validation lesions the questions; the test split is not read.
Nothing is picked or drawn anew, so that a curve over steps compares like with like; figures to
report, and EP's, come from `toolkit probe`.
"""

from dataclasses import dataclass

import numpy as np
import torch

from toolkit_common.console import console
from toolkit_common.data.dataset import ImageData, Labels
from toolkit_common.data.splits import Splits
from toolkit_common.errors import InputError
from toolkit_common.features.encode import encode_images
from toolkit_common.scores.knn import knn_probabilities
from toolkit_common.scores.metrics import Predictions, compute_metrics
from toolkit_common.seed import derive_seed
from toolkit_slimp.model.slimp import SlimpModel
from toolkit_slimp.settings import SlimpSettings

EXAMPLES, QUESTIONS = 512, 512  # most lesions: a look must stay cheap beside the training
NEIGHBOURS, TEMPERATURE = 20, 0.07
METRICS = ("balanced_accuracy", "auroc")


@dataclass(frozen=True)
class LabelWatch:
    """Labelled lesions, classified by their neighbours.

    Attributes:
        data: The data set.
        labels: Their labels.
        examples: Rows of training lesions with a label.
        questions: Rows of validation lesions with a label.
        device: Where the model is.
    """

    data: ImageData
    labels: Labels
    examples: np.ndarray
    questions: np.ndarray
    device: torch.device

    def __call__(self, model: SlimpModel) -> dict[str, float]:
        """Return `val_knn_` balanced accuracy and AUROC, those that are defined."""
        examples, questions = (
            encode_images(model, self.data, rows, device=self.device).float()
            for rows in (self.examples, self.questions)
        )
        targets, setting = self.labels.targets, (NEIGHBOURS, TEMPERATURE)
        votes = knn_probabilities(
            questions,
            examples,
            torch.from_numpy(targets[self.examples]).to(self.device),
            num_classes=len(self.labels.classes),
            ks=setting[:1],
            temperatures=setting[1:],
            device=self.device,
        )[setting]
        predictions = Predictions(votes.double().cpu().numpy(), targets[self.questions])
        metrics = compute_metrics(predictions)
        values = {f"val_knn_{name}": metrics[name] for name in METRICS}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def defined(self) -> set[str]:
        """The metrics of a look that have a value: AUROC needs every class among the questions."""
        targets = self.labels.targets[self.questions]
        count = len(self.labels.classes)
        metrics = compute_metrics(Predictions(np.full((len(targets), count), 1 / count), targets))
        return {name for name in METRICS if metrics[name] is not None}


def build_label_watch(
    settings: SlimpSettings, data: ImageData, splits: Splits, *, device: torch.device
) -> LabelWatch | None:
    """Return what watches labels, or None where none was named and the data set has none.

    Raises:
        InputError: If the label that was named does not exist, or too few lesions have it.
    """
    name = settings.watch_label
    labels = data.labels(name) if name is not None or _has_label(data) else None
    if labels is not None:
        # Streams of their own: more examples leave the questions as they are.
        seeds = [derive_seed(settings.seed, "judge", what) for what in ("examples", "questions")]
        examples = _draw(splits.train, labels, EXAMPLES, seed=seeds[0])
        questions = _draw(splits.val, labels, QUESTIONS, seed=seeds[1])
        num_values = np.unique(labels.targets[examples]).size
        if num_values >= 2 and questions.size:
            console.print(
                f"watching: label {labels.name!r} of {len(questions)} held-out lesions, by "
                f"{len(examples)} training lesions; read for watching alone"
            )
            return LabelWatch(data, labels, examples, questions, device)
        if name is not None:
            raise InputError(
                f"label {name!r} of {data.id!r} cannot be watched: the training lesions have "
                f"{num_values} of its values, and {questions.size} held-out lesions have one"
            )
    console.print("watching: no label to judge by, retrieval alone")
    return None


def _draw(rows: np.ndarray, labels: Labels, most: int, *, seed: int) -> np.ndarray:
    """Return at most `most` of the rows that have a label, in their order."""
    rows = rows[labels.targets[rows] >= 0]
    draws = np.random.default_rng(seed)
    chosen: np.ndarray = rows[np.sort(draws.permutation(len(rows))[:most])]
    return chosen


def _has_label(data: ImageData) -> bool:
    try:
        data.labels()
    except InputError:
        return False
    return True
