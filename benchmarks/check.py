"""Has a training step become slower than the committed results say?

    make bench-check

The ratios of `results/step.json` are measured again, several times: EP alone and a bank over the
bare loop, every light pooling's step over EP's. A ratio fails if even its lowest repetition lies
above the committed one by more than the noise: what repetitions differ by, and at least MARGIN.
Seconds are not compared, as they are a machine's; ratios of another kind of processor differ too,
so that the hardware of both is printed. Nothing is written. Exit code 1 if a ratio fails.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lib.harness import RESULTS, describe_hardware, hardware, markdown_table
from step import SHAPES, WHOLE, beside_bare, beside_ep
from toolkit_common.runs.files import read_json
from toolkit_probing.probes import POOLS

REPETITIONS = 3
MARGIN = 0.2  # of the committed ratio: runs on a busy and an idle machine lie up to 0.13 apart
LIGHT = [name for name in POOLS if name not in WHOLE]

SLOWER = "SLOWER"


def main() -> None:
    """Measure, compare, and print a line a ratio."""
    committed = read_json(RESULTS / "step.json")
    before = dict(ratios_of(committed["rows"])) | dict(ratios_of(committed["every pooling"]))
    repeated: dict[str, list[float]] = defaultdict(list)
    for _ in range(REPETITIONS):
        for name, ratio in measure():
            repeated[name].append(ratio)
    rows = [compare(name, before[name], ratios) for name, ratios in repeated.items()]
    print("\n".join(markdown_table(rows)))
    print(f"\ncommitted on: {describe_hardware(committed['hardware'])}")
    print(f"here: {describe_hardware(hardware())}")
    slower = [row["ratio"] for row in rows if row["verdict"] == SLOWER]
    if slower:
        sys.exit(f"slower beyond noise: {', '.join(slower)}")


def measure() -> Iterator[tuple[str, float]]:
    """Yield every ratio once, by name."""
    for shape in SHAPES:
        yield from ratios_of(beside_bare(*shape, repeats=3))
        yield from ratios_of(beside_ep(*shape, names=LIGHT))


def ratios_of(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    """Yield the ratios of rows of `step`, by name."""
    for row in rows:
        size = f"{row['b']} x {row['n']} x {row['d']}"
        if "over bare" in row:
            yield f"{row['heads']} EP over bare, {size}", row["over bare"]
        elif row["head"] != "ep":
            yield f"{row['head']} over EP, {size}", row["over EP"]


def compare(name: str, before: float, ratios: Sequence[float]) -> dict[str, Any]:
    """Return a line: the committed ratio, the repetitions, and whether it has risen."""
    noise = max(max(ratios) - min(ratios), MARGIN * before)
    return {
        "ratio": name,
        "committed": before,
        "lowest": min(ratios),
        "highest": max(ratios),
        "noise": noise,
        "verdict": SLOWER if min(ratios) > before + noise else "as before",
    }


if __name__ == "__main__":
    main()
