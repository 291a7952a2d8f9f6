"""What does a training step cost beside a bare loop, and what does each head beside EP?

    make bench-step

First EP alone and a bank of 6 (a grid of learning rates) as `toolkit probe` trains them, beside the
least that does the same work: one loop with the same kernel, batch norm, classifier and fused
optimizer, without a schedule, a journal, a check or another head's possibility. Then every pooling,
each in a bank of its own, its step over EP's. Whole epochs on features in memory, CPU seconds of
one thread, all in one run; ratios are what counts. Expected: at most 1.3 of the bare loop, and all
poolings whose cost is `n q d` together at most 4 times a whole EP run of 90 epochs, the pass of the
encoder counted in both.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.harness import Step, cpu_seconds, write_report
from toolkit_common.backbones.load import load_backbone
from toolkit_common.features.contract import Features
from toolkit_common.features.store import MemoryStore
from toolkit_probing.heads.bank import HeadBank, sample_of
from toolkit_probing.heads.head import HeadSpec
from toolkit_probing.probes import POOLS
from toolkit_probing.probes.ep_kernel import ep_pool
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.training.compute import OneDevice
from toolkit_probing.training.examples import Examples
from toolkit_probing.training.loop import train_bank

SHAPES = ((16, 25, 1280), (64, 196, 384))  # b, n, d: EfficientNet-lite0 at 160 pixels, ViT-S/16
GRIDS = {25: (5, 5), 196: (14, 14)}
HEADS = (1, 6)
ROWS, FEW_STEPS = 512, 8  # images of an epoch of EP; steps of an epoch of the other heads
NUM_QUERIES, NUM_CLASSES, LAYER = 32, 10, 12
REPEATS = 9
TARGET, TARGET_ALL, EPOCHS = 1.3, 4.0, 90
WHOLE = ("dinovit", "abmilp", "dolg")  # map every token: reported apart
ENCODER = "timm:vit_small_patch16_224"  # 196 tokens of width 384
SETTINGS: Mapping[str, Any] = {
    "epochs": 1,
    "warmup_epochs": 0,
    "classifier": "trained",
    "patience": 0,
}


def main() -> None:
    """Measure both tables and write the report."""
    torch.manual_seed(0)
    rows = [row for shape in SHAPES for row in beside_bare(*shape)]
    encoder = encoder_seconds()
    heads = [row for shape in SHAPES for row in beside_ep(*shape)]
    write_report(
        "step",
        title="What a training step costs",
        rows=rows,
        more={"every pooling": heads},
        notes=notes(rows, heads, encoder),
        data={"encoder ms an image": 1e3 * encoder},
    )


def beside_bare(b: int, n: int, d: int, *, repeats: int = REPEATS) -> list[dict[str, Any]]:
    """Return a row for EP alone and for a bank, beside the bare loop of as many heads."""
    table = []
    for count in HEADS:
        specs = [spec("ep", lr=1e-4 * (at + 1)) for at in range(count)]
        tokens, targets, ours = epoch_of(specs, (b, n, d), ROWS)
        steps = {"ours": ours, "bare": bare_epoch(tokens, torch.from_numpy(targets), b, count)}
        seconds = cpu_seconds(steps, repeats=repeats)
        ratio = seconds["ours"] / seconds["bare"]
        in_ms = {name: 1e3 * value / (ROWS // b) for name, value in seconds.items()}
        table.append({"b": b, "n": n, "d": d, "heads": count, "bare ms": in_ms["bare"],
                      "ms": in_ms["ours"], "over bare": ratio})  # fmt: skip
    return table


def beside_ep(b: int, n: int, d: int, *, names: Iterable[str] = POOLS) -> list[dict[str, Any]]:
    """Return a row for every pooling of some, EP among them: a step of its head over EP's."""
    epochs = {name: epoch_of([spec(name)], (b, n, d), FEW_STEPS * b)[2] for name in names}
    seconds = {name: taken / FEW_STEPS for name, taken in cpu_seconds(epochs, repeats=3).items()}
    return [
        {"b": b, "n": n, "d": d, "head": name, "ms": 1e3 * taken, "over EP": taken / seconds["ep"]}
        for name, taken in sorted(seconds.items(), key=lambda item: item[1])
    ]


def spec(method: str, *, lr: float = 1e-3) -> HeadSpec:
    """Return a head with its pooling's default options."""
    options = {"num_queries": NUM_QUERIES} if method == "ep" else {}
    return HeadSpec(method, LAYER, "patches", lr, 0, options)


def epoch_of(
    specs: list[HeadSpec], shape: tuple[int, int, int], num_rows: int
) -> tuple[Tensor, np.ndarray, Step]:
    """Return tokens, targets, and an epoch of `train_bank` on them."""
    b, n, d = shape
    tokens = torch.randn(num_rows, n, d)
    source = MemoryStore({LAYER: Features({"mean": tokens.mean(1)}, tokens, GRIDS[n])})
    targets = np.random.default_rng(0).integers(0, NUM_CLASSES, num_rows)
    examples = Examples(source, targets, np.arange(num_rows))
    bank = HeadBank(specs, sample_of(source), num_classes=NUM_CLASSES)
    settings, compute = ProbeSettings(batch_size=b, **SETTINGS), OneDevice("cpu")
    return tokens, targets, lambda: train_bank(bank, examples, settings, compute=compute)


def bare_epoch(tokens: Tensor, targets: Tensor, b: int, count: int) -> Step:
    """Return the same epoch of EP heads, written out for them alone."""
    dim = tokens.shape[2]
    heads = [bare_head(dim) for _ in range(count)]
    weights = [weight for _, parameters in heads for weight in parameters]
    optimizer = torch.optim.AdamW(weights, lr=1e-3, fused=True)

    def epoch() -> None:
        order = torch.randperm(len(tokens))
        for rows in order.split(b):
            batch, classes = tokens.index_select(0, rows), targets[rows]
            optimizer.zero_grad()
            for logits, _ in heads:
                F.cross_entropy(logits(batch), classes).backward()
            optimizer.step()

    return epoch


def bare_head(dim: int) -> tuple[Callable[[Tensor], Tensor], list[nn.Parameter]]:
    """Return one EP head as a function of tokens, and its parameters."""
    queries = nn.Parameter(torch.randn(NUM_QUERIES, dim) * 0.02)
    values = nn.Parameter(torch.randn(dim, dim) * dim**-0.5)
    norm, classifier = nn.BatchNorm1d(dim, eps=1e-6, affine=False), nn.Linear(dim, NUM_CLASSES)

    def logits(tokens: Tensor) -> Tensor:
        return classifier(norm(ep_pool(tokens, queries * dim**-0.5, values)))

    return logits, [queries, values, *classifier.parameters()]


def encoder_seconds() -> float:
    """Return the CPU seconds of the encoder's forward pass on one image."""
    backbone, images = load_backbone(ENCODER, random_init=True), torch.randn(16, 3, 224, 224)

    def run() -> None:
        with torch.inference_mode():
            backbone.forward_layers(images)

    return cpu_seconds({"encoder": run}, repeats=5)["encoder"] / len(images)


def notes(rows: list[dict[str, Any]], heads: list[dict[str, Any]], encoder: float) -> list[str]:
    """Return what was expected and whether it holds."""
    worst = max(row["over bare"] for row in rows)
    ratio = together(heads, encoder)
    apart = {row["head"]: row["over EP"] for row in heads if row["d"] == SHAPES[-1][2]}
    return [
        f"Expected: at most {TARGET} times the bare loop; the worst is {worst:.2f}: "
        f"{verdict(worst <= TARGET)}. bare: the same kernel, batch norm, classifier and fused "
        "AdamW in a loop that can do nothing else.",
        f"Expected: all poolings but {', '.join(WHOLE)} together at most {TARGET_ALL:g} times a "
        f"whole EP run of {EPOCHS} epochs, the encoder's pass counted once in each ({ENCODER}, "
        f"{1e3 * encoder:.0f} ms an image; training images alone, which favours EP): {ratio:.2f}, "
        f"{verdict(ratio <= TARGET_ALL)}. Apart, steps over EP's at that size: "
        + ", ".join(f"{name} {apart[name]:.1f}" for name in WHOLE)
        + ".",
        f"Epochs of `train_bank` on features in memory in fp32, {NUM_QUERIES} queries, "
        f"{NUM_CLASSES} classes: CPU ms a step of one thread, medians of {REPEATS} interleaved "
        "repeats (3 of every pooling), the start of an epoch counted in.",
    ]


def together(heads: list[dict[str, Any]], encoder: float) -> float:
    """Return the cost of all light poolings over that of EP, at the encoder's own size."""
    b, _, d = SHAPES[-1]
    own: Mapping[str, float] = {row["head"]: row["ms"] / 1e3 / b for row in heads if row["d"] == d}
    light = sum(taken for name, taken in own.items() if name not in WHOLE)
    return (encoder + EPOCHS * light) / (encoder + EPOCHS * own["ep"])


def verdict(is_met: bool) -> str:
    """Return a word for it."""
    return "reached" if is_met else "missed"


if __name__ == "__main__":
    main()
