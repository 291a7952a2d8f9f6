"""Is anything lost when runs are killed, starved, or run beside each other?

    make drill

Every command is ended at random moments and taken up again, then the outside fails in every way
that can be had on one machine (`lib/drill/`). An attempt survives if what is left in the end is, to
the bit, what an undisturbed run leaves. Needs root, for small disks; takes a quarter of an hour.
Exit code 1 if anything is lost.
"""

import argparse
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from lib.drill import ended, outside
from lib.drill.ended import Attempt, kill
from lib.drill.world import World
from lib.harness import write_report

KILLS = {  # a command, and how often it is ended
    "extraction": 14, "fitted on vectors": 8, "several heads": 6, "tuning by LoRA": 4,
    "tuning all": 3, "crops": 5, "views": 5, "layers": 5, "shots": 4, "folds": 3,
    "pre-training": 20, "adapting": 16, "extrapolating": 8, "attention": 4,
}  # fmt: skip
ATTEMPTS: Mapping[str, tuple[Attempt, int]] = {  # what, and how often
    **{f"{name}, ended": (kill(name), count) for name, count in KILLS.items()},
    "studies with two jobs, ended": (ended.kill_study, 5),
    "reports, ended": (ended.kill_report, 5),
    "one process of two, ended": (ended.kill_a_rank, 6),
    "one node of two, ended": (ended.two_nodes, 1),
    "a slow process of two": (ended.slow_rank, 2),
    "3 or 4 processes, some without data": (ended.ranks_without_data, 2),
    "two probes make one store": (outside.two_probes_of_a_store, 3),
    "two writers of one run": (outside.two_writers, 3),
    "a store deleted in use": (outside.store_deleted, 4),
    "a store changed in use": (outside.store_changed, 4),
    "disk full": (outside.full_disk, 16),
    "no inodes": (outside.no_inodes, 3),
    "file-size limit": (outside.limited(resource.RLIMIT_FSIZE, 1 << 13, 1 << 15), 4),
    "too many open files": (outside.limited(resource.RLIMIT_NOFILE, 6, 24), 4),
    "out of memory": (outside.limited(resource.RLIMIT_DATA, 1 << 20, 1 << 24), 4),
    "the clock set back": (outside.clock_set_back, 3),
    "/dev/shm absent": (outside.no_shared_memory, 3),
}


def main() -> None:
    """Make every attempt, print each that is lost, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    parser.add_argument("--only", default="", help="a word of the rows to make; writes no table")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="rows made side by side")
    options = parser.parse_known_args()[0]
    chosen, begin = [what for what in ATTEMPTS if options.only in what], time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "world")
        # Forks, which find all imported.
        with ProcessPoolExecutor(options.jobs, mp_context=get_context("fork")) as pool:
            rows = list(pool.map(partial(make_row, world, seed=options.seed), chosen))
    if not options.only:
        write_table(rows, minutes=(time.monotonic() - begin) / 60)
    if any(row["lost"] for row in rows):
        sys.exit("something is lost")


def make_row(world: World, what: str, *, seed: int, number: int | None = None) -> dict[str, Any]:
    """Make some attempts; returns how many there were, and how many nothing was lost in.

    Args:
        world: What is disturbed.
        what: Of `ATTEMPTS`.
        seed: Of what is drawn.
        number: Of attempts, in place of as many as there.
    """
    attempt, count = ATTEMPTS[what]
    number = number or count
    draws, survived, begin = random.Random(f"{seed} {what}"), 0, time.monotonic()
    for _ in range(number):
        try:
            lost = attempt(world, world.case(), draws)
        except (RuntimeError, TimeoutError, OSError) as error:
            lost = f"{type(error).__name__}: {error}"
        survived += not lost
        if lost:
            print(f"LOST in {what}: {lost}", flush=True)
    print(f"{what}: {survived} of {number} in {time.monotonic() - begin:.0f} s", flush=True)
    return {"what": what, "attempts": number, "survived": survived, "lost": number - survived}


def write_table(rows: list[dict[str, Any]], *, minutes: float) -> None:
    """Write results/drill.md and drill.json."""
    kills = sum(row["attempts"] for row in rows if row["what"].endswith("ended"))
    total = {key: sum(row[key] for row in rows) for key in ("attempts", "survived", "lost")}
    write_report(
        "drill",
        title="Is anything lost when runs are killed, starved, or run beside each other?",
        rows=[*rows, {"what": "all", **total}],
        notes=[
            f"{kills} attempts end a command at a random moment of a random stage, by SIGKILL (two "
            "of five), SIGTERM, SIGHUP or SIGINT; then the same command, with `--resume` where it "
            "has one, goes on.",
            "Survived: what is left is to the bit what an undisturbed run leaves (weights, "
            "predictions, results, logs but for times); what failed did so in one line with exit "
            "code 1 or 2, and left no file half written.",
            "97 synthetic lesions of 49 patients, timm's test_vit at 32 x 32 pixels, shards of 4 "
            "KiB, a checkpoint every step; commands are forks of one process, but for two nodes, "
            f"which are torchrun's. Took {minutes:.0f} minutes of a machine that others used.",
        ],
        target="drill",
    )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
