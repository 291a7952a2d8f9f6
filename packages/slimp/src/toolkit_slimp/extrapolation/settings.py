"""The settings of `toolkit extrapolate slimp`: each field is an option."""

from pathlib import Path
from typing import Literal

from toolkit_common.config import option
from toolkit_common.data.settings import CheckedDataSettings
from toolkit_common.training.settings import MACHINE

NEIGHBOURS = "Neighbours"


class ExtrapolateSettings(CheckedDataSettings):
    """For which images, from which reference, and how."""

    reference: str | None = option(
        None,
        "Data set whose training patients' lesions are the neighbours; the bank of the run.",
        panel=NEIGHBOURS,
    )
    reference_splits: Path | None = option(
        None,
        "CSV file image_id,split of the reference; as the run was split.",
        panel=NEIGHBOURS,
    )
    neighbours: int = option(
        10, "Nearest lesions that are asked, of each column those with a value.",
        panel=NEIGHBOURS, ge=1,
    )  # fmt: skip
    temperature: float = option(
        0.07, "Temperature of the softmax that weighs them by their cosine.",
        panel=NEIGHBOURS, gt=0,
    )  # fmt: skip
    threshold: float | None = option(
        None,
        "Least cosine of the nearest lesion, of every column: an image with less gets no value.",
        panel=NEIGHBOURS,
        ge=-1,
        le=1,
    )
    level: Literal["lesion", "patient", "both"] = option(
        "lesion", "Which columns are extrapolated, where they have lift.", panel=NEIGHBOURS
    )
    allow_seen: bool = option(
        False,
        "Go on where the encoder was pre-trained on patients of test or validation; the file and "
        "every figure on it say so.",
        panel=NEIGHBOURS,
    )
    device: Literal["auto", "cpu", "cuda"] = option(
        "auto", "CUDA where there is one.", panel=MACHINE
    )
