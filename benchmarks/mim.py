"""Pre-train a small ViT by MAE, by labels or by SimCLR: encoders of one size from the same images.

    python benchmarks/mim.py mae --data imagefolder:PATH --output runs/mim/mae
    python benchmarks/mim.py supervised --data imagefolder:PATH --output runs/mim/supervised
    toolkit probe --backbone runs/mim/mae --data imagefolder:PATH

What `ep_claims` compares; no pre-training to build upon. The training split is learned, images are
held in memory as bytes. A run that was stopped goes on with the same command, to the same weights.
On a GPU take a ViT-S and more pixels: --image-size 96 --patch-size 8 --width 384 --depth 12
--heads 6 --batch-size 1024 --epochs 40. It ends with an exported encoder and `checks.json`: MAE's
loss on held-out images beside that of predicting each patch's mean, and linear probing beside that
of random weights.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from lib.objectives import (
    OBJECTIVES,
    Kind,
    MaskedAutoencoder,
    draw_kept,
    masked_loss,
    normalised_patches,
    positions,
)
from lib.pretraining import Work, doubts, train_
from toolkit_common.backbones.contract import Card
from toolkit_common.backbones.exported import export_encoder
from toolkit_common.backbones.ids import parse_backbone_id
from toolkit_common.backbones.load import build_encoder
from toolkit_common.cli.app import app
from toolkit_common.console import console
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError
from toolkit_common.launched import EXIT_INTERRUPTED
from toolkit_common.runs.files import read_json, write_json
from toolkit_common.seed import generator, seed_everything
from toolkit_common.seen.record import build_record, write_seen
from toolkit_common.seen.secret import make_secret
from toolkit_common.sharing.provenance import public_data
from toolkit_common.sources.load import load_data
from toolkit_common.training.distributed import build_accelerator
from toolkit_probing.results.contents import read_results

HELD_OUT = 4096  # images that the loss is measured on
UNKEPT = ("data", "output", "check_data", "device")  # of the arguments: places of a machine
CARDS: Mapping[Kind, Card] = {
    "mae": Card("cls", "patches", "masked reconstruction (MAE)", "class token, not acted on"),
    "supervised": Card("cls", "all", "supervised", "class token, which is classified"),
    "simclr": Card("cls", "all", "contrastive (SimCLR)", "class token, which is compared"),
}


def main() -> None:
    """Pre-train, export and check."""
    given = read_arguments()
    try:
        folder = pretrain(given)
        checks = check(folder, given)
    except InputError as error:
        console.print(f"error: {error}", markup=False)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        console.print("stopped, the state is saved: the same command goes on", markup=False)
        raise SystemExit(EXIT_INTERRUPTED) from None
    write_json(folder / "checks.json", checks)
    for name, value in checks.items():
        console.print(f"{name}: {value:.4g}", markup=False)
    if doubt := doubts(checks):
        console.print(doubt, style="bold red", markup=False)


def read_arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; the defaults take an hour or less on a core."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("objective", choices=get_args(Kind))
    add("--data", required=True, help="id of a data set, as toolkit probe takes it")
    add("--output", type=Path, required=True, help="folder of the run; what is there counts")
    add("--check-data", help="id of the data set of the linear probe; --data by default")
    add("--architecture", default="vit_tiny_patch16_224", help="timm's ViT whose sizes follow")
    add("--image-size", type=int, default=32)
    add("--patch-size", type=int, default=4)
    add("--width", type=int, default=96)
    add("--depth", type=int, default=6)
    add("--heads", type=int, default=3)
    add("--epochs", type=int, default=15)
    add("--batch-size", type=int, default=128)
    add("--lr", type=float, default=1e-3)
    add("--seed", type=int, default=0)
    add("--device", default="auto", choices=("auto", "cpu", "cuda"))
    return parser.parse_args(words)


def pretrain(given: argparse.Namespace) -> Path:
    """Carry out a run, or what is left of it; returns its folder, which holds the encoder.

    Raises:
        InputError: If the data cannot be read, or the folder holds another run.
    """
    folder: Path = given.output
    keep_arguments(folder, given)
    if not (folder / "encoder/encoder.json").exists():
        work = set_up(given)
        train_(work)
        export(folder, work)
    return folder


def keep_arguments(folder: Path, given: argparse.Namespace) -> None:
    """Write what a run was started with, and refuse to continue it with anything else.

    Raises:
        InputError: If the folder holds a run of other arguments.
    """
    kept = {name: value for name, value in vars(given).items() if name not in UNKEPT[1:]}
    file = folder / "arguments.json"
    before = read_json(file) if file.exists() else kept
    other = [name for name in kept if before.get(name) != kept[name]]
    if other:
        raise InputError(
            f"{folder} holds a run with {other[0]}={before.get(other[0])!r}, got "
            f"{kept[other[0]]!r}: choose another --output"
        )
    write_json(file, kept)


def set_up(given: argparse.Namespace) -> Work:
    """Read the data set's rows and build the encoder with its objective."""
    accelerator = build_accelerator(device=given.device)
    data = load_data(given.data)
    splits = make_splits(data)
    labels = data.labels() if given.objective == "supervised" else None
    targets = np.zeros(len(data), np.int64) if labels is None else labels.targets
    train = splits.train[targets[splits.train] >= 0]
    encoder, _ = build_encoder(
        parse_backbone_id(architecture_of(given)), random_init=True, seed=given.seed
    )
    vit: Any = encoder.model
    if len(train) < given.batch_size:
        raise InputError(
            f"{data.id!r} has {len(train)} training images, less than a batch of "
            f"{given.batch_size}: choose a smaller --batch-size"
        )
    with torch.no_grad():  # where MAE starts from, and stays; a table of noise learns slowly
        vit.pos_embed[:, 1:] = positions(vit, given.width)
    seed_everything(given.seed, "objective")
    objective = OBJECTIVES[given.objective](vit, len(labels.classes) if labels else 0)
    objective.to(accelerator.device)
    return Work(given, data, targets, train, splits.val, encoder, objective, accelerator)


def architecture_of(given: argparse.Namespace) -> str:
    """Write the architecture as timm reads it and return its id."""
    folder = given.output / "architecture"
    size = given.image_size
    write_json(
        folder / "config.json",
        {
            "architecture": given.architecture,
            "num_classes": 0,
            "model_args": {
                "img_size": size,
                "patch_size": given.patch_size,
                "embed_dim": given.width,
                "depth": given.depth,
                "num_heads": given.heads,
            },
            "pretrained_cfg": {
                "input_size": [3, size, size],
                "fixed_input_size": True,
                "interpolation": "bicubic",
                "crop_pct": 1.0,
                "mean": [0.5, 0.5, 0.5],
                "std": [0.5, 0.5, 0.5],
            },
        },
    )
    return f"timm:local-dir:{folder}"


def export(folder: Path, work: Work) -> None:
    """Write the encoder, with whom it has seen, and for MAE what it reconstructs."""
    given, train = work.given, work.train
    facts = {}
    if isinstance(work.objective, MaskedAutoencoder):
        facts = reconstruction(work, work.objective)
    reader, secret = public_data(work.data.id), make_secret()
    record = build_record(work.data, train, train, secret=secret, reader=reader)
    seen = write_seen(folder / "encoder", [record])
    settings = {name: value for name, value in vars(given).items() if name not in UNKEPT}
    export_encoder(
        folder / "encoder",
        work.encoder,
        architecture=architecture_of(given),
        card=CARDS[given.objective],
        provenance={
            "method": given.objective,
            "data": reader,
            "start": "random",
            "steps": given.epochs * (len(train) // given.batch_size),
            "settings": settings,
            "seen": seen,
            **facts,
        },
    )


@torch.inference_mode()
def reconstruction(work: Work, objective: MaskedAutoencoder) -> dict[str, float]:
    """Return the loss of masked patches on held-out images, and that of predicting the mean."""
    objective.eval()
    rows = drawn(work.held_out, HELD_OUT, work.given.seed)
    losses, means = [], []
    for number, images in enumerate(work.read(rows).split(256)):
        pixels = work.encoder.preprocess.normalize(images.to(work.device))
        targets = normalised_patches(pixels, objective.side)
        draws = generator(work.given.seed, "held out", number)
        kept = draw_kept(len(images), targets.shape[1], draws).to(work.device)
        losses.append(len(images) * masked_loss(objective.reconstruct(pixels, kept), targets, kept))
        means.append(len(images) * masked_loss(torch.zeros_like(targets), targets, kept))
    return {
        "held-out loss of masked patches": float(sum(losses)) / len(rows),
        "held-out loss of predicting the mean": float(sum(means)) / len(rows),
    }


def drawn(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return so many of some rows, or all: a folder's come class by class, the first are of few."""
    order = torch.randperm(len(rows), generator=generator(seed, "held-out images"))
    picked: np.ndarray = rows[order[:count].numpy()]
    return picked


def check(folder: Path, given: argparse.Namespace) -> dict[str, float]:
    """Return the figures by which one sees that an encoder has learned.

    Raises:
        InputError: If a probe has failed, which has said why.
    """
    provenance = read_json(folder / "encoder/encoder.json")["provenance"]
    checks = {name: value for name, value in provenance.items() if name.startswith("held-out")}
    for name, words in (("trained", ()), ("random", ("--random-init",))):
        output = folder / f"linear-{name}"
        arguments = (
            "probe", "--method", "linear", "--backbone", folder, "--output", output, *words,
            "--data", given.check_data or given.data, "--device", given.device, "--overwrite",
            "--store-dir", folder / "store",
        )  # fmt: skip
        code = app(list(map(str, arguments)), standalone_mode=False)
        if code == EXIT_INTERRUPTED:
            raise KeyboardInterrupt
        if code:
            raise InputError(
                f"the probe of {folder} has ended with code {code}: mend what it says above, the "
                "same command goes on from there"
            )
        checks[f"linear probing, top-1, {name}"] = (
            read_results(output).rows[0].metrics["top1"].mean or 0.0
        )
    return checks


if __name__ == "__main__":
    main()
