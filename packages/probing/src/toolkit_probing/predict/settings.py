"""The settings of `toolkit predict`: each field is an option."""

from typing import Literal

from toolkit_common.config import option
from toolkit_common.data.settings import DATA
from toolkit_common.training.settings import MACHINE, MachineSettings
from toolkit_probing.settings import BACKBONE, PROBE


class PredictSettings(MachineSettings):
    """Which head of a finished run, on which rows of which data set."""

    method: str | None = option(
        None, "Choose among the run's rows of this method.", panel=PROBE, flag="-m"
    )
    row: str | None = option(
        None,
        "Row of results.json, or a head's file in RUN/heads, or how it begins; EP's first row, "
        "else the first.",
        panel=PROBE,
    )
    backbone: str | None = option(
        None,
        "Where the run's encoder lies now, if elsewhere; its weights must be those of the run.",
        panel=BACKBONE,
        flag="-b",
    )
    data: str | None = option(
        None, "Data set, as of `toolkit probe`, in place of --images.", panel=DATA, flag="-d"
    )
    split: Literal["all", "train", "val", "test"] = option(
        "all",
        "Rows of --data to predict: all, or one split as the run's settings make it.",
        panel=DATA,
    )
    label: str | None = option(
        None,
        "Column of --data that holds the true classes, for figures; the one that the run "
        "predicted.",
        panel=DATA,
    )
    bad_files: Literal["error", "skip"] = option(
        "error", "What to do about images that do not decode.", panel=DATA
    )
    allow_seen: bool = option(
        False,
        "Predict images that the probe or its encoder has learned from; they and every figure are "
        "marked.",
        panel=DATA,
    )
    attention: bool = option(
        False,
        "Add where each query of an attentive probe looks most, and how far that is above even.",
        panel=PROBE,
    )
    extract_batch_size: int = option(
        64, "Images a forward pass of the encoder.", panel=MACHINE, ge=1
    )
