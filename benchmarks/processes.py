"""Do 1, 2, 3 and 4 processes give the same?

    make processes

Commands of every kind run on 1 to 4 processes (gloo), on 97 lesions that no number divides, in
steps of 7 of their images; what they leave is compared. Exit code 1 where a difference exceeds the
tolerance that docs/protocols.md states, or another head was picked. Takes ten minutes of a core.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from lib.drill.apart import TOLERANCES, beyond, compare
from lib.drill.world import World
from lib.harness import write_report

KINDS = (
    "all methods", "all methods, classifiers trained", "LARS", "SGD", "layers", "shots",
    "shares of the labels", "folds", "images and metadata", "tuning by LoRA", "tuning all",
    "crops", "views", "four images a step", "pre-training", "pre-training in pieces",
    "pre-training by SimCLR", "pre-training, averaged", "adapting", "adapting all",
    "extrapolating",
)  # fmt: skip
COUNTS = (2, 3, 4)


def main() -> None:
    """Compare every kind and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a word of the kinds; writes no table")
    options = parser.parse_known_args()[0]
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "world")
        largest = {kind: apart(world, kind) for kind in KINDS if options.only in kind}
    if not options.only:
        write_table(largest)
    if any(map(beyond, (item for of_kind in largest.values() for item in of_kind.values()))):
        sys.exit("a difference exceeds its tolerance")


def apart(world: World, kind: str, counts: tuple[int, ...] = COUNTS) -> dict[int, dict[str, float]]:
    """Return how far each number of processes is apart from one, by what differs."""
    one, largest = world.undisturbed(kind).out, {}
    for count in counts:
        largest[count] = compare(one, world.undisturbed(kind, count).out)
        too_far = beyond(largest[count])
        print(f"{kind}, {count}: {largest[count]}{' BEYOND: ' * bool(too_far)}{too_far or ''}")
        sys.stdout.flush()
    return largest


def write_table(largest: dict[str, dict[int, dict[str, float]]]) -> None:
    """Write results/processes.md and processes.json."""
    rows: list[dict[str, Any]] = [
        {
            "what": kind,
            "largest difference of": name,
            **{f"{count} processes": f"{measured[count][name]:.1g}" for count in COUNTS},
            "tolerance": f"{TOLERANCES[name]:.1g}",
        }
        for kind, measured in largest.items()
        for name in measured[COUNTS[0]]
    ]
    write_report(
        "processes",
        title="Do 1, 2, 3 and 4 processes give the same?",
        rows=rows,
        notes=[
            "Each against one process. Probabilities and losses are of heads that were picked "
            "alike (learning rate, epoch, penalty); how many were not is a row of its own.",
            "97 synthetic lesions of 49 patients in steps of 7 images or 5 patients, two epochs, "
            "timm's test_vit at 32 x 32 pixels from random weights; gloo on one machine, fp32.",
        ],
        target="processes",
    )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
