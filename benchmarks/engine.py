"""What does one backbone pass save, and what do all methods cost beside EP alone?

    make bench-engine

Whole commands, each in a process of its own on one thread: `toolkit features` once, then
`toolkit probe` with EP for 90 epochs, with EP on an int8 store, with 14 methods and with all 15
attentive ones. Beside them a plain loop (`plain_loop.py`) that runs the frozen ViT-S again in every
epoch, as the EP reference does. Every epoch does the same work: of the loop and of the banks only a
few epochs are run, and the rest is counted. EP and the loop run the same few epochs with the ViT-S,
and all 90 with a smaller encoder, so that their accuracies can be compared. Expected: EP 60 times
cheaper than the loop; EP again from the store at most 1.1 times its own training.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lib.harness import MIB, Cost, command_cost, write_report
from toolkit_probing.probes import POOLS
from toolkit_probing.results.contents import read_results

LR, EPOCHS = 0.003, 90
SMALL = "timm:vit_tiny_patch16_224?image_size=64"  # whose loop can be run to its end
TARGET_EP, TARGET_AGAIN = 60.0, 1.1  # times faster than the loop; times its own training
SHORT, LONGER = 2, 8
NAME = "run of 90 epochs"  # the first column
WARMUP = {EPOCHS: 10, SHORT: 1, LONGER: 1}
# Of both the same work: a head trained for all epochs, and judged as it then is.
TRAINED = ("--classifier", "trained", "--patience", 0)
HEAVIEST = "dinovit"  # a whole transformer block on all tokens
LIGHTER = [name for name in POOLS if name != HEAVIEST]
ATTENTIVE = list(POOLS)


def main() -> None:
    """Run every command once and write the report."""
    given = read_arguments()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as place:
        runs = measure(Path(place), given)
    rows = table(runs)
    setting = vars(given) | {"output": None, "lr": LR, "epochs": EPOCHS}
    write_report(
        "engine",
        title="What one backbone pass saves",
        rows=rows,
        notes=notes(runs, rows, given),
        figure=draw(rows),
        data={"setting": setting},
    )


def read_arguments() -> argparse.Namespace:
    """Read the command line; the defaults are the benchmark's setting."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--backbone", default="timm:vit_small_patch16_224")
    parser.add_argument("--data", default="digits")
    return parser.parse_known_args()[0]


def measure(place: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Return cost and top-1 of every run, by name."""
    same = ["--backbone", given.backbone, "--random-init", "--data", given.data]
    same += ["--store-dir", place / "store"]

    def probe(methods: Sequence[str], epochs: int, *options: Any) -> dict[str, Any]:
        run = place / f"run-{len(list(place.iterdir()))}"
        words = ["--method", ",".join(methods), "--lr", LR, "--output", run, "--epochs", epochs]
        words += [*TRAINED, "--warmup-epochs", WARMUP[epochs]]
        cost = toolkit("probe", *words, *same, *options)
        top1 = {row.method: row.metrics["top1"].mean for row in read_results(run).rows}
        return {"cost": cost, "top1": top1}

    coarse = ["--store-dtype", "int8"]
    runs: dict[str, Any] = {
        "features": {"cost": toolkit("features", *same)},
        "ep": probe(["ep"], EPOCHS),
        "ep short": probe(["ep"], SHORT),
        "features int8": {"cost": toolkit("features", *same, *coarse)},
        "int8": probe(["ep"], EPOCHS, *coarse),
        "loop": run_loop(place / "loop.json", given.backbone, given.data, SHORT),
        "small": probe(["ep"], EPOCHS, "--backbone", SMALL),
        "small loop": run_loop(place / "small.json", SMALL, given.data, EPOCHS),
    }
    for name, methods in (("lighter", LIGHTER), ("attentive", ATTENTIVE)):
        runs[name] = [probe(methods, epochs) for epochs in (SHORT, LONGER)]
    return runs


def toolkit(*words: Any) -> Cost:
    """Run the command `toolkit`."""
    return command_cost(sys.executable, "-m", "toolkit_common", *map(str, words))


def run_loop(output: Path, backbone: str, data: str, epochs: int) -> dict[str, Any]:
    """Run some epochs of the plain loop."""
    script = Path(__file__).with_name("plain_loop.py")
    words = ["--backbone", backbone, "--data", data, "--lr", LR, "--output", output]
    words += ["--epochs", epochs, "--warmup-epochs", WARMUP[epochs]]
    cost = command_cost(sys.executable, script, *map(str, words))
    epochs_run = json.loads(output.read_text())
    return {"cost": cost, "top1": {"ep": epochs_run["top1"]}, "epochs": epochs_run}


def table(runs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row a way of working; extraction is counted in full for every one of ours."""
    loop = runs["loop"]["cost"].cpu_seconds + remaining(runs["loop"]["epochs"]["cpu_seconds"])
    passes = {name: runs[name]["cost"] for name in ("features", "features int8")}
    ep = passes["features"].cpu_seconds + runs["ep"]["cost"].cpu_seconds
    rows = [row("plain loop, EP", loop, [runs["loop"]["cost"]], None, loop, ep)]
    for name, run, store in (("EP", "ep", "features"), ("EP, int8 store", "int8", "features int8")):
        costs = [passes[store], runs[run]["cost"]]
        seconds = sum(cost.cpu_seconds for cost in costs)
        rows.append(row(name, seconds, costs, runs[run]["top1"]["ep"], loop, ep))
    for name, run in (
        (f"{len(LIGHTER)} methods", "lighter"),
        (f"{len(ATTENTIVE)} methods, {HEAVIEST} among them", "attentive"),
    ):
        few, more = (item["cost"] for item in runs[run])
        per_epoch = (more.cpu_seconds - few.cpu_seconds) / (LONGER - SHORT)
        seconds = few.cpu_seconds + (EPOCHS - SHORT) * per_epoch + passes["features"].cpu_seconds
        rows.append(row(name, seconds, [passes["features"], more], None, loop, ep))
    again = runs["ep"]["cost"]
    rows.append(row("EP again, from the store", again.cpu_seconds, [again], None, loop, ep))
    return rows


def remaining(seconds: Sequence[float]) -> float:
    """Return what the epochs that were not run would take, at the mean of those that were."""
    return (EPOCHS - SHORT) * sum(seconds) / len(seconds)


def row(
    name: str, seconds: float, costs: Sequence[Cost], top1: float | None, loop: float, ep: float
) -> dict[str, Any]:
    """Return one row."""
    return {
        NAME: name,
        "CPU s": seconds,
        "times faster than the loop": loop / seconds,
        "cost / cost of EP": seconds / ep,
        "peak MiB": max(cost.peak_rss for cost in costs) / MIB,
        "EP top-1": top1,
    }


def notes(
    runs: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], given: argparse.Namespace
) -> list[str]:
    """Return what was measured, what was counted, and what it does not say."""
    loop, short, whole = runs["loop"], runs["ep short"], runs["ep"]["cost"].cpu_seconds
    encoded, num_images = (loop["epochs"][name] for name in ("encoded", "images"))
    training = (whole - short["cost"].cpu_seconds) * EPOCHS / (EPOCHS - SHORT)
    exact, coarse = (runs[name]["top1"]["ep"] for name in ("ep", "int8"))
    ours = sum(runs[name]["cost"].wall_seconds for name in ("features", "ep"))
    theirs = loop["cost"].wall_seconds + remaining(loop["epochs"]["wall_seconds"])
    faster = next(row for row in rows if row[NAME] == "EP")
    ended = [runs[name]["top1"]["ep"] for name in ("small loop", "small")]
    return [
        f"Expected: EP {TARGET_EP:g} times cheaper than the loop: "
        f"{verdict(faster['times faster than the loop'] >= TARGET_EP)}. The loop encodes "
        f"{encoded:,} images in each epoch, to train and to validate, ours all {num_images:,} "
        f"once, those of the test split too: by images alone {EPOCHS * encoded / num_images:.0f} "
        f"times. The head's own epochs, with start-up, are {whole / faster['CPU s']:.0%} of ours.",
        f"Expected: EP again from the store at most {TARGET_AGAIN:g} times its own training (by "
        f"the difference of {EPOCHS} and {SHORT} epochs; the rest is start-up, fits, intervals): "
        f"{whole / training:.2f}, {verdict(whole <= TARGET_AGAIN * training)}.",
        "Of all methods together nothing is expected: what the light poolings may cost is judged "
        "by `make bench-step`; abmilp, dolg and dinovit map every token.",
        f"{given.backbone} with random weights on {given.data}, one learning rate a method, whole "
        "processes with start-up and extraction counted in each of ours, one thread.",
        f"The loop ran {SHORT} epochs of its {EPOCHS}; the others are counted at their mean. In "
        f"wall time, which on shared cores is noise, EP is {theirs / ours:.0f} times faster. Of "
        f"the banks, {LONGER} epochs and {SHORT} were run, and {EPOCHS} are counted from the "
        "difference.",
        f"After the same {SHORT} epochs the loop has top-1 {loop['top1']['ep']:.4f}, ours "
        f"{short['top1']['ep']:.4f} (ours keeps tokens as fp16); after all {EPOCHS} epochs on "
        f"{SMALL} the loop has {ended[0]:.4f}, ours {ended[1]:.4f}. The heads of a bank are those "
        "of runs of their own, to the bit (tests).",
        f"int8 changes EP's top-1 by {coarse - exact:+.4f} (one seed, one test split).",
        f"{HEAVIEST} trains a transformer block on all tokens of every image in every epoch.",
    ]


def verdict(is_reached: bool) -> str:
    """Return whether a target is reached, for the notes."""
    return "reached" if is_reached else "missed"


def draw(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw CPU seconds, a dot a way of working with how many times faster than the loop it is."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    for at, row in enumerate(rows):
        axes.plot(row["CPU s"], at, "o", color="tab:blue")
        text = f"  {row['times faster than the loop']:.3g} x"
        axes.annotate(text, (row["CPU s"], at), va="center")
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.grid(axis="x", alpha=0.3)
    axes.set_yticks(range(len(rows)), [str(row[NAME]) for row in rows])
    axes.set_xlabel("CPU seconds of one thread, extraction included (how many times faster)")
    axes.invert_yaxis()
    return figure


if __name__ == "__main__":
    main()
