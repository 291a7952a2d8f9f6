"""Which images, in which splits: the options that every command over a data set shares."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from toolkit_common.config import Settings, option

DATA = "Data"
MIN_FOLDS = 3  # train, validation and test


class SplitSettings(Settings):
    """How a data set is split where it does not say so itself, or is not to be believed."""

    split_seed: int = option(
        0,
        "Seed of splits that the data set does not give; probing with the seed of pre-training "
        "keeps test patients unseen.",
        panel=DATA,
    )
    splits: Path | None = option(
        None, "CSV file image_id,split to use, such as a run's splits.csv.", panel=DATA
    )
    folds: int | None = option(
        None,
        "Cross-validation: number of parts (grouped, stratified); part --fold is the test split. "
        "toolkit probe without --fold judges on every part in turn.",
        panel=DATA,
    )
    fold: int | None = option(
        None, "Which of the --folds parts is the test split, from 0.", panel=DATA, ge=0
    )

    @model_validator(mode="after")
    def _folds_fit(self) -> "SplitSettings":
        if self.splits is not None and self.folds is not None:
            raise ValueError(
                f"splits come from {self.splits} or from folds={self.folds}, not from both"
            )
        # Runs of before hold a 0 that says nothing.
        if self.folds is None and self.fold:
            raise ValueError(f"fold={self.fold} needs folds: the number of parts")
        if self.folds is not None and self.folds < MIN_FOLDS:
            raise ValueError(
                f"folds must be {MIN_FOLDS} or more (train, validation and test), got {self.folds}"
            )
        if self.folds is not None and self.fold is not None and self.fold >= self.folds:
            raise ValueError(
                f"fold must be 0 to {self.folds - 1} with folds={self.folds}, got {self.fold}"
            )
        return self

    @property
    def is_every_fold(self) -> bool:
        """Whether each of the folds is to be the test split in turn."""
        return self.folds is not None and self.fold is None


class _WhichData(Settings):
    """A data set, and how its labels count."""

    data: str = option(
        "lesions",
        "Data set: lesions, digits, imagefolder:PATH, csv:FILE, hf:ID, torchvision:NAME, or one "
        "of slice-3d, pad-ufes-20, ham10000, hiba, bcn20000, ph2, derm7pt, isic, isic-2018, "
        "isic-2019, isic-2020, milk10k, fitzpatrick17k, tiny-imagenet, cub-200-2011, each :PATH; "
        "or a data card data.yaml.",
        panel=DATA,
        flag="-d",
    )
    premalignant_as: Literal["benign", "malignant", "drop"] | None = option(
        None,
        "How label `malignant` counts premalignant diagnoses; the data set's default (benign, or "
        "drop where its file calls them indeterminate).",
        panel=DATA,
    )


class CheckedDataSettings(SplitSettings, _WhichData):
    """A data set, its splits, and what becomes of bad images."""

    bad_files: Literal["error", "skip"] = option(
        "error", "What to do about images that do not decode.", panel=DATA
    )


class DataSettings(CheckedDataSettings):
    """A data set, its splits, and how its images are read."""

    cache_images: Annotated[int, Field(ge=1)] | Literal["exact"] | None = option(
        None,
        "Shrink images that are much larger than the encoder's input once, without loss, and read "
        "those: exact keeps what the encoder resizes them to, which changes no token; a number, "
        "for random crops, is the pixels of the shorter side.",
        panel=DATA,
    )
