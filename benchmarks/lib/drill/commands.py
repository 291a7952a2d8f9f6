"""The commands that are disturbed, or shared among processes, and the few lesions they read.

Small, so that a run takes a second: 97 lesions of 49 patients, which no number of processes and no
batch divides, and a ViT of 0.3 M parameters at 32 x 32 pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

PATIENTS = 49  # of 20 held-out ones on, columns are extrapolated
SPLITS = ("train", "val", "train", "val", "test")
SHADES = {"dark": 40, "mid": 128, "light": 215}
ENCODER = ["--backbone", "timm:test_vit?image_size=32", "--random-init"]

# Files whose first one, below a case's folder, begins a stage.
TOKENS = "cache/features/*/tokens-*.xxh3"
VECTORS = "cache/features/*/vectors-*.xxh3"
INDEX = "cache/features/*/index.json"
STEP = "out/checkpoints/**/step-*.pt"
BEGUN = "out/run.json"

STUDY = """\
name: drilled
question: Does anything get lost?
steps:
  pretrain:
    command: pretrain slimp
    grid: {{draw: {{first: {{seed: 0}}, second: {{seed: 1}}}}}}
    options: {{data: "{data}", backbone: "timm:test_vit?image_size=32", random_init: true,
              epochs: 2, metadata_dim: 16, embed_dim: 16, patients_per_batch: 4, report: false}}
  probe:
    command: probe
    needs: pretrain
    options: {{data: "{data}", backbone: "{{pretrain}}", method: "linear,knn", c: "0.01,1",
              report: false}}
table:
  rows: [draw, method]
  metrics: balanced_accuracy
"""


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        words: Behind `toolkit`; `--output` follows.
        signs: Patterns of files, below a case's folder, after whose first one it may be ended.
        output: Name of what it writes.
        resumes: Whether `--resume` is added after it was ended.
    """

    words: Sequence[object]
    signs: Sequence[str] = ()
    output: str = "out"
    resumes: bool = True


@dataclass(frozen=True)
class Places:
    """What commands read: two data sets, a study's file, a finished pre-training and a probe."""

    data: str
    others: str
    study: Path
    run: Path
    probed: Path

    @property
    def probe(self) -> list[object]:
        """A probe, up to its methods."""
        return ["probe", "--data", self.data, *ENCODER, "--epochs", "2", "--batch-size", "7",
                "--c", "0.01,1", "--no-report", "--method"]  # fmt: skip

    @property
    def probe_of_a_run(self) -> list[object]:
        """A probe of what was pre-trained, of images and metadata."""
        return ["probe", "--data", self.others, "--backbone", self.run, "--inputs", "image+meta",
                "--epochs", "2", "--batch-size", "7", "--c", "0.01,1", "--no-report", "--method",
                "ep,linear,knn", "--lr", "0.003", "--classifier", "trained"]  # fmt: skip

    @property
    def pretrain(self) -> list[object]:
        """A pre-training."""
        return ["pretrain", "slimp", "--data", self.data, *ENCODER, "--metadata-dim", "16",
                "--embed-dim", "16", "--patients-per-batch", "5", "--epochs", "2",
                "--no-report"]  # fmt: skip

    @property
    def adapt(self) -> list[object]:
        """A pre-training that goes on from another."""
        return ["pretrain", "slimp", "--from", self.run, "--data", self.others,
                "--patients-per-batch", "5", "--epochs", "2", "--no-report"]  # fmt: skip


def build_commands(at: Places) -> dict[str, Command]:
    """Return the commands by name."""
    ep = ["ep", "--set", "ep.num_queries=4", "--lr", "0.003"]
    every = ["all", "--lr", "0.003"]
    trained = ["--classifier", "trained"]
    reads, learns = (TOKENS, INDEX, STEP, STEP, BEGUN), (STEP, STEP, BEGUN)
    probes: dict[str, tuple[Sequence[object], Sequence[str]]] = {
        "extraction": (ep, (TOKENS, VECTORS)),
        "several heads": (["ep,simpool,abmilp", "--lr", "0.001,0.01"], reads),
        "fitted on vectors": (["linear,knn,logreg"], (VECTORS, BEGUN)),
        "tuning by LoRA": ([*ep, "--tune", "lora"], learns),
        "tuning all": ([*ep, "--tune", "full"], learns),
        "crops": ([*ep, "--augment", "crops", *trained], (INDEX, STEP, STEP)),
        "views": ([*ep, "--augment", "crops", "--views", "2", *trained], reads),
        "layers": ([*ep, "--layers", "3,6"], reads),
        "shots": (["ep,linear", "--shots", "2,5", "--draws", "2", *trained], reads),
        "folds": (["ep,knn", "--folds", "3", "--lr", "0.003"], (INDEX, "out/fold-1/run.json")),
        "all methods": (every, ()),
        "all methods, classifiers trained": ([*every, *trained], ()),
        "LARS": (["ep,linear,abmilp", "--optimizer", "lars", *trained], ()),
        "SGD": (["ep,linear,abmilp", "--optimizer", "sgd", *trained], ()),
        "shares of the labels": (["ep,linear", "--label-fraction", "0.3,1", "--lr", "0.003"], ()),
        "four images a step": ([*ep, "--batch-size", "4", *trained], ()),
    }
    pretrainings = {
        "pre-training": (at.pretrain, learns),
        "pre-training in pieces": ([*at.pretrain, "--lesions-per-pass", "3"], learns),
        "pre-training by SimCLR": ([*at.pretrain, "--ablation", "simclr"], learns),
        "pre-training, averaged": ([*at.pretrain, "--ema", "0.9"], learns),
        "adapting": (at.adapt, learns),
        "adapting all": ([*at.adapt, "--train", "all"], learns),
    }
    study = ("out/pretrain/*/run.json", "out/pretrain/*/DONE", "out/probe/*/run.json")
    return {
        **{name: Command([*at.probe, *words], signs) for name, (words, signs) in probes.items()},
        **{name: Command(words, signs) for name, (words, signs) in pretrainings.items()},
        "images and metadata": Command(at.probe_of_a_run),
        "extrapolating": Command(
            ["extrapolate", "slimp", "--from", at.run, "--data", at.others, "--reference", at.data],
            output="out.parquet", resumes=False),
        "study": Command(["study", "run", at.study, "--jobs", "2"], study, resumes=False),
        "report": Command(["report", at.probed], output="out.html", resumes=False),
        "attention": Command(["attention", "--from", at.probed], output="out.png", resumes=False),
    }  # fmt: skip


def write_lesions(folder: Path, *, seed: int, prefix: str) -> str:
    """Write lesions whose brightness tells `shade` and `age`; returns the data set's id."""
    folder.mkdir(parents=True)
    draws, lines = np.random.default_rng(seed), ["image,label,group,split,shade,age"]
    names = list(SHADES)
    for patient in range(PATIENTS):
        base, split = int(draws.integers(0, 3)), SPLITS[patient % len(SPLITS)]
        for lesion in range(1 + (patient + seed) % 3):
            shade, name = (base + lesion) % 3, f"{patient}-{lesion}.png"
            pixels = draws.normal(SHADES[names[shade]], 8, (16, 16, 3)).clip(0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
            label = ("dark", "light")[int(shade + draws.normal(0, 1) > 1)]
            age = 20 + 20 * base
            lines.append(f"{name},{label},{prefix}{patient},{split},{names[shade]},{age}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"csv:{folder / 'table.csv'}"
