"""Give every reader of others' files changed ones, and count what comes of it: `make fuzz`.

A change is drawn from the seed, the reader's name and the input's number, so that each is made
again by `--reader NAME --only NUMBER`, which shows its traceback. Readers run in forks of this
process, a chunk each, bounded in memory; one that stands still is killed and counted.
"""

import argparse
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["COLUMNS"] = "200"

import torch

from helpers.mutations import change, check_message
from helpers.readers import READERS, Case, make_world
from toolkit_common.errors import InputError

CHUNK = 2000  # inputs of a fork
PATIENCE_S = 20.0  # for one input, of processor time
STILL_S = 120.0  # without an end of an input, the clock's: what no signal reaches
MEMORY = 4 << 30  # beyond what the fork begins with
SHOWN = 3  # faults of a reader that are shown
ACCEPTED, REFUSED, FAULT, HANG = "accepted", "refused", "tracebacks", "hangs"


class StandsStillError(BaseException):
    """An input takes longer than any should."""


@dataclass
class Counted:
    """What came of a reader's inputs."""

    counts: Counter[str] = field(default_factory=Counter)
    peak: int = 0  # bytes beyond those of the fork's beginning
    faults: dict[str, str] = field(default_factory=dict)  # where it was raised -> number, what


def run_case(case: Case, changed: bytes) -> str:
    """Return what came of an input, with the traceback of a fault."""
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE_S)
    try:
        case.read(changed)
    except InputError as error:
        check_message(str(error))
        return REFUSED
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return ACCEPTED


def outcome(case: Case, changed: bytes) -> tuple[str, str]:
    """Return what came of an input, and of a fault its traceback."""
    try:
        return run_case(case, changed), ""
    except StandsStillError:
        return HANG, traceback.format_exc()
    except BaseException:  # SystemExit of a library, too
        return FAULT, traceback.format_exc()


def changed_of(cases: list[Case], *, seed: int, name: str, number: int) -> tuple[Case, bytes]:
    """Return an input by its number."""
    draws = Random(f"{seed} {name} {number}")
    case = draws.choice(cases)
    return case, change(case.content, draws)


def run_chunk(name: str, world: Path, numbers: range, *, seed: int, pipe: int) -> None:
    """Give a reader some inputs; writes a line an input."""
    with (
        os.fdopen(pipe, "w", buffering=1, errors="replace") as told,
        tempfile.TemporaryDirectory(dir=world.parent) as folder,
    ):
        os.chdir(folder)
        os.environ["TOOLKIT_CACHE"] = f"{folder}/cache"
        os.environ["XDG_CONFIG_HOME"] = f"{folder}/config"
        cases = READERS[name].cases(world, Path(folder))
        signal.signal(signal.SIGVTALRM, _stand_still)
        most = _size("VmData") + MEMORY
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        before = _size("VmHWM")
        for number in numbers:
            case, changed = changed_of(cases, seed=seed, name=name, number=number)
            what, trace = outcome(case, changed)
            peak = _size("VmHWM") - before
            told.write(f"{number}\t{what}\t{peak}\t{case.name}\t{_place(trace)}\n")


def _stand_still(*_: object) -> None:
    raise StandsStillError


def _size(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) << 10


def _place(trace: str) -> str:
    """Return where a fault was raised, and what: its last line, and the last one of ours."""
    if not trace:
        return ""
    lines = [line.strip() for line in trace.splitlines()]
    ours = [line for line in lines if line.startswith("File") and "/src/toolkit_" in line]
    what = next((line for line in reversed(lines) if ":" in line or "Error" in line), lines[-1])
    return f"{ours[-1] if ours else lines[-1]} | {what[:200]}".replace("\t", " ")


def run_reader(name: str, count: int, world: Path, *, seed: int) -> Counted:
    """Give a reader all its inputs, chunk by chunk."""
    counted, at = Counted(), 0
    while at < count:
        numbers = range(at, min(at + CHUNK, count))
        done = _fork(name, world, numbers, seed=seed, counted=counted)
        # Of a fork that ended early the next input is what ended it.
        at = numbers.stop if done == len(numbers) else at + done + 1
    return counted


def _fork(name: str, world: Path, numbers: range, *, seed: int, counted: Counted) -> int:
    """Run a chunk in a fork; returns how many of its inputs came to an end."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _in_child(name, world, numbers, seed=seed, pipe=writer, unused=reader)
    os.close(writer)
    last, done, rest = time.monotonic(), 0, b""
    os.set_blocking(reader, False)
    is_killed = False
    while True:
        part = _read(reader)
        if part == b"":
            break
        if part is None:
            if time.monotonic() - last > STILL_S and not is_killed:
                is_killed = True
                os.kill(child, signal.SIGKILL)
            time.sleep(0.05)
            continue
        last = time.monotonic()
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            _count(line.decode(errors="replace"), counted)
            done += 1
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if done < len(numbers):
        ended = "stood still" if is_killed else f"ended by {os.waitstatus_to_exitcode(status)}"
        counted.counts[HANG if is_killed else FAULT] += 1
        counted.faults.setdefault(f"the fork {ended}", f"--only {numbers[done]}")
    return done


def _in_child(name: str, world: Path, numbers: range, *, seed: int, pipe: int, unused: int) -> None:
    os.close(unused)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    code = 0
    try:
        run_chunk(name, world, numbers, seed=seed, pipe=pipe)
    except BaseException:
        Path(f"{world}.{os.getpid()}.txt").write_text(traceback.format_exc())
        code = 9
    os._exit(code)


def _read(pipe: int) -> bytes | None:
    try:
        return os.read(pipe, 1 << 16)
    except BlockingIOError:
        return None


def _count(line: str, counted: Counted) -> None:
    number, what, peak, case, place = line.split("\t", maxsplit=4)
    counted.counts[what] += 1
    counted.peak = max(counted.peak, int(peak))
    if place:
        counted.faults.setdefault(place, f"--only {number} ({case})")


def shares(names: list[str], inputs: int) -> dict[str, int]:
    """Return how many inputs each reader gets."""
    whole = sum(READERS[name].share for name in names)
    return {name: max(1, round(inputs * READERS[name].share / whole)) for name in names}


def make_in_fork(world: Path) -> None:
    """Make what readers read, without the threads and memory that it takes."""
    child = os.fork()
    if child == 0:
        os._exit(_made(world))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "see the traceback above"


def _made(world: Path) -> int:
    os.environ["TOOLKIT_CACHE"] = f"{world}.cache"
    os.environ["TOOLKIT_SITE_SECRET"] = f"{world}.secret"
    try:
        make_world(world)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def show_one(name: str, number: int, world: Path, *, seed: int) -> int:
    """Show what comes of one input; returns the exit code."""
    with tempfile.TemporaryDirectory(dir=world.parent) as folder:
        os.chdir(folder)
        cases = READERS[name].cases(world, Path(folder))
        case, changed = changed_of(cases, seed=seed, name=name, number=number)
        print(f"{case.name}: {changed[:2000]!r}")
        signal.signal(signal.SIGVTALRM, _stand_still)
        what, trace = outcome(case, changed)
        print(what, trace, sep="\n")
    return int(what in (FAULT, HANG))


def main() -> int:
    """Run; returns the exit code: 1 where a traceback or a hang was met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="over all readers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", action="append", choices=[*READERS], help="these alone")
    parser.add_argument("--only", type=int, help="this input of --reader alone, with its traceback")
    parser.add_argument("--world", type=Path, help="folder to keep valid files in, for more runs")
    given = parser.parse_args()
    torch.set_num_threads(1)
    names, scratch = given.reader or [*READERS], Path(tempfile.mkdtemp(prefix="fuzz-"))
    world = (given.world or scratch / "world").absolute()
    os.environ["TOOLKIT_SITE_SECRET"] = f"{world}.secret"
    if not world.exists():
        make_in_fork(world)
    try:
        if given.only is not None:
            return show_one(names[0], given.only, world, seed=given.seed)
        return _run_all(names, given.inputs, world, seed=given.seed)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run_all(names: list[str], inputs: int, world: Path, *, seed: int) -> int:
    columns = (ACCEPTED, REFUSED, FAULT, HANG)
    heads = ["reader", "inputs", ACCEPTED, "refused in one line", FAULT, HANG, "peak MiB"]
    print(f"| {' | '.join(heads)} |", "|---" + "|---:" * (len(heads) - 1) + "|", sep="\n")
    whole = Counted()
    for name, count in shares(names, inputs).items():
        counted = run_reader(name, count, world, seed=seed)
        _print_row(name, [counted.counts[key] for key in columns], counted.peak)
        for place, number in [*counted.faults.items()][:SHOWN]:
            print(f"  {number}: {place}", file=sys.stderr, flush=True)
        whole.counts += counted.counts
        whole.peak = max(whole.peak, counted.peak)
    _print_row("all", [whole.counts[key] for key in columns], whole.peak)
    return int(whole.counts[FAULT] + whole.counts[HANG] > 0)


def _print_row(name: str, counts: list[int], peak: int) -> None:
    cells = [name, f"{sum(counts):,}", *(f"{count:,}" for count in counts), f"{peak / 2**20:.0f}"]
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
