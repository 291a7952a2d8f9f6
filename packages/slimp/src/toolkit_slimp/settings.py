"""The settings of `toolkit pretrain slimp`: each field is an option, its help and its default."""

from typing import Literal

from toolkit_common.config import Settings, option

DATA, MODEL, LOSS, TRAINING, MACHINE = "Data", "Model", "Loss", "Training", "Machine"


class SlimpSettings(Settings):
    """What to pre-train, on what, how."""

    data: str = option(
        "lesions",
        "Data set with metadata: lesions, pad-ufes-20:PATH, csv:FILE.",
        panel=DATA,
        flag="-d",
    )
    split_seed: int = option(
        0,
        "Seed of the patient-disjoint splits; probes with the same seed keep test patients unseen.",
        panel=DATA,
    )
    bad_files: Literal["error", "skip"] = option(
        "error", "What to do about images that do not decode.", panel=DATA
    )
    backbone: str | None = option(
        None,
        "Image encoder: timm:NAME, open_clip:NAME@TAG, or an exported folder; ?weights=FILE, "
        "?image_size=N may follow. Without one a small untrained ViT stands in.",
        panel=MODEL,
        flag="-b",
    )
    random_init: bool = option(
        False, "Start from random weights instead of the encoder's own.", panel=MODEL
    )
    allow_partial: bool = option(
        False, "Accept a weights file that does not fill the encoder.", panel=MODEL
    )
    metadata_dim: int = option(128, "Width of the metadata encoders.", panel=MODEL, ge=4)
    metadata_depth: int = option(2, "Blocks of the metadata encoders.", panel=MODEL, ge=1)
    metadata_heads: int = option(4, "Attention heads of the metadata encoders.", panel=MODEL, ge=1)
    embed_dim: int = option(128, "Width of the contrastive embeddings.", panel=MODEL, ge=2)
    lesion_weight: float = option(
        0.5, "Weight of the lesion loss against the patient loss (lambda).", panel=LOSS, ge=0, le=1
    )
    temperature: float = option(0.1, "Temperature of both losses.", panel=LOSS, gt=0)
    learn_temperature: bool = option(
        False, "Train the temperatures, from --temperature on, down to 0.01.", panel=LOSS
    )
    patient_positives: Literal["diagonal", "same_metadata"] = option(
        "diagonal",
        "Whether patients with identical metadata count as matches of each other.",
        panel=LOSS,
    )
    epochs: int = option(30, "Times that every training patient is seen.", panel=TRAINING, ge=1)
    patients_per_batch: int = option(32, "Patients a batch (P).", panel=TRAINING, ge=2)
    lesions_per_patient: int = option(
        16, "Most lesions of one patient in a batch (L).", panel=TRAINING, ge=1
    )
    lr: float = option(3e-4, "Peak learning rate of metadata encoders and heads.", panel=TRAINING)
    image_lr: float = option(1e-4, "Peak learning rate of the image encoder.", panel=TRAINING)
    weight_decay: float = option(0.05, "Weight decay of matrices.", panel=TRAINING, ge=0)
    warmup: float = option(
        0.1, "Share of the steps in which the learning rate rises.", panel=TRAINING, ge=0, lt=1
    )
    clip_grad: float = option(1.0, "Largest gradient norm.", panel=TRAINING, gt=0)
    metadata_dropout: float = option(
        0.15, "Share of metadata values hidden in training.", panel=TRAINING, ge=0, lt=1
    )
    seed: int = option(0, "Seed of weights, batches and augmentation.", panel=TRAINING)
    device: Literal["auto", "cpu", "cuda"] = option(
        "auto", "CUDA where there is one.", panel=MACHINE
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = option(
        "auto", "bf16 on CUDA, fp32 on CPU.", panel=MACHINE
    )
    num_workers: int | None = option(
        None,
        "Processes that decode images; 0 beside a CPU encoder, else up to 16.",
        panel=MACHINE,
        ge=0,
        affects_result=False,
    )
