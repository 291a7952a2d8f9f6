"""Does everything run on an accelerator, and how near to its limits?

    make gpu-check                          # on a machine with a GPU: at most eight minutes
    python benchmarks/gpu_check.py --device cpu --tiny   # the script itself, anywhere

Runs every test marked `gpu` (where pytest is installed), then measures on one device: kernels and
waits of a step; EP beside its literal form and beside `mhca`; the tokens it reads a second beside
the memory's bandwidth, measured in the same run; a bank beside a head; a step of SLIMP beside its
bare encoder; extraction beside the encoder alone. Expected: EP at least 4 times the literal form,
tokens at half of the bandwidth, SLIMP at 0.95 of its encoder, no wait in a step. Only a run on a
GPU, not `--tiny`, writes `results/gpu.md`. Exit code 1 where a part failed: the others are measured
all the same.
"""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import Dataset
from typing_extensions import override

from lib.harness import Step, markdown_table, write_report
from lib.literal_probes import LITERAL
from slimp import bare_step, build_part
from toolkit_common.backbones.load import load_backbone
from toolkit_common.data.loaders import chunks
from toolkit_common.features.codec import keep
from toolkit_common.features.contract import Features
from toolkit_common.features.encode import Extraction, RowEncoder
from toolkit_common.features.store import MemoryStore
from toolkit_common.sources.load import load_data
from toolkit_common.training.distributed import build_accelerator
from toolkit_common.training.interrupt import Interruption
from toolkit_common.training.late import Agreement
from toolkit_probing.heads.bank import HeadBank, sample_of
from toolkit_probing.heads.head import HeadSpec
from toolkit_probing.probes import POOLS
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.training.examples import Examples
from toolkit_probing.training.loop import _Trainer
from toolkit_probing.training.plan import TrainingPlan

ROOT = Path(__file__).parents[1]
SECONDS = 300  # that tests may take: the whole has eight minutes
QUERIES, CLASSES, LAYER = 32, 1000, 12
READS = 4  # of all tokens in a step of EP: scores, sums, and the gradients of both
WAITS = (  # of an event is none of them: it is of the step before
    "cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaMemcpy", "aten::_local_scalar_dense",
    "aten::nonzero",
)  # fmt: skip
SETTINGS: Mapping[str, Any] = {"epochs": 1, "classifier": "trained", "patience": 0}


@dataclass(frozen=True)
class Sizes:
    """How large what is measured is.

    Attributes:
        shape: Batch b, tokens n (a square) and width d of a step of heads.
        heads: Of the banks.
        backbone: That SLIMP trains and that extracts.
        patients: Of a step of SLIMP.
        images: That are extracted.
        seconds: That a measurement takes.
    """

    shape: tuple[int, int, int] = (256, 196, 768)
    heads: tuple[int, ...] = (1, 6, 24)
    backbone: str = "timm:vit_base_patch16_224"
    patients: int = 64
    images: int = 4096
    seconds: float = 2.0


TINY = Sizes((4, 9, 64), (1, 2), "timm:test_vit?image_size=32", 4, 32, 0.01)


def main() -> None:
    """Run all parts, print their tables, and write the report on a GPU."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="sizes that take no time")
    options = parser.parse_known_args()[0]
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("torch sees no GPU here: run on one, or the script itself by --device cpu --tiny")
    bench = Bench(torch.device(options.device), TINY if options.tiny else Sizes())
    tables: dict[str, list[dict[str, Any]]] = {}
    failed: list[str] = []
    for name, part in PARTS.items():
        start = time.monotonic()
        try:
            tables[name] = part(bench)
            print("\n".join([f"## {name}", "", *markdown_table(tables[name])]), flush=True)
        except Exception:  # the device is lent for minutes: the other parts are still worth them
            traceback.print_exc()
            failed.append(name)
        print(f"({time.monotonic() - start:.0f} s)\n", flush=True)
    if options.device == "cuda" and tables and not options.tiny:
        first, *others = tables
        expected = " ".join((__doc__ or "").partition("Runs every")[2].split())
        write_report(
            "gpu",
            title="On a GPU",
            rows=tables[first],
            more={name: tables[name] for name in others},
            notes=[f"Runs every {expected}", *(f"Failed: {name}." for name in failed)],
            target="gpu-check",
        )
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


class Bench:
    """A device, and what is measured there."""

    def __init__(self, device: torch.device, sizes: Sizes) -> None:
        self.device = device
        self.sizes = sizes
        self.accelerator = build_accelerator(device=device.type, precision="bf16")

    def seconds(self, step: Step) -> float:
        """Return the wall seconds of a step, the median of five runs of many."""
        step()
        count = max(1, int(self.sizes.seconds / 5 / max(self._run(step, 1), 1e-6)))
        return statistics.median(self._run(step, count) for _ in range(5))

    def _run(self, step: Step, count: int) -> float:
        self.wait()
        start = time.perf_counter()
        for _ in range(count):
            step()
        self.wait()
        return (time.perf_counter() - start) / count

    def wait(self) -> None:
        """Wait until the device has done what was asked of it."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def counts(self, step: Step) -> dict[str, float]:
        """Return kernels (operators of torch on a CPU) and waits of a step."""
        step()
        # The profiler waits too, once however many steps there are.
        few, many = (self._counted(step, count) for count in (1, 6))
        return {name: (many[name] - few[name]) / 5 for name in few}

    def _counted(self, step: Step, count: int) -> dict[str, int]:
        kinds = [ProfilerActivity.CPU]
        if self.device.type == "cuda":
            kinds.append(ProfilerActivity.CUDA)
        with profile(activities=kinds) as profiled:
            for _ in range(count):
                step()
            self.wait()
        events = profiled.events()
        assert events is not None
        on_device = [item for item in events if item.device_type.name == self.device.type.upper()]
        copies = ("Memcpy", "Memset")
        return {
            "kernels": sum(not item.name.startswith(copies) for item in on_device),
            "waits": sum(item.name in WAITS for item in events),
        }


def run_tests(bench: Bench) -> list[dict[str, Any]]:
    """Run the tests that are marked `gpu`."""
    files = [file for file in sorted((ROOT / "tests").rglob("test_*.py")) if _is_marked(file)]
    if importlib.util.find_spec("pytest") is None:
        return [{"tests": f"pytest is not installed: {len(files)} files of tests did not run"}]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
    device = {"TOOLKIT_TEST_DEVICE": bench.device.type}  # a rehearsal, on a CPU
    done = subprocess.run([*command, *files], check=False, cwd=ROOT, capture_output=True, text=True,
                          env=os.environ | device, timeout=SECONDS)  # fmt: skip
    last = (done.stdout.strip().splitlines() or ["nothing"])[-1].strip("= ")
    if done.returncode:
        print(done.stdout[-6000:], done.stderr[-2000:], sep="\n")
        raise RuntimeError(f"tests on {bench.device}: {last}")
    return [{"tests": last}]


def _is_marked(file: Path) -> bool:
    return any(mark in file.read_text(encoding="utf-8") for mark in ("@on_gpu", "mark.gpu"))


def measure_pools(bench: Bench) -> list[dict[str, Any]]:
    """EP beside its literal form and `mhca`, forward and backward, and the memory's bandwidth."""
    b, n, d = bench.sizes.shape
    tokens = torch.randn(b, n, d, device=bench.device).bfloat16()
    options = {"ep": {"num_queries": QUERIES}}
    pools = {name: POOLS[name](d, **options.get(name, {})).to(bench.device)
             for name in ("ep", "mhca")}  # fmt: skip
    literal = LITERAL["ep"]
    forms: Mapping[str, Callable[[], torch.Tensor]] = {
        "literal EP": lambda: literal(pools["ep"], tokens),
        "EP": lambda: pools["ep"](tokens),
        "mhca": lambda: pools["mhca"](tokens),
    }
    seconds = {name: bench.seconds(_both_ways(bench, form)) for name, form in forms.items()}
    bandwidth = measure_bandwidth(bench)
    size = tokens.numel() * tokens.element_size()
    return [
        {"pooling": name, "ms": 1e3 * taken, "times faster than literal":
         seconds["literal EP"] / taken, "tokens a second": b * n / taken,
         "GB/s of tokens, once": size / taken / 1e9,
         f"share of bandwidth, {READS} reads": READS * size / taken / bandwidth}
        for name, taken in seconds.items()
    ] + [{"pooling": f"(a copy: {bandwidth / 1e9:,.0f} GB/s)", "ms": None,
          "times faster than literal": None, "tokens a second": None,
          "GB/s of tokens, once": None, f"share of bandwidth, {READS} reads": None}]  # fmt: skip


def _both_ways(bench: Bench, form: Callable[[], torch.Tensor]) -> Step:
    def step() -> None:
        with bench.accelerator.autocast():
            pooled = form()
        pooled.float().sum().backward()

    return step


def measure_bandwidth(bench: Bench) -> float:
    """Return the bytes a second of a large copy, read and written."""
    count = (1 << 28) if bench.device.type == "cuda" else (1 << 20)
    source = torch.ones(count, device=bench.device)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / bench.seconds(lambda: target.copy_(source))


def measure_banks(bench: Bench) -> list[dict[str, Any]]:
    """Return steps of banks of EP heads as `toolkit probe` takes them."""
    rows: list[dict[str, Any]] = []
    for count in bench.sizes.heads:
        step = bank_step(bench, count)
        taken = bench.seconds(step)
        one = rows[0]["ms"] if rows else 1e3 * taken
        rows.append({"heads": count, "ms": 1e3 * taken, "over one": 1e3 * taken / one,
                     **bench.counts(step)})  # fmt: skip
    return rows


def bank_step(bench: Bench, count: int) -> Step:
    """Return a step of a bank of EP heads, the copy of its batch to the device counted in."""
    b, n, d = bench.sizes.shape
    side = int(n**0.5)
    patches = torch.randn(2 * b, n, d).half()
    source = MemoryStore(
        {LAYER: Features({"mean": patches.float().mean(1)}, patches, (side, side))}
    )
    targets = np.random.default_rng(0).integers(0, CLASSES, 2 * b)
    examples = Examples(source, targets, np.arange(2 * b))
    heads = [HeadSpec("ep", LAYER, "patches", 1e-4 * (at + 1), 0, {"num_queries": QUERIES})
             for at in range(count)]  # fmt: skip
    plan = TrainingPlan(ProbeSettings(batch_size=b, **SETTINGS), 2 * b)
    bank = HeadBank(heads, sample_of(source), num_classes=CLASSES)
    trainer = _Trainer(bank, examples, plan=plan, compute=bench.accelerator)
    trainer.train_(begins_epoch=True)
    rows, stop = np.arange(b), Agreement(Interruption(), 1)
    read, active = source.read(rows), trainer.active(0)
    return lambda: trainer.step_(read, rows, active, step=1, stop=stop)


def measure_slimp(bench: Bench) -> list[dict[str, Any]]:
    """Return a step of SLIMP beside forward and backward of its bare encoder."""
    sizes = bench.sizes
    with tempfile.TemporaryDirectory() as place:
        part = build_part(sizes.backbone, Path(place), {"patients_per_batch": sizes.patients},
                          device=bench.device.type, precision="bf16")  # fmt: skip
        bare = bench.seconds(bare_step(part.learner.model, part.batch, bench.accelerator))
        ours = bench.seconds(part.step)
        return [{"step": "SLIMP", "lesions": len(part.batch.rows), "ms": 1e3 * ours,
                 "bare encoder ms": 1e3 * bare, "throughput / bare": bare / ours,
                 **bench.counts(part.step)}]  # fmt: skip


class _Ready(Dataset[dict[str, Any]]):
    """Images that need no decoding."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.images = torch.randint(256, (16, 3, *size), dtype=torch.uint8)

    @override
    def __getitem__(self, position: int) -> dict[str, Any]:
        return {"image": self.images[position % len(self.images)], "row": 0}


def measure_extraction(bench: Bench) -> list[dict[str, Any]]:
    """Return images a second of an extraction without decoding, and of the encoder alone."""
    backbone = load_backbone(bench.sizes.backbone, random_init=True).to(bench.device)
    encoder = RowEncoder(backbone, load_data("lesions"), Extraction(Path()), bench.accelerator)
    ready, count = _Ready(backbone.info.preprocess.image_size), bench.sizes.images
    batches = chunks(np.arange(count), encoder.how.batch_size)
    batch = torch.stack([ready[at]["image"] for at in range(len(batches[0]))]).to(bench.device)

    def extract() -> None:
        for features in encoder.in_batches(ready, batches):
            for item in keep(features, "fp16").values():
                item.to("cpu")

    alone = len(batch) / bench.seconds(lambda: encoder.encode(batch))
    extract()
    ours = count / bench._run(extract, 1)
    return [{"what": bench.sizes.backbone, "encoder alone, images a second": alone,
             "extraction": ours, "share": ours / alone}]  # fmt: skip


PARTS: Mapping[str, Callable[[Bench], list[dict[str, Any]]]] = {
    "EP": measure_pools,
    "A bank": measure_banks,
    "SLIMP": measure_slimp,
    "Extraction": measure_extraction,
    "Tests": run_tests,
}

if __name__ == "__main__":
    main()
