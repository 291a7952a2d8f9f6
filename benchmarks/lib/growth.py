"""How SLIMP's losses, aggregation and sampling grow with lesions and patients; part of `slimp`."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lib.harness import Step, cpu_seconds
from toolkit_slimp.metadata.table import EncodedTable
from toolkit_slimp.model.phenotype import PHENOTYPES
from toolkit_slimp.model.slimp import SlimpModel
from toolkit_slimp.model.terms import LesionFeatures, Members
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.training.sampling import PatientSampler

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LESIONS_EACH = 8
BATCHES = (64, 256, 1024, 4096)  # lesions of a batch
SETS = (1_000, 10_000, 100_000)  # lesions of a data set
REPEATS = 5


def measure_growth(model: SlimpModel, table: EncodedTable) -> list[dict[str, Any]]:
    """Return a row for each question and size, with the exponent of the growth since the last.

    Args:
        model: Its heads and patient encoder are measured; the image encoder is not.
        table: Patients whose metadata are encoded.
    """
    width = model.image_encoder.facts.embed_dim + model.lesion_encoder.out_dim
    questions: list[tuple[str, Callable[[int], Step], Sequence[int]]] = [
        ("both losses with their heads", lambda m: loss_step(model, table, m), BATCHES),
        ("aggregation (mean)", lambda m: pooling_step("mean", width, m), BATCHES),
        ("aggregation (attention)", lambda m: pooling_step("attention", width, m), BATCHES),
        ("dealing an epoch's batches", epoch_step, SETS),
    ]
    rows = []
    for what, build, sizes in questions:
        steps = {str(size): build(size) for size in sizes}
        seconds = list(cpu_seconds(steps, repeats=REPEATS, min_seconds=0.02).values())
        rows += [growth_row(what, sizes, seconds, at) for at in range(len(sizes))]
    return rows


def growth_row(
    what: str, sizes: Sequence[int], seconds: Sequence[float], at: int
) -> dict[str, Any]:
    """Return one row; the first size has no exponent."""
    exponent = None
    if at:
        exponent = math.log(seconds[at] / seconds[at - 1]) / math.log(sizes[at] / sizes[at - 1])
    return {
        "what": what,
        "lesions": sizes[at],
        "patients": sizes[at] // LESIONS_EACH,
        "CPU ms": 1e3 * seconds[at],
        "us a lesion": 1e6 * seconds[at] / sizes[at],
        "exponent": exponent,
    }


def loss_step(model: SlimpModel, table: EncodedTable, num_lesions: int) -> Step:
    """Return forward and backward of both losses, from the features of a batch on."""
    draws = torch.Generator().manual_seed(0)
    images = torch.randn(num_lesions, model.image_encoder.facts.embed_dim, generator=draws)
    lesions = torch.randn(num_lesions, model.lesion_encoder.out_dim, generator=draws)
    patients = torch.arange(num_lesions // LESIONS_EACH) % len(table.image_ids)
    members = Members(
        segments=torch.arange(num_lesions) // LESIONS_EACH,
        lesion_codes=torch.arange(num_lesions),
        metadata_codes=torch.arange(num_lesions),
        patients=table.patients.take(patients),
        patient_codes=table.patient_codes[patients],
    )

    def step() -> None:
        features = LesionFeatures(images.requires_grad_(), lesions.requires_grad_())
        model.nested_loss(features, members).total.backward()
        model.zero_grad()

    return step


def pooling_step(kind: str, width: int, num_lesions: int) -> Step:
    """Return forward and backward of one aggregation."""
    values = torch.randn(num_lesions, width, requires_grad=True)
    segments = torch.arange(num_lesions) // LESIONS_EACH
    pool = PHENOTYPES[kind](width)  # type: ignore[index]
    return lambda: pool(values, segments, num_lesions // LESIONS_EACH).sum().backward()


def epoch_step(num_lesions: int) -> Step:
    """Return the dealing of one epoch: patients of a lognormal number of lesions, as SLICE-3D's."""
    draws = np.random.default_rng(0)
    shares = draws.lognormal(sigma=1.5, size=max(1, num_lesions // LESIONS_EACH))
    groups = draws.choice(len(shares), num_lesions, p=shares / shares.sum()).astype(str)
    sampler = PatientSampler(groups, np.arange(num_lesions), SlimpSettings())
    return lambda: sampler.epoch(0)


def draw(rows: list[dict[str, Any]]) -> "Figure":
    """Draw CPU time against lesions, a line a question."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for what in dict.fromkeys(row["what"] for row in rows):
        own = [row for row in rows if row["what"] == what]
        axes.plot([row["lesions"] for row in own], [row["CPU ms"] for row in own], "o-", label=what)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("lesions")
    axes.set_ylabel("CPU ms")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
