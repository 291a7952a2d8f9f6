"""Commands that are ended at any moment, or one process of which is ended or slow.

Each function is one attempt in a case and returns what is lost: an empty text if nothing is.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from lib.drill.apart import beyond, compare
from lib.drill.commands import TOKENS
from lib.drill.forked import INTERRUPTED, PATIENCE_S, Forked, nothing
from lib.drill.world import Case, World
from toolkit_common.errors import InputError
from toolkit_common.runs.locks import refuse_locked

Attempt = Callable[[World, Case, random.Random], str]

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
TRIES = 8  # until a command is ended before its own end
IN_ONE_LINE = (1, 2)  # exit codes of a failure that is told


def kill(name: str) -> Attempt:
    """Return an attempt: end a command at a random moment of a random stage, and carry it on."""

    def attempt(world: World, case: Case, draws: random.Random) -> str:
        command, seconds = world.commands[name], world.undisturbed(name).seconds
        for number in range(TRIES):
            sign, how = draws.choice(command.signs or ("",)), draws.choice(SIGNALS)
            share = draws.uniform(0.0, 0.6 if sign else 0.95) / (1 + number)
            running = world.start(name, case)
            was_ended = running.end_at(share * seconds, number=how, when=there(case, sign))
            if lost := ended_badly(running, how, case):
                return lost
            if was_ended:
                return world.finish(name, case)
            world.case()  # it was faster: all anew
        return "never ended early"

    return attempt


def kill_a_rank(world: World, case: Case, draws: random.Random) -> str:
    """Kill one of two processes, see the other end by itself, and carry the run on with both."""
    name = draws.choice(("several heads", "pre-training"))
    running = world.start_ranks(name, case, 2)
    wait_until(there(case, draws.choice(world.commands[name].signs)), running)
    time.sleep(draws.uniform(0, 0.5))
    victim = draws.randrange(2)
    running[victim].send(signal.SIGKILL)
    if (code := running[1 - victim].wait()) not in (0, *IN_ONE_LINE):
        return f"the other process: exit code {code}, {case.last_line()}"
    return world.finish(name, case, count=2)


def slow_rank(world: World, case: Case, draws: random.Random) -> str:
    """Stop one of two processes again and again: the other waits."""
    running = world.start_ranks("extraction", case, 2)
    victim = running[draws.randrange(2)]
    while any(item.poll() is None for item in running):
        victim.send(signal.SIGSTOP)
        time.sleep(0.3)
        victim.send(signal.SIGCONT)
        time.sleep(draws.uniform(0.05, 0.3))
    codes = [item.wait() for item in running]
    return failed(codes, case) if any(codes) else world.judge("extraction", case, count=2)


def ranks_without_data(world: World, case: Case, draws: random.Random) -> str:
    """Share one shard among three or four processes: all but one encode nothing."""
    name, count = "all methods", draws.choice((3, 4))
    running = world.start_ranks(name, case, count, first=nothing)
    if any(codes := [item.wait() for item in running]):
        return failed(codes, case)
    shards = len(list(case.at.glob(TOKENS)))
    apart = beyond(compare(world.undisturbed(name).out, world.out(name, case)))
    return f"{shards} shards" if shards > 1 else ", ".join(apart)


def two_nodes(world: World, case: Case, draws: random.Random) -> str:
    """Run on two nodes that meet at a port of this machine; kill one, and carry the run on."""
    name, port = "extraction", draws.randrange(20000, 30000)
    nodes = [_node(world, name, case, port) for _ in range(2)]
    wait_until(there(case, world.commands[name].signs[0]), nodes)
    time.sleep(draws.uniform(0, 0.5))
    nodes[draws.randrange(2)].kill()
    for node in nodes:
        node.wait(timeout=PATIENCE_S)
    nodes = [_node(world, name, case, port + 1) for _ in range(2)]
    codes = [node.wait(timeout=PATIENCE_S) for node in nodes]
    return failed(codes, case) if any(codes) else world.judge(name, case, count=2)


def kill_study(world: World, case: Case, draws: random.Random) -> str:
    """End a study with two jobs at a random moment, and carry it out again."""
    running, number = world.start("study", case), draws.choice(SIGNALS)
    wait_until(there(case, draws.choice(world.commands["study"].signs)), [running])
    time.sleep(draws.uniform(0, 0.5))
    running.send(number)
    if (code := running.wait()) not in (0, INTERRUPTED, 128 + number):
        return failed([code], case)
    wait_until(lambda: not _is_locked(case), [])  # cells end with their study
    return world.finish("study", case)


def kill_report(world: World, case: Case, draws: random.Random) -> str:
    """Kill the writing of a page: the one before stays, or a whole one is there."""
    page = world.out("report", case)
    page.write_text("the page of before")
    running, seconds = world.start("report", case), world.undisturbed("report").seconds
    running.end_at(draws.uniform(0, 1) * seconds, number=signal.SIGKILL)
    if lost := ended_badly(running, signal.SIGKILL, case):
        return lost
    text = page.read_text(encoding="utf-8")
    if text != "the page of before" and not text.rstrip().endswith("</html>"):
        return "a torn page"
    return world.finish("report", case)


def ended_badly(running: Forked, number: int, case: Case) -> str:
    """Return what is wrong with the end of a command that a signal may have reached.

    It may have been faster than the signal (0); any other code is neither that nor the signal's.
    """
    if running.code not in (0, INTERRUPTED, 128 + number):
        return failed([running.wait()], case)
    return "a traceback" if "Traceback" in case.printed() else ""


def there(case: Case, pattern: str) -> Callable[[], bool]:
    """Return what tells whether a file of a pattern is there; an empty one is."""
    return lambda: not pattern or any(case.at.glob(pattern))


def wait_until(
    condition: Callable[[], bool], running: "Sequence[Forked | subprocess.Popen[bytes]]"
) -> None:
    """Wait for a condition, or until something that runs has ended."""
    end = time.monotonic() + PATIENCE_S
    while not condition() and all(item.poll() is None for item in running):
        if time.monotonic() > end:
            raise TimeoutError("what was waited for never came")
        time.sleep(0.005)


def failed(codes: Sequence[int], case: Case) -> str:
    """Return how commands failed."""
    return f"exit codes {list(codes)}: {case.last_line()}"


def _node(world: World, name: str, case: Case, port: int) -> "subprocess.Popen[bytes]":
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1",
        "--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port}", "--rdzv-id", "drill",
        "-m", "toolkit_common", *map(str, world.words(name, case)),
    ]  # fmt: skip
    with case.log.open("ab") as log:
        environment = {**os.environ, **case.variables}
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment)


def _is_locked(case: Case) -> bool:
    try:
        for lock in case.at.glob("out/**/.lock"):
            refuse_locked(lock.parent)
    except InputError:
        return True
    return False
