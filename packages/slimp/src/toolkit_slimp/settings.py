"""The settings of `toolkit pretrain slimp`: each field is an option, its help and its default."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, model_validator

from toolkit_common.config import option, split_commas
from toolkit_common.data.settings import DATA, DataSettings
from toolkit_common.training.settings import MACHINE, CheckpointSettings, MachineSettings
from toolkit_slimp.architecture import METADATA, MODEL, ArchitectureSettings, StartSettings

LOSS, BATCHES, TRAINING = "Loss", "Batches", "Training"
Positives = Literal["diagonal", "same_metadata"]
TrackerName = Literal["tensorboard", "wandb"]


def _refuse_loss(value: Any) -> Any:
    if isinstance(value, str) and value.removeprefix("val_") == "loss":
        raise ValueError(
            "held-out loss is no metric to keep by: it is lowest after a few epochs, while probes "
            "of the features improve to the end (docs/slimp.md); keep last, or the best by k-NN or "
            "recall"
        )
    return value


Keep = Annotated[
    Literal[
        "last",
        "val_knn_auroc",
        "val_knn_balanced_accuracy",
        "val_lesion_recall_at_5",
        "val_patient_recall_at_5",
    ],
    BeforeValidator(_refuse_loss),
]


class SlimpSettings(
    ArchitectureSettings, StartSettings, CheckpointSettings, MachineSettings, DataSettings
):
    """What to pre-train, on what, how.

    Of a metadata encoder what makes TRACE (depth 1, 2 heads) and FT-Transformer (blocks ft, MLP
    ratio 4/3, pooling cls) can be set, and no more: see `docs/slimp.md`.
    """

    gone: ClassVar[Mapping[str, Any]] = {
        "metadata_numbers": "linear",
        "metadata_missing": "mask",
        "metadata_block_dropout": 0.0,
    }

    metadata_schema: Path | None = option(
        None,
        "Metadata schema, as toolkit data schema writes it; inferred where none is given.",
        panel=DATA,
        flag="--schema",
    )
    batch_norm: Literal["auto", "frozen", "batch"] = option(
        "auto",
        "Statistics of the image encoder's batch norms, if it has any: frozen (those of its "
        "weights), or batch (of each batch; their running mean is exported). auto is frozen, but "
        "for random weights.",
        panel=MODEL,
    )
    ablation: str = option(
        "none",
        "Named settings, recorded and overridden by your own: none; flat (patient columns go "
        "to the lesions), lesion-only (lambda 1), patient-only (lambda 0), no-dropout (of "
        "metadata), same-metadata (patients match), same-lesion-metadata (lesions match), "
        "same-patient (negatives), attention or mean-max (phenotype), learned-temperature, "
        "batch-statistics, image-term (SimCLR beside the nested loss), simclr (alone).",
        panel=MODEL,
    )
    allow_leaks: Annotated[tuple[str, ...], BeforeValidator(split_commas)] = option(
        (),
        "Metadata columns that are read although toolkit data audit calls them leaks of the label.",
        panel=METADATA,
    )
    lesion_weight: float = option(
        0.5, "Weight of the lesion loss against the patient loss (lambda).", panel=LOSS, ge=0, le=1
    )
    temperature: float = option(0.1, "Temperature of both losses.", panel=LOSS, gt=0)
    learn_temperature: bool = option(
        False, "Train the temperatures, from --temperature on, down to 0.01.", panel=LOSS
    )
    patient_positives: Positives = option(
        "diagonal",
        "Whether patients with identical metadata count as matches of each other.",
        panel=LOSS,
    )
    lesion_positives: Positives = option(
        "diagonal",
        "Whether lesions with identical metadata count as matches of each other; told apart, they "
        "are false negatives.",
        panel=LOSS,
    )
    lesion_negatives: Literal["all", "other_lesions", "other_patients", "same_patient"] = option(
        "all",
        "Whose metadata an image is told apart from: all others', those of other lesions (two "
        "photographs of one are no negatives), those of other patients, or those of the same "
        "patient's other lesions alone.",
        panel=LOSS,
    )
    nested_weight: float = option(
        1.0,
        "Weight of lesion and patient loss together; 0 trains without metadata, on the image term "
        "alone.",
        panel=LOSS,
        ge=0,
    )
    image_weight: float = option(
        0.0, "Weight of an image-image term (SimCLR, two views); 0 is off.", panel=LOSS, ge=0
    )
    patients_per_batch: int = option(32, "Patients a batch (P).", panel=BATCHES, ge=2)
    lesions_per_patient: int = option(
        16, "Most lesions of one patient in a batch (L).", panel=BATCHES, ge=1
    )
    lesion_sampling: Literal["random", "positives", "deviation"] = option(
        "random",
        "Whom a quarter of a large patient's lesions is drawn from: all; those with --positives "
        "(labels, for this alone); or those whose metadata differ from the patient's mean.",
        panel=BATCHES,
    )
    positives: str = option(
        "malignant=malignant", "LABEL=VALUE of what counts as positive.", panel=BATCHES
    )
    positive_repeats: int = option(
        1, "Times an epoch that a patient with a positive lesion comes.", panel=BATCHES, ge=1
    )
    epochs: int | None = option(
        30, "Times that every training patient is seen.", panel=TRAINING, ge=1
    )
    steps: int | None = option(
        None,
        "Updates in place of epochs; the plan that is printed says either in the other.",
        panel=TRAINING,
        ge=1,
    )
    lr: float = option(
        3e-4, "Peak learning rate of metadata encoders and heads.", panel=TRAINING, ge=0
    )
    image_lr: float = option(3e-4, "Peak learning rate of the image encoder.", panel=TRAINING, ge=0)
    weight_decay: float = option(0.05, "Weight decay of matrices.", panel=TRAINING, ge=0)
    warmup: float = option(
        0.1, "Share of the steps in which the learning rate rises.", panel=TRAINING, ge=0, lt=1
    )
    clip_grad: float = option(1.0, "Largest gradient norm.", panel=TRAINING, gt=0)
    metadata_dropout: float = option(
        0.15, "Share of metadata values hidden in training.", panel=TRAINING, ge=0, lt=1
    )
    crop_scale: float = option(
        0.6,
        "Least share of an image's area that a training crop keeps.",
        panel=TRAINING,
        gt=0,
        le=1,
    )
    color_jitter: float = option(
        0.1,
        "Jitter of brightness and contrast in training, of saturation half of it, of hue none: "
        "metadata hold colours.",
        panel=TRAINING,
        ge=0,
        lt=1,
    )
    ema: float | None = option(
        None,
        "Decay of a moving average of the weights, such as 0.999; watched and exported.",
        panel=TRAINING,
        gt=0,
        lt=1,
    )
    keep: Keep = option(
        "last",
        "Which state is exported: last, or the best watched one by val_knn_auroc or "
        "val_knn_balanced_accuracy (these need --watch-every, and labels then choose), "
        "val_lesion_recall_at_5, val_patient_recall_at_5. Held-out loss is none of them: it is "
        "lowest long before features are best.",
        panel=TRAINING,
    )
    bank: bool = option(
        False,
        "Export a reference bank: features of the training lesions with their metadata as they "
        "are. As confidential as the data.",
        panel=TRAINING,
    )
    bank_size: int = option(50_000, "Most lesions of a --bank.", panel=TRAINING, ge=0)
    watch_every: int | None = option(
        None,
        "Look at held-out patients every so many steps, not every epoch, and classify them by k-NN "
        "too. Labels are read for watching (and --keep val_knn...) alone, and only then; toolkit "
        "probe judges with EP.",
        panel=TRAINING,
        ge=1,
        affects_result=False,
    )
    watch_label: str | None = option(
        None,
        "Label to watch; the data set's default.",
        panel=TRAINING,
        affects_result=False,
    )
    tracker: Annotated[tuple[TrackerName, ...], BeforeValidator(split_commas)] = option(
        (),
        "Show what metrics.jsonl holds elsewhere too: tensorboard, wandb (offline without "
        "WANDB_API_KEY).",
        panel=TRAINING,
        affects_result=False,
    )
    report: bool = option(
        True,
        "End the run with report.html, a page of what it learned, and summary.md, a table to "
        "paste.",
        panel=TRAINING,
        affects_result=False,
    )
    seed: int = option(0, "Seed of weights, batches and augmentation.", panel=TRAINING)
    lesions_per_pass: int | None = option(
        None,
        "Lesions that a process encodes at once, to fit its memory: the gradient stays that of "
        "the whole batch, for one more forward pass. All of them where none is given.",
        panel=MACHINE,
        ge=1,
        affects_result=False,
    )
    grad_checkpointing: bool = option(
        False,
        "Keep fewer activations of the image encoder and compute them again.",
        panel=MACHINE,
        affects_result=False,
    )
    compile: bool = option(
        False, "Compile the image encoder (torch.compile).", panel=MACHINE, affects_result=False
    )

    @property
    def starts_random(self) -> bool:
        """Whether the image encoder's first weights are random: as requested, or a stand-in's."""
        return self.random_init or (self.backbone is None and self.from_run is None)

    @property
    def freezes_batch_norms(self) -> bool:
        """Whether batch norms keep the statistics that the image encoder came with."""
        # Random weights came with no statistics worth keeping.
        return self.batch_norm == "frozen" or (self.batch_norm == "auto" and not self.starts_random)

    @model_validator(mode="before")
    @classmethod
    def _steps_replace_epochs(cls, values: Any) -> Any:
        # Whoever gives steps has not given the default of epochs.
        has_steps = isinstance(values, dict) and values.get("steps") is not None
        return {"epochs": None, **values} if has_steps else values

    @model_validator(mode="after")
    def _what_stays_is_trained(self) -> "SlimpSettings":
        if self.is_partial and self.starts_random:
            raise ValueError(
                f"train {self.train} would leave layers as they were drawn: it needs a backbone "
                "with weights, or from_run"
            )
        return self

    @model_validator(mode="after")
    def _one_length(self) -> "SlimpSettings":
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(
                f"a run is as long as its epochs or its steps say: give one of them, got epochs "
                f"{self.epochs} and steps {self.steps}"
            )
        return self

    @model_validator(mode="after")
    def _labels_are_watched(self) -> "SlimpSettings":
        if self.keep.startswith("val_knn") and self.watch_every is None:
            raise ValueError(
                f"keep {self.keep} needs watch_every: labels are read at those steps alone"
            )
        if self.watch_label is not None and self.watch_every is None:
            raise ValueError(f"watch_label {self.watch_label} needs watch_every: the steps between")
        return self

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> "SlimpSettings":
        if self.positive_repeats > 1 and self.lesion_sampling != "positives":
            raise ValueError(
                f"positive_repeats {self.positive_repeats} needs lesion_sampling positives, got "
                f"{self.lesion_sampling}"
            )
        # Given explicitly, and not used: silently ignored it would look as if it had acted.
        default = type(self).model_fields["positives"].default
        if self.positives != default and self.lesion_sampling != "positives":
            raise ValueError(
                f"positives {self.positives} needs lesion_sampling positives, got "
                f"{self.lesion_sampling}"
            )
        # 0 was how to have none, when a bank was written unasked.
        if (
            self.bank_size not in (0, type(self).model_fields["bank_size"].default)
            and not self.bank
        ):
            raise ValueError(f"bank_size {self.bank_size} needs bank: none is written unasked")
        if self.bank and self.bank_size == 0:
            raise ValueError("bank needs bank_size above 0: it would hold no lesion")
        if self.nested_weight == 0 and self.image_weight == 0:
            raise ValueError("nested_weight 0 needs image_weight above 0: nothing would be trained")
        if self.learn_temperature and self.nested_weight == 0:
            raise ValueError("learn_temperature needs nested_weight above 0: SimCLR's stays fixed")
        if self.learn_temperature and self.temperature > 1:
            raise ValueError(
                f"learn_temperature keeps temperatures within 0.01 and 1, got a start of "
                f"{self.temperature:g}"
            )
        return self
