"""The figures of `slimp_ablation` as a table, notes and a picture.

A condition's figures are a value for each fold of a cross-validation over patients.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit_probing.results.contents import read_results
from toolkit_slimp.ablations import ABLATIONS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FULL = "slimp"
PRETRAINED = {FULL: "none"} | {name: name for name in ABLATIONS if name != "none"}
ENCODERS = {"image-only": False, "random-init": True}  # without pre-training: are weights random?
METADATA = {"metadata-only": "metadata", "missingness": "missingness"}
OF_PATIENTS = ("patient-only", "same-metadata", "attention", "mean-max")  # need patient metadata
WITHOUT_METADATA = ("simclr",)  # its metadata encoders are untrained
CONDITIONS = (*PRETRAINED, *ENCODERS, *METADATA)
FIGURES = {
    "auroc": "AUROC",
    "auroc_meta": "AUROC, image+meta",
    "balanced_accuracy": "balanced accuracy",
    "knn_auroc": "k-NN AUROC",
    "recall": "recall@5, image to metadata",
    "recall_chance": "chance level of recall@5",
}
Scores = dict[str, list[float]]  # figure -> a value for each fold


@dataclass(frozen=True)
class Plan:
    """What is compared, on what, for how long.

    Attributes:
        data: Data set id.
        label: What the probes predict.
        backbone: What pre-training starts from.
        epochs: Passes over the training patients, the same for all.
        folds: Parts of the cross-validation.
        settings: More settings of pre-training, KEY=VALUE.
        runs: Folder of all runs.
        resume: Whether runs that are there are taken up.
        most: Folds that are carried out, the first so many; all where none is given.
    """

    data: str
    label: str
    backbone: str
    epochs: int
    folds: int
    settings: tuple[str, ...]
    runs: Path
    resume: bool
    most: int | None = None

    @property
    def judged(self) -> range:
        """The folds that are carried out."""
        return range(self.folds if self.most is None else self.most)


def fold_interval(values: Sequence[float], *, test_to_train: float) -> tuple[float, float]:
    """Return the mean over the folds of a cross-validation and half its 95 % interval.

    A t interval whose variance is enlarged for training sets that overlap: s^2 (1 / k + n_test /
    n_train) in place of s^2 / k (Nadeau and Bengio, "Inference for the Generalization Error",
    Machine Learning 52, 2003). It covers the draw of patients and the seed. NaN if a fold's is.
    """
    from scipy.stats import t as student

    count = len(values)
    spread = np.std(values, ddof=1) * np.sqrt(1.0 / count + test_to_train)
    return float(np.mean(values)), float(student.ppf(0.975, count - 1) * spread)


def interval(values: Sequence[float], folds: int) -> tuple[float, float]:
    """Return `fold_interval` of parts of which one is the test split and one for validation."""
    return fold_interval(values, test_to_train=1.0 / (folds - 2))


def row_of(name: str, scores: dict[str, Scores], folds: int) -> dict[str, Any]:
    """Return a row of the table."""
    row: dict[str, Any] = {"condition": name}
    own = scores[name]
    for key, heading in FIGURES.items():
        row[heading] = shown(own[key], folds) if key in own else None
        if key == "auroc" and FULL in scores:
            pairs = zip(own[key], scores[FULL][key], strict=True)
            gaps = [value - full for value, full in pairs]
            row["AUROC minus slimp's"] = None if name == FULL else shown(gaps, folds, sign="+")
    row["CPU min a fold"] = float(np.mean(own["cpu_minutes"])) if "cpu_minutes" in own else None
    return row


def shown(values: Sequence[float], folds: int, *, sign: str = "") -> str | None:
    """Return `mean ± half width` as text, None where it is undefined."""
    mean, half = interval(values, folds)
    return None if np.isnan(mean) else f"{mean:{sign}.3f} \u00b1 {half:.3f}"


def notes(plan: Plan, scores: dict[str, Scores], *, minutes: float) -> list[str]:
    """Return what the figures are, and what they do not say."""
    sizes, shown_plan = read_sizes(plan, scores), public(plan)
    count = len(plan.judged)
    folds = f"{plan.folds} folds" if count == plan.folds else f"{count} of {plan.folds} folds"
    lines = [
        f"Data: {shown_plan['data']}, {sizes}; label {plan.label!r}; {folds}, no patient on two "
        "sides. Mean over the folds \u00b1 half the 95 % t interval, corrected for overlapping "
        "training sets (Nadeau and Bengio 2003); differences are taken fold by fold.",
        f"Equal budget: {plan.epochs} epoch(s) of the same patients and batches from "
        + ", ".join([shown_plan["backbone"], *shown_plan["settings"]])
        + "; the image term encodes two views, so that it costs more (CPU minutes). AUROC and "
        "balanced accuracy: logistic regression on the frozen image features alone, for "
        "metadata-only and missingness on the metadata alone; image+meta: on the features of the "
        "image and both metadata encoders together.",
        "batch-statistics: the encoder's batch norms, if it has any, go by the statistics of each "
        "batch of patients, where all others keep those of the weights they start from.",
        "recall@5: share of the validation patients' images whose own metadata are among the five "
        "nearest, at the end of pre-training; identical metadata count as theirs, in its chance "
        "level too.",
    ]
    if not plan.resume:
        lines.append(f"All of it took {minutes:.0f} minutes.")
    if plan.data.startswith("lesions"):
        lines.insert(
            0,
            "The embedded sample is tiny, chosen by hand, and this budget is minutes: the figures "
            "show that everything runs on equal terms, not which idea is better. Differences "
            "within their intervals mean nothing. Lesions without a clinical block are never "
            "cancer here, so that what is missing tells the label (missingness).",
        )
    return lines


def read_sizes(plan: Plan, scores: dict[str, Scores]) -> str:
    """Return how many images and groups the folds have, as the probes' results say."""
    name = next((name for name in scores if name not in METADATA), None)
    if name is None:
        return "metadata alone"
    judged = [read_results(plan.runs / name / f"fold-{fold}/probe").data for fold in plan.judged]
    images = sum(data.sizes["test"] for data in judged)
    return f"{images} images of {sum(data.num_test_groups for data in judged)} patients"


def jsonable(scores: dict[str, Scores]) -> dict[str, dict[str, list[float | None]]]:
    """Return the figures with None for NaN, which is no JSON."""
    return {
        name: {
            key: [None if np.isnan(value) else value for value in values]
            for key, values in own.items()
        }
        for name, own in scores.items()
    }


def public(plan: Plan) -> dict[str, Any]:
    """Return the plan without folders of this machine."""
    return {
        "data": bare(plan.data),
        "label": plan.label,
        "backbone": bare(plan.backbone),
        "epochs": plan.epochs,
        "folds": plan.folds,
        "judged": len(plan.judged),
        "settings": [bare(setting) for setting in plan.settings],
    }


def bare(identifier: str) -> str:
    """Return an id with the last part alone of each path from /, ~ or . on."""
    return re.sub(r"(?:^|(?<=[:=]))[/~.][^?&]*/", "", identifier)


def draw(scores: dict[str, Scores], plan: Plan) -> "Figure":
    """Draw each condition's AUROC: a dot a fold, the mean and its interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.36 * len(scores) + 1.2), layout="constrained")
    axes = figure.subplots()
    for at, (name, own) in enumerate(scores.items()):
        colour = "tab:blue" if name in PRETRAINED else "tab:gray"
        mean, half = interval(own["auroc"], plan.folds)
        axes.errorbar(mean, at, xerr=half, fmt="o", capsize=3, color=colour)
        axes.plot(own["auroc"], [at] * len(plan.judged), ".", color=colour, alpha=0.35)
    if FULL in scores:
        axes.axvline(float(np.mean(scores[FULL]["auroc"])), color="tab:blue", lw=0.8, alpha=0.5)
    axes.axvline(0.5, color="black", lw=0.8, ls=":")
    axes.set_yticks(range(len(scores)), list(scores))
    axes.invert_yaxis()
    axes.set_xlabel(
        f"AUROC of {plan.label!r}, {len(plan.judged)} patient-disjoint folds, 95 % intervals"
    )
    axes.grid(axis="x", alpha=0.3)
    return figure
