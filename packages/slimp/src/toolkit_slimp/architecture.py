"""Which weights a model has, where they come from, and what a continued run keeps of another.

Weights can only be handed on to a model of the same widths and parts, so that a continued run has
the architecture of the run that it continues. A setting that says otherwise is refused by name.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from toolkit_common.backbones.settings import EncoderSettings
from toolkit_common.config import DEFAULT, Layer, Resolved, S, Settings, option, resolve
from toolkit_common.errors import InputError

MODEL, METADATA = "Model", "Metadata encoders"
Phenotype = Literal["mean", "attention", "mean_max"]
Train = Literal["embeddings", "norms", "all"]
TRAIN: Train = "embeddings"  # with --from, as the paper does it


class ArchitectureSettings(Settings):
    """What decides the shapes of a model beside its image encoder and its columns."""

    embed_dim: int = option(128, "Width of the contrastive embeddings.", panel=MODEL, ge=2)
    phenotype: Phenotype = option("mean", "How a patient's lesions are pooled.", panel=MODEL)
    metadata_dim: int = option(128, "Width.", panel=METADATA, ge=4)
    metadata_depth: int = option(2, "Blocks.", panel=METADATA, ge=1)
    metadata_heads: int = option(4, "Attention heads.", panel=METADATA, ge=1)
    metadata_mlp_ratio: float = option(
        4.0, "Hidden width of a block's MLP over its width.", panel=METADATA, gt=0
    )
    metadata_blocks: Literal["plain", "ft"] = option(
        "plain",
        "GELU blocks with a final norm, or those of FT-Transformer (ReGLU; its own MLP ratio is "
        "4/3, its pooling cls).",
        panel=METADATA,
    )
    metadata_pooling: Literal["mean", "cls"] = option(
        "mean", "Read the mean of the columns that are there, or the class token.", panel=METADATA
    )
    patient_columns: Literal["patient", "lesion"] = option(
        "patient",
        "Where patient metadata go: to the patient loss, or beside the lesions' own (flat).",
        panel=METADATA,
    )

    @property
    def metadata_hidden_dim(self) -> int:
        """Width between the two layers of a metadata block's MLP."""
        return int(self.metadata_dim * self.metadata_mlp_ratio)

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> "ArchitectureSettings":
        if self.metadata_dim % self.metadata_heads:
            raise ValueError(
                f"the metadata width must be a multiple of its heads, got {self.metadata_dim} and "
                f"{self.metadata_heads}"
            )
        return self


class StartSettings(EncoderSettings):
    """Where the first weights come from, and which of them learn."""

    backbone: str | None = option(
        None,
        "Image encoder: a short name (toolkit backbones), timm:NAME, open_clip:NAME@TAG, or an "
        "exported folder; ?weights=FILE, ?image_size=N may follow. Without one a small untrained "
        "ViT stands in.",
        panel=MODEL,
        flag="-b",
    )
    random_init: bool = option(
        False, "Start from random weights instead of the encoder's own.", panel=MODEL
    )
    allow_partial: bool = option(
        False,
        "Accept a weights file that does not fill the encoder, or is more than the encoder has.",
        panel=MODEL,
    )
    from_run: Path | None = option(
        None,
        "Continue this SLIMP run, or the encoder folder of one, on other data: image encoder, "
        "metadata encoders and heads start as it left them, and its architecture is kept.",
        panel=MODEL,
        flag="--from",
        # Where it lies may change: what it holds is compared when a run is resumed.
        affects_result=False,
    )
    train: Train | None = option(
        None,
        f"What learns ({TRAIN} with --from where not given, else all): embeddings (the paper's: "
        "patches, positions, tokens, metadata embeddings and heads; of an encoder without "
        "attention its stem and norms), norms (with metadata embeddings and heads), or all. A "
        "metadata encoder that no run has trained learns whole.",
        panel=MODEL,
    )
    allow_seen: bool = option(
        False,
        "Go on although the run of --from was trained on validation or test patients of the data; "
        "figures are marked SEEN.",
        panel=MODEL,
        affects_result=False,
    )

    @property
    def is_partial(self) -> bool:
        """Whether only a part of the model learns."""
        return self.train is not None and self.train != "all"

    @model_validator(mode="after")
    def _continues_a_run(self) -> "StartSettings":
        if self.from_run is None and self.allow_seen:
            raise ValueError("allow_seen needs from_run: the run that has seen somebody")
        return self

    @model_validator(mode="after")
    def _a_continued_run_has_an_encoder(self) -> "StartSettings":
        for key in ("backbone", "random_init", "allow_partial"):
            if self.from_run is not None and (value := getattr(self, key)):
                given = f" {value}" if value is not True else ""
                raise ValueError(
                    f"{key}{given} and from_run {self.from_run} exclude each other: the image "
                    "encoder is that of the run, drop one of them"
                )
        return self


def keep_architecture(resolved: Resolved[S], stored: Settings, run: Path) -> Resolved[S]:
    """Complete the settings of a run that continues another by that other's.

    Its architecture is kept, and its temperature where none is given.

    Args:
        resolved: Settings of the new run.
        stored: Those of the run that is continued.
        run: Where that run lies.

    Raises:
        InputError: If a setting was given that contradicts the run's architecture.
    """
    kept = [*ArchitectureSettings.model_fields, "temperature"]
    given = {
        key: getattr(resolved.settings, key)
        for key, source in resolved.sources.items()
        if source != DEFAULT
    }
    _refuse_other(given, stored, resolved, run=run)
    own = {key: getattr(stored, key) for key in kept if key not in given}
    chosen: dict[str, Any] = {"from_run": run.resolve(), "train": given.get("train") or TRAIN}
    layers = [
        Layer(f"run {run}", own),
        *(Layer(resolved.sources[key], {key: value}) for key, value in given.items()),
        *(
            Layer(resolved.sources[key] if key in given else "default with --from", {key: value})
            for key, value in chosen.items()
        ),
    ]
    completed = resolve(type(resolved.settings), layers)
    return Resolved(completed.settings, completed.sources, resolved.notes)


def _refuse_other(
    given: Mapping[str, Any], stored: Settings, resolved: Resolved[S], *, run: Path
) -> None:
    for key in ArchitectureSettings.model_fields:
        if key in given and given[key] != (own := getattr(stored, key)):
            raise InputError(
                f"{key} {given[key]} ({resolved.sources[key]}) contradicts the run that is "
                f"continued: {run} has {own}, and a continued run keeps its architecture; leave it "
                "out, or start a new run without --from"
            )
