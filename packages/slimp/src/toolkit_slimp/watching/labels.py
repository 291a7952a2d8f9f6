"""What labels say of the encoder while it trains: k-NN and a small EP on held-out patients.

For watching alone: the judge reads frozen features, and nothing it learns goes back. Training
lesions are its examples, validation lesions its questions; the test split is not read. Both judges
are fixed (no setting is picked) and deterministic, so that a curve over steps compares like with
like; for figures to report there is `toolkit probe`.

EP is that of Psomas et al., "Attention, Please!" (ICLR 2026), arXiv 2506.10178, small and in plain
products: each query pools the tokens, then projects what it pooled.

Shapes: b images, n tokens, d width, q queries, o output width, c classes.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from toolkit_common.data.dataset import ImageData, Labels
from toolkit_common.data.loaders import build_loader
from toolkit_common.errors import InputError
from toolkit_common.images.transforms import build_eval_transform
from toolkit_common.scores.knn import knn_probabilities
from toolkit_common.scores.metrics import Predictions, compute_metrics
from toolkit_common.seed import derive_seed, generator
from toolkit_slimp.model.slimp import SlimpModel

EXAMPLES, QUESTIONS = 512, 512  # most lesions: a look must stay cheap beside the training
BATCH = 64
NEIGHBOURS, TEMPERATURE = 20, 0.07
QUERIES, OUT_DIM = 8, 128
STEPS, LR, WEIGHT_DECAY = 30, 3e-3, 0.05  # all examples a step; 20 to 150 judge alike
METRICS = ("balanced_accuracy", "auroc")

Method = Literal["knn", "ep"]


class SmallEP(nn.Module):
    """Learned queries pool tokens, each projects its own; standardised, then classified.

    Args:
        dim: Token width d.
        num_classes: Number of classes c.
        draws: Source of the initial weights.

    Shape:
        tokens `(b, n, d)` -> logits `(b, c)`, rows standardised over the batch.
    """

    def __init__(self, dim: int, *, num_classes: int, draws: torch.Generator) -> None:
        super().__init__()
        self.scale = dim**-0.5
        self.queries = nn.Parameter(0.02 * torch.randn(QUERIES, dim, generator=draws))
        value = torch.rand(QUERIES, OUT_DIM // QUERIES, dim, generator=draws)
        self.value = nn.Parameter((2.0 * value - 1.0) * dim**-0.5)
        self.classifier = nn.Parameter(torch.zeros(num_classes, OUT_DIM))
        self.bias = nn.Parameter(torch.zeros(num_classes))
        self.norm = nn.BatchNorm1d(OUT_DIM, affine=False, momentum=1.0)

    def pool(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b o"]:
        """Return what EP reads of the images."""
        attention = (tokens @ (self.scale * self.queries).T).softmax(dim=1)  # (b, n, q)
        pooled = torch.einsum("bnq,bnd->bqd", attention, tokens)
        return torch.einsum("bqd,qod->bqo", pooled, self.value).flatten(1)

    @override
    def forward(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b c"]:
        return self.norm(self.pool(tokens)) @ self.classifier.T + self.bias


@dataclass(frozen=True)
class Judge:
    """Labelled lesions and how to ask for them.

    Attributes:
        data: The data set.
        labels: What is asked.
        examples: Rows of training lesions with a label.
        questions: Rows of validation lesions with a label.
        seed: Of EP's first weights.
        device: Where the model is.
    """

    data: ImageData
    labels: Labels
    examples: np.ndarray
    questions: np.ndarray
    seed: int
    device: torch.device

    def __call__(self, model: SlimpModel) -> dict[str, float]:
        """Return `val_knn_` and `val_ep_` balanced accuracy and AUROC, those that are defined."""
        model.eval()
        example_tokens, example_vectors = self._encode(model, self.examples)
        question_tokens, question_vectors = self._encode(model, self.questions)
        targets = torch.from_numpy(self.labels.targets[self.examples]).to(self.device)
        num_classes = len(self.labels.classes)
        setting = (NEIGHBOURS, TEMPERATURE)
        votes = knn_probabilities(
            question_vectors,
            example_vectors,
            targets,
            num_classes=num_classes,
            ks=setting[:1],
            temperatures=setting[1:],
            device=self.device,
        )[setting]
        probe = fit_ep(example_tokens, targets, num_classes=num_classes, seed=self.seed)
        with torch.no_grad():
            answers = probe(question_tokens).softmax(dim=1)
        return self._score("knn", votes) | self._score("ep", answers)

    @torch.no_grad()
    def _encode(self, model: SlimpModel, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return the tokens that EP reads of an export, and the vectors that the losses read."""
        preprocess = model.image_encoder.preprocess
        transform = build_eval_transform(preprocess)
        loader = build_loader(self.data, rows, transform=transform, batch_size=BATCH)
        images = (preprocess.normalize(batch["image"].to(self.device)) for batch in loader)
        tokens = torch.cat([model.tokens(batch) for batch in images]).float()
        return tokens, tokens[:, 0] if model.reads_class_token else tokens.mean(dim=1)

    def _score(self, method: Method, probabilities: Float[Tensor, "b c"]) -> dict[str, float]:
        targets = self.labels.targets[self.questions]
        found = compute_metrics(Predictions(probabilities.double().cpu().numpy(), targets))
        values = {f"val_{method}_{name}": found[name] for name in METRICS}
        return {name: value for name, value in values.items() if value is not None}


def build_judge(
    data: ImageData,
    label: str | None,
    *,
    train: np.ndarray,
    val: np.ndarray,
    seed: int,
    device: torch.device,
) -> Judge | None:
    """Return a judge, or None if no label was named and the data set has none to ask for.

    Args:
        data: The data set.
        label: Column to ask for; the data set's default where none is given.
        train: Rows whose labels are examples; at most `EXAMPLES` of them are drawn.
        val: Rows whose labels are asked for, of other patients; at most `QUESTIONS`.
        seed: Of these draws, and of EP.
        device: Where the model is.

    Raises:
        InputError: If the label that was named does not exist, or too few lesions have it.
    """
    if label is None and not _has_label(data):
        return None
    labels = data.labels(label)
    examples = _draw(train[labels.targets[train] >= 0], EXAMPLES, seed, "examples")
    questions = _draw(val[labels.targets[val] >= 0], QUESTIONS, seed, "questions")
    num_values = np.unique(labels.targets[examples]).size
    if num_values >= 2 and questions.size:
        return Judge(data, labels, examples, questions, seed, device)
    if label is None:
        return None
    raise InputError(
        f"label {label!r} of {data.id!r} cannot be watched: the training lesions have {num_values} "
        f"of its values, and {questions.size} held-out lesions have one"
    )


@torch.enable_grad()
def fit_ep(
    tokens: Float[Tensor, "b n d"], targets: Int[Tensor, " b"], *, num_classes: int, seed: int
) -> SmallEP:
    """Fit a small EP on frozen tokens; a pure function of its arguments."""
    probe = SmallEP(tokens.shape[2], num_classes=num_classes, draws=generator(seed, "judge"))
    probe.to(tokens.device, tokens.dtype)
    optimizer = torch.optim.AdamW(probe.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    for _ in range(STEPS):
        optimizer.zero_grad()
        F.cross_entropy(probe(tokens), targets).backward()
        optimizer.step()
    with torch.no_grad():
        probe(tokens)  # the statistics of the last weights
    return probe.eval()


def _draw(rows: np.ndarray, size: int, seed: int, what: str) -> np.ndarray:
    draws = np.random.default_rng(derive_seed(seed, "judge", what))
    chosen = draws.permutation(len(rows))[:size]
    found: np.ndarray = rows[np.sort(chosen)]
    return found


def _has_label(data: ImageData) -> bool:
    try:
        data.labels()
    except InputError:
        return False
    return True
