"""What does SLIMP cost beside the encoder it trains, and how does the rest grow?

    make bench-slimp

Four questions. A whole training step (metadata encoders, heads, losses, clipping, AdamW) against
forward and backward of the bare ViT-S on the same images, in time and memory, with the options that
trade them. Reading and augmenting the images beside it. How losses, aggregation and sampling grow
with lesions and patients (`lib.growth`). One process against two. Expected: a step at 0.9 of the
bare encoder's throughput.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from lib.growth import draw, measure_growth
from lib.harness import MIB, Step, command_cost, cpu_seconds, peak_memory, write_report
from toolkit_common.training.distributed import build_accelerator
from toolkit_slimp.model.slimp import SlimpModel
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.training.batches import Batch, BatchStream
from toolkit_slimp.training.setup import set_up
from toolkit_slimp.training.step import Learner

BACKBONE = "timm:vit_small_patch16_224"
PATIENTS = 11  # about 16 of the embedded lesions
BARE, FULL, DATA = "bare encoder", "SLIMP step", "images read and augmented"
FORMS: Mapping[str, Mapping[str, Any]] = {
    FULL: {},
    "lesion-only": {"lesion_weight": 1.0},
    "attention phenotype": {"phenotype": "attention"},
    "moving average": {"ema": 0.999},
    "4 lesions a pass": {"lesions_per_pass": 4},
    "gradient checkpointing": {"grad_checkpointing": True},
    "image term (two views)": {"image_weight": 1.0},
}
TARGET = 0.9  # of the bare encoder's throughput
REPEATS = 3


def main() -> None:
    """Measure everything and write the report."""
    options = read_arguments()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        parts = {
            name: build_part(options.backbone, Path(place), values)
            for name, values in FORMS.items()
        }
        steps: dict[str, Step] = {BARE: bare_step(parts[FULL].learner.model, parts[FULL].batch)}
        steps |= {name: part.step for name, part in parts.items()}
        steps[DATA] = parts[FULL].read
        seconds = cpu_seconds(steps, repeats=options.repeats)
        memory = {name: peak_memory(step) / MIB for name, step in steps.items() if name != DATA}
        del steps
        growth = measure_growth(parts[FULL].learner.model, parts[FULL].learner.table)
        processes = [measure_processes(options.backbone, Path(place), count) for count in (1, 2)]
    lesions = {name: len(part.batch.rows) for name, part in parts.items()}
    write_report(
        "slimp",
        title="What a SLIMP step costs beside its encoder",
        rows=[row_of(name, seconds, memory) for name in memory],
        notes=notes(options.backbone, seconds, lesions[FULL], processes),
        figure=draw(growth),
        more={"How the rest grows": growth, "One process and two": processes},
    )


def read_arguments() -> argparse.Namespace:
    """Read the command line; the defaults are the benchmark's setting."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backbone", default=BACKBONE)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    return parser.parse_known_args()[0]


@dataclass(frozen=True)
class Part:
    """A run's learner, its first batch and where it came from."""

    learner: Learner
    stream: BatchStream
    batch: Batch

    def step(self) -> None:
        """Update the weights once."""
        self.learner.step_(self.batch, 1)

    def read(self) -> None:
        """Read and augment the batch again."""
        next(self.stream.batches(0, 1))


def build_part(
    backbone: str,
    place: Path,
    values: Mapping[str, Any],
    *,
    device: str = "cpu",
    precision: str = "auto",
) -> Part:
    """Build what `toolkit pretrain slimp` builds, on the embedded lesions."""
    chosen = {"patients_per_batch": PATIENTS, **values}
    settings = SlimpSettings(backbone=backbone, random_init=True, **chosen)
    accelerator = build_accelerator(device=device, precision=precision)
    setup = set_up(settings, accelerator)
    stream = setup.stream
    learner = Learner(setup.stepper, stream.table, place, total_steps=100)
    return Part(learner, stream, next(stream.batches(0, 1)).to(accelerator.device))


def bare_step(model: SlimpModel, batch: Batch, accelerator: Accelerator | None = None) -> Step:
    """Return forward and backward of the image encoder alone, for what SLIMP reads of it."""
    images = model.preprocess.normalize(batch.images)
    parameters = list(model.image_encoder.parameters())

    def step() -> object:
        model.train()
        with nullcontext() if accelerator is None else accelerator.autocast():
            vectors = model.encode_images(images)
        return torch.autograd.grad(vectors.float().sum(), parameters, allow_unused=True)

    return step


def measure_processes(backbone: str, place: Path, count: int) -> dict[str, Any]:
    """Run an epoch of the command in some processes and return what it logged and took."""
    folder = place / f"processes-{count}"
    cost = command_cost(
        sys.executable, "-m", "toolkit_common", "pretrain", "slimp", "--backbone", backbone,
        "--random-init", "--epochs", "1", "--patients-per-batch", str(PATIENTS), "--bank-size", "0",
        "--num-processes", str(count), "--output", folder, "--no-report",
    )  # fmt: skip
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    logged = [json.loads(line) for line in lines]
    return {
        "processes": count,
        "lesions a second": sum(line["lesions_per_s"] for line in logged) / len(logged),
        "waiting for data": f"{sum(line['data_wait'] for line in logged) / len(logged):.1%}",
        "CPU seconds": cost.cpu_seconds,
        "MiB of the largest process": cost.peak_rss / MIB,
        "last loss": logged[-1]["loss"],
    }


def row_of(name: str, seconds: Mapping[str, float], memory: Mapping[str, float]) -> dict[str, Any]:
    """Return a row of the table of steps."""
    return {
        "step": name,
        "CPU ms": 1e3 * seconds[name],
        "throughput / bare": seconds[BARE] / seconds[name],
        "MiB": memory[name],
        "memory / bare": memory[name] / memory[BARE],
    }


def notes(
    backbone: str, seconds: Mapping[str, float], lesions: int, processes: list[dict[str, Any]]
) -> list[str]:
    """Return what the figures are, and what they do not say."""
    share = seconds[BARE] / seconds[FULL]
    verdict = "reached" if share >= TARGET else "missed"
    waiting = seconds[DATA] / (seconds[DATA] + seconds[FULL])
    pair = [row["lesions a second"] for row in processes]
    return [
        f"{backbone}, random weights, a batch of {lesions} of the embedded lesions in fp32: CPU ms "
        "of one thread, medians of interleaved repeats; MiB: the most that torch held beyond "
        "what was there before: gradients and activations, neither weights nor optimizer state.",
        f"Bare: forward and backward of the encoder. A SLIMP step reaches {share:.3f} of its "
        f"throughput, with clipping and AdamW in the step: the target of {TARGET} is {verdict}.",
        f"Reading and augmenting these images takes {1e3 * seconds[DATA]:.0f} ms beside the step, "
        f"{waiting:.1%} of both, if nothing reads ahead; the embedded images are small ones.",
        "Exponent: of the growth from the row before; 1 is linear. The losses compare all pairs of "
        "a batch, which is bounded (--patients-per-batch x --lesions-per-patient); whatever grows "
        "with the data set is linear.",
        f"Two processes of one thread each on this machine's cores, other work beside them: "
        f"{pair[1] / pair[0]:.2f} times the lesions a second; wall time of shared cores is noise.",
    ]


if __name__ == "__main__":
    main()
