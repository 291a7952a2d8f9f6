"""What fails beside commands: others that use a store, disks, limits of the system, the clock.

Each function is one attempt in a case and returns what is lost: an empty text if nothing is. A
command may fail, in one line and with nothing torn, and then goes on.
"""

import ctypes
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from lib.drill.commands import INDEX, TOKENS
from lib.drill.ended import (
    IN_ONE_LINE,
    TRIES,
    Attempt,
    ended_badly,
    failed,
    there,
    wait_until,
)
from lib.drill.forked import Forked
from lib.drill.kept import leftovers
from lib.drill.world import Case, World

CLONE_NEWNS = 0x20000  # linux/sched.h
READS_AND_WRITES = ("extraction", "fitted on vectors", "several heads", "pre-training", "adapting")
MANY_FILES = (*READS_AND_WRITES, "tuning by LoRA", "folds")
ON_DISKS = {  # what is written -> KiB of disks, some of which are too small for it
    **dict.fromkeys((*MANY_FILES, "report"), (32, 6000)),
    "extrapolating": (4, 12),  # one small file
}


def two_probes_of_a_store(world: World, case: Case, draws: random.Random) -> str:
    """Let two probes make and read one store at the same time; one may be killed."""
    places = [replace(case, at=case.at / half) for half in "ab"]
    first, second = (world.start("extraction", place) for place in places)
    if draws.random() < 0.5:
        wait_until(there(case, TOKENS), [first, second])
        first.send(signal.SIGKILL)
    second.wait()
    first.wait()
    return "".join(world.finish("extraction", place) for place in places)


def two_writers(world: World, case: Case, draws: random.Random) -> str:
    """Let two processes write one run: one does, the other is refused or comes after it."""
    first = world.start("extraction", case)
    wait_until(there(case, "out/run.json"), [first])
    time.sleep(draws.uniform(0, 0.2))
    second = world.start("extraction", case)
    codes = sorted((first.wait(), second.wait()))
    if codes not in ([0, 0], [0, 2]):
        return failed(codes, case)
    return world.judge("extraction", case)


def store_deleted(world: World, case: Case, draws: random.Random) -> str:
    """Delete a store while a probe makes or reads it."""
    running = world.start("extraction", case)
    wait_until(there(case, draws.choice((TOKENS, INDEX))), [running])
    time.sleep(draws.uniform(0, 0.3))
    shutil.rmtree(case.cache, ignore_errors=True)
    return ended_well(running, case) or world.finish("extraction", case)


def store_changed(world: World, case: Case, draws: random.Random) -> str:
    """Change a byte of a store: who reads it refuses it, and it is made anew."""
    running = world.start("extraction", case)
    wait_until(there(case, INDEX), [running])
    shard = draws.choice(sorted(case.at.glob("cache/features/*/tokens-*.safetensors")))
    content = bytearray(shard.read_bytes())
    at = draws.randrange(len(content) // 2, len(content))
    content[at] ^= 1 << draws.randrange(8)
    shard.write_bytes(bytes(content))
    if lost := ended_well(running, case):
        return lost
    if running.code == 0:  # it had read that one
        shutil.rmtree(case.at / "out")
        if (code := world.start("extraction", case).wait()) != 2:
            return f"a changed store is read (exit code {code})"
    shutil.rmtree(case.cache)
    return world.finish("extraction", case)


def full_disk(world: World, case: Case, draws: random.Random) -> str:
    """Give a run a disk that becomes full, then a larger one."""
    name = draws.choice(list(ON_DISKS))
    return _on_small_disk(world, case, draws, name, kib=ON_DISKS[name], inodes=(5000, 6000))


def no_inodes(world: World, case: Case, draws: random.Random) -> str:
    """Give a run a disk that holds few files, then one that holds more."""
    name = draws.choice(MANY_FILES)
    return _on_small_disk(world, case, draws, name, kib=(60000, 64000), inodes=(8, 60))


def limited(kind: int, low: int, high: int) -> Attempt:
    """Return an attempt under a limit of the system (`resource.RLIMIT_...`), drawn and lifted."""

    def attempt(world: World, case: Case, draws: random.Random) -> str:
        hard = resource.getrlimit(kind)[1]
        for number in range(TRIES):
            name = draws.choice(READS_AND_WRITES)
            limit = max(low, _between(low, high, draws) >> number)
            limit += _data_bytes() if kind == resource.RLIMIT_DATA else 0  # what forks have already
            lower = partial(resource.setrlimit, kind, (limit, hard))
            running = world.start(name, case, first=lower)
            if lost := ended_well(running, case):
                return lost
            if running.code:
                return world.finish(name, case)
            world.case()  # it was enough: all anew
        return "a limit that was never met"

    return attempt


def clock_set_back(world: World, case: Case, draws: random.Random) -> str:
    """Let the clock jump back by up to a day within a run, which is killed and carried on."""
    name = draws.choice(("extraction", "pre-training", "several heads"))
    true, back, seconds = time.time, draws.uniform(3600, 86400), world.undisturbed(name).seconds
    jump = true() + draws.uniform(0, 0.5) * seconds

    def set_back() -> None:
        time.time = lambda: true() - (back if true() > jump else 0.0)

    running = world.start(name, case, first=set_back)
    running.end_at(draws.uniform(0.2, 0.9) * seconds, number=signal.SIGKILL)
    if lost := ended_badly(running, signal.SIGKILL, case):
        return lost
    for path in case.at.rglob("*"):  # files of tomorrow
        if draws.random() < 0.5 and path.is_file():
            os.utime(path, (true() + back, true() + back))
    return world.finish(name, case)


def no_shared_memory(world: World, case: Case, draws: random.Random) -> str:
    """Run where `/dev/shm` is absent, with workers that hand over images and without."""
    workers = draws.choice((0, 2))

    def hide() -> None:
        _own_mounts()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=0,ro", "none", "/dev/shm"], check=True)

    running = world.start("extraction", case, "--num-workers", workers, first=hide)
    if lost := ended_well(running, case):
        return lost
    if workers == 0 and running.code:
        return f"exit code {running.code} without workers: {case.last_line()}"
    return world.finish("extraction", case)


def ended_well(running: Forked, case: Case) -> str:
    """Return what is wrong with how a command ended: it may have failed in one line."""
    code, text = running.wait(), case.printed()
    if code not in (0, *IN_ONE_LINE):
        return failed([code], case)
    if "Traceback" in text:
        return f"a traceback: {case.last_line()}"
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    return f"{len(errors)} lines of errors" if (len(errors) == 1) == (code == 0) else ""


def _on_small_disk(
    world: World,
    case: Case,
    draws: random.Random,
    name: str,
    *,
    kib: tuple[int, int],
    inodes: tuple[int, int],
) -> str:
    for _ in range(TRIES):
        size = f"size={_between(*kib, draws)}k,nr_inodes={_between(*inodes, draws)}"
        with _mounted(case.folder / "disk", size) as (place, enlarge):
            disk = replace(case, at=place, cache=place / "cache")
            running = world.start(name, disk)
            if lost := ended_well(running, disk):
                return lost
            if running.code:
                left = [f"left over: {path.name}" for path in leftovers(disk.at)]
                enlarge()
                return "".join(left[:1]) or world.finish(name, disk)
        world.case()  # it was enough: all anew
    return "a disk that never was too small"


@contextmanager
def _mounted(place: Path, size: str) -> Iterator[tuple[Path, Callable[[], object]]]:
    """Mount a disk of memory; yields where, and what enlarges it."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", str(place)], check=True)
    large = ["mount", "-o", "remount,size=64m,nr_inodes=10000", str(place)]
    try:
        yield place, lambda: subprocess.run(large, check=True)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def _between(low: int, high: int, draws: random.Random) -> int:
    """Draw a size, small ones as often as large ones."""
    return round(low * (high / low) ** draws.random())


def _own_mounts() -> None:
    """Let this process mount what no other one sees."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def _data_bytes() -> int:
    """Return the memory that counts for RLIMIT_DATA, of this process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmData"))
