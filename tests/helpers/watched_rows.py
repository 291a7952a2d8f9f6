"""Held-out patients as a model might see them, without one: what tests of reports begin with."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from toolkit_slimp.reports.watched import METADATA, Watched

WIDTH = 16


def pair_of(count: int, noise: float, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return embeddings of two modalities that differ by noise."""
    first = F.normalize(torch.randn(count, WIDTH, generator=draws), dim=1)
    return first, F.normalize(first + noise * torch.randn(count, WIDTH, generator=draws), dim=1)


def build_watched(
    *, patients: int = 60, each: int = 4, lesion: float | None = 0.1, patient: float | None = 0.1
) -> Watched:
    """Return patients with a few images each; the noise between modalities, None for no loss."""
    draws, count = torch.Generator().manual_seed(0), patients * each
    tensors = {"features": torch.randn(count, WIDTH, generator=draws)}
    if lesion is not None:
        tensors["images"], tensors["lesions"] = pair_of(count, lesion, draws)
    if patient is not None:
        tensors["phenotypes"], tensors["patients"] = pair_of(patients, patient, draws)
    if lesion is None and patient is None:
        tensors["views"] = pair_of(count, 0.0, draws)[0]
    people = np.repeat(np.arange(patients), each)
    rows = pd.DataFrame(
        {
            "image_id": [f"secret-{number}" for number in range(count)],
            "patient": people,
            "metadata_code": np.arange(count),
            "patient_code": people,
            "label": ["a" if number % 3 else "b" for number in range(count)],
            f"{METADATA}site": [("arm", "leg", None)[number % 3] for number in range(count)],
            f"{METADATA}size": [float(number) for number in range(count)],
        }
    )
    return Watched(tensors, rows, "diagnosis")
