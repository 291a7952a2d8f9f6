"""The settings of `toolkit probe` and `toolkit features`: each field is an option."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field
from typing_extensions import override

from toolkit_common.backbones.settings import EncoderSettings
from toolkit_common.config import Groups, Names, PositiveFloats, option, split_commas
from toolkit_common.data.settings import DATA, DataSettings
from toolkit_common.training.settings import MACHINE, CheckpointSettings, MachineSettings

BACKBONE, PROBE, TRAINING = "Backbone", "Probe", "Training"
REPEATS, TUNING = "Repeats", "Tuning"
ENCODER_LR = {"lora": 3e-4, "full": 1e-5}  # our choice
COMMAS = (Field(min_length=1), BeforeValidator(split_commas))


class FeatureSettings(EncoderSettings, MachineSettings, DataSettings):
    """Whose features of which images: what decides the contents of a token store."""

    renamed: ClassVar[Mapping[str, str]] = {"input": "preprocess"}

    backbone: str | None = option(
        None,
        "Encoder: a short name (toolkit backbones), timm:NAME, open_clip:NAME@TAG, "
        "python:MODULE:FACTORY, or an exported folder; ?weights=FILE, ?layer=-4, ?layers=3,6,9,12 "
        "may follow. Without one a small untrained ViT stands in.",
        panel=BACKBONE,
        flag="-b",
    )
    random_init: bool = option(
        False, "Use random weights instead of the encoder's own (a control).", panel=BACKBONE
    )
    allow_partial: bool = option(
        False,
        "Accept a weights file that does not fill the encoder, or is more than the encoder has.",
        panel=BACKBONE,
    )
    layers: Annotated[tuple[int | Literal["all"], ...], *COMMAS] | None = option(
        None,
        "Layers to judge in one pass: all, or a list (1 the first, -1 the last); the last by "
        "default.",
        panel=BACKBONE,
    )
    preprocess: Literal["own", "imagenet"] = option(
        "own",
        "How images are resized, cropped and normalised: as the encoder was trained, or with "
        "ImageNet's values whatever it was trained with (the EP paper; never open_clip's).",
        panel=BACKBONE,
    )
    label: str | None = option(None, "Column to predict; the data set's default.", panel=DATA)
    store_dtype: Literal["fp32", "fp16", "bf16", "int8"] = option(
        "fp16", "How patch tokens are kept.", panel=MACHINE
    )
    store_dir: Path | None = option(
        None,
        "Folder of token stores; $TOOLKIT_CACHE or toolkit in the system's cache folder.",
        panel=MACHINE,
        affects_result=False,
    )
    extract_batch_size: int = option(
        64, "Images a forward pass of the encoder.", panel=MACHINE, ge=1
    )

    @property
    def needs_validation(self) -> bool:
        """Whether a split picks that is not the test split."""
        return True


class ExtractSettings(FeatureSettings):
    """What to extract beside the images and the backbone."""

    patches: bool = option(True, "Keep patch tokens, not the vectors alone.", panel=BACKBONE)
    pooled: bool = option(False, "Keep the encoder's own pooled output.", panel=BACKBONE)


class ProbeSettings(CheckpointSettings, FeatureSettings):
    """What to probe, with what, on what."""

    renamed: ClassVar[Mapping[str, str]] = {
        **FeatureSettings.renamed,
        "read": "vectors",
        "queries": "ep.num_queries",
        "width_divisor": "ep.width_divisor",
        "k": "knn.k",
        "temperature": "knn.temperature",
        "logreg_c": "logreg.c",
    }

    allow_seen: bool = option(
        False,
        "Judge an encoder on patients that its pre-training has seen; every figure is marked SEEN.",
        panel=BACKBONE,
    )
    method: Names = option(
        ("ep",),
        "Methods, comma-separated: ep, linear, knn, ... or all; their options, which --list shows, "
        "are given as --set ep.num_queries=8,16.",
        panel=PROBE,
        flag="-m",
    )
    protocol: str = option("honest", "Named settings: honest, ep-paper, dino-knn.", panel=PROBE)
    tokens: Annotated[tuple[Literal["auto", "patches", "all"], ...], *COMMAS] = option(
        ("auto",),
        "Tokens that attentive probes pool, one or several: patches, all (class token and "
        "patches); auto: by the encoder's card.",
        panel=PROBE,
    )
    vectors: Annotated[
        tuple[Literal["auto", "raw", "cls", "mean", "pooled", "cls_raw", "mean_raw"], ...],
        *COMMAS,
    ] = option(
        ("auto",),
        "Vectors that linear, knn and logreg read, one or several: cls, mean, pooled, cls_raw, "
        "mean_raw (before the encoder's final norm); auto: by the encoder's card; raw: the same, "
        "raw.",
        panel=PROBE,
    )
    inputs: Literal["image", "lesion", "patient", "meta", "image+meta"] = option(
        "image",
        "Of an encoder that SLIMP trained: probe images, the lesion's or the patient's metadata "
        "embedding or both (linear, knn, logreg), or images with all metadata beside.",
        panel=PROBE,
    )
    metadata: Path | None = option(
        None,
        "File of toolkit extrapolate, whose metadata are read in place of the data set's own; "
        "with any encoder.",
        panel=PROBE,
    )
    hide_metadata: Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], *COMMAS] = option(
        (0.0,),
        "Judge with these shares of the known metadata cells hidden from test rows: 0,0.25,0.5,1; "
        "heads are trained and picked on all.",
        panel=PROBE,
    )
    tune: Literal["none", "lora", "full"] = option(
        "none",
        "Train the encoder with each head: lora (on the attention of timm ViTs; needs peft), or "
        "full. Reported as tuning, apart from probing.",
        panel=TUNING,
    )
    lora_rank: int = option(8, "Rank of LoRA's matrices.", panel=TUNING, ge=1)
    encoder_lr: float | None = option(
        None,
        "Learning rate of a tuned encoder, as it is (not scaled by the batch); 3e-4 for lora, 1e-5 "
        "for full.",
        panel=TUNING,
        gt=0,
    )
    clip_grad: float = option(
        1.0, "Largest norm of the gradient of a tuned encoder and its head.", panel=TUNING, gt=0
    )
    head: Path | None = option(
        None,
        "File of a published EP head (state dict): judged on the test split, nothing is trained.",
        panel=PROBE,
    )
    options: Groups = option(
        {}, "Options of methods: method -> option -> values.", panel=PROBE, holds_groups=True
    )
    optimizer: Literal["adamw", "lars", "sgd"] = option(
        "adamw", "Optimizer of the heads.", panel=TRAINING
    )
    classifier: Literal["fitted", "trained"] = option(
        "fitted",
        "What a head is judged with: its classifier fitted by logistic regression to its pooling "
        "before training and at its best epoch; or as the optimizer left it.",
        panel=TRAINING,
    )
    c: PositiveFloats = option(
        (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
        "Inverse strengths of the fitted classifier's L2 penalty, scikit-learn's C; picked on "
        "validation.",
        panel=TRAINING,
    )
    class_weight: Literal["none", "balanced"] = option(
        "none",
        "Weight of images in the loss of heads and logreg: equal, or all classes alike.",
        panel=TRAINING,
    )
    lr: PositiveFloats = option(
        (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03),
        "Learning rates, trained side by side, picked on validation; of lars and sgd x batch / "
        "256.",
        panel=TRAINING,
    )
    weight_decay: float = option(0.0, "Weight decay of matrices.", panel=TRAINING, ge=0)
    epochs: int = option(30, "Passes over the training split.", panel=TRAINING, ge=1)
    warmup_epochs: float = option(
        1.0, "Passes over which the learning rate rises.", panel=TRAINING, ge=0
    )
    batch_size: int | None = option(
        None, "Effective batch; about a 32nd of train, 16 to 1024.", panel=TRAINING, ge=2
    )
    micro_batch: int | None = option(
        None,
        "Images a head pools at once; the batch, its normalisation and its gradient stay whole, "
        "only memory falls.",
        panel=TRAINING,
        ge=1,
    )
    patience: int = option(
        10,
        "Epochs without gain after warm-up that end a head's training; 0 trains all epochs.",
        panel=TRAINING,
        ge=0,
    )
    min_delta: float = option(
        0.0, "What counts as gain, in units of --select-by.", panel=TRAINING, ge=0
    )
    select_on: Literal["val", "test"] = option(
        "val", "Split that picks learning rate, epoch and k; results say so.", panel=TRAINING
    )
    select_by: str = option(
        "log_loss",
        "Metric that picks; knn's votes are no probabilities, for them a loss gives way to "
        "balanced_accuracy.",
        panel=TRAINING,
    )
    augment: Literal["none", "crops"] = option(
        "none",
        "What heads train on: stored features, or those of a new random crop of every image each "
        "epoch, for which the encoder runs every epoch (the EP paper).",
        panel=TRAINING,
    )
    views: int = option(
        0,
        "With --augment crops: extract this many crops of every training image once and train on "
        "them in turn; 0 makes new ones every epoch.",
        panel=TRAINING,
        ge=0,
    )
    seed: int = option(0, "Seed of heads and batches.", panel=REPEATS)
    num_seeds: int = option(1, "Seeds of the heads, from --seed on.", panel=REPEATS, ge=1)
    shots: Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(split_commas)] = (
        option(
            (),
            "Learn from this many images a class, of as many patients as there are: 1,5,10.",
            panel=REPEATS,
        )
    )
    label_fraction: Annotated[
        tuple[Annotated[float, Field(gt=0, le=1)], ...], BeforeValidator(split_commas)
    ] = option(
        (), "Learn from a share of the labels, by whole patients: 0.01,0.1,1.", panel=REPEATS
    )
    draws: int = option(1, "Draws of --shots and --label-fraction.", panel=REPEATS, ge=1)
    report: bool = option(
        True,
        "End the run with report.html, a page of its figures, and summary.md, a table to paste.",
        panel=PROBE,
        affects_result=False,
    )
    pictures: bool = option(
        True,
        "Show images in report.html: of each class, the worst mistakes; it goes where they may.",
        panel=PROBE,
        affects_result=False,
    )
    bank_memory: float | None = option(
        None,
        "GiB for training heads side by side; what does not fit is trained in further passes, to "
        "the same bits. Half of what is free.",
        panel=MACHINE,
        gt=0,
        affects_result=False,
    )
    store: Literal["auto", "disk", "memory", "online"] = option(
        "auto", "Where tokens are kept.", panel=MACHINE, affects_result=False
    )

    @property
    @override
    def needs_validation(self) -> bool:
        return self.select_on == "val"

    @property
    def reads_images(self) -> bool:
        """Whether images are read, or metadata alone."""
        return self.inputs.startswith("image")

    @property
    def named_inputs(self) -> str:
        """What rows of results say was read: extrapolated metadata are told from true ones."""
        if self.metadata is None:
            return self.inputs
        return {
            "image+meta": "image+extrapolated",
            "meta": "extrapolated",
        }.get(self.inputs, f"extrapolated {self.inputs}")
