"""The frame of every benchmark: measure candidates beside each other, write the results.

A script is one question. It builds candidates (name -> a step without arguments), measures them in
one run and writes a report:

    seconds = cpu_seconds({"literal": literal_step, "ours": our_step})
    memory = peak_memory(our_step)
    write_report("NAME", title="The question", rows=[{"form": "ours", ...}], notes=[...])

which makes `benchmarks/results/NAME.json` and `NAME.md` (and `NAME.png` from `figure`), with the
hardware and versions. `make bench-NAME` runs `benchmarks/NAME.py` (dashes become underscores).

Times are CPU seconds of one thread: wall time of shared cores is noise. Repeats are interleaved, so
that a disturbance falls on all candidates, and the median is reported. Report ratios, not seconds:
`ratios_to(seconds, "literal")`.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit_common.runs.environment import environment
from toolkit_common.runs.files import atomic_path, write_json, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = Path(__file__).parents[1] / "results"
MIB = 2**20

Step = Callable[[], object]

# A process inherits the peak memory of the one that starts it: a small one is put in between.
LAUNCHER = """
import json, os, sys, time
start = time.perf_counter()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
cpu, wall = usage.ru_utime + usage.ru_stime, time.perf_counter() - start
os.write(int(sys.argv[1]), json.dumps([status, cpu, wall, usage.ru_maxrss]).encode() + b"\\n")
"""


def cpu_seconds(
    candidates: Mapping[str, Step], *, repeats: int = 15, min_seconds: float = 0.0
) -> dict[str, float]:
    """Return the median CPU seconds of each step, all on one thread, repeats interleaved.

    Args:
        candidates: Steps by name; each is run once before, unmeasured.
        repeats: Measurements of each.
        min_seconds: A step is repeated within one measurement until it takes as long: for steps of
            less than a millisecond.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        counts = {name: _count(step, min_seconds) for name, step in candidates.items()}
        taken: dict[str, list[float]] = {name: [] for name in candidates}
        for _ in range(repeats):
            for name, step in candidates.items():
                taken[name].append(_time(step, counts[name]))
    finally:
        torch.set_num_threads(threads)
    return {name: statistics.median(values) for name, values in taken.items()}


def peak_memory(step: Step) -> int:
    """Return the bytes that a step holds at most beyond what was held before it.

    Counted from torch's own allocations, one by one (its profiler): exact and repeatable, but it
    sees tensors only. For a whole process, reading files included, use `command_cost`.
    """
    from torch.profiler import ProfilerActivity, profile

    step()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        step()
    profiler = profiled.profiler
    assert profiler is not None
    events = [event for event in profiler.kineto_results.events() if event.name() == "[memory]"]
    held = top = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        top = max(top, held)
    return top


@dataclass(frozen=True)
class Cost:
    """What a process took: CPU and wall seconds, and the most bytes it had resident."""

    cpu_seconds: float
    wall_seconds: float
    peak_rss: int


def command_cost(*command: str | Path) -> Cost:
    """Run a command in a process of its own and return what it took, its children included.

    Raises:
        RuntimeError: If it fails.
    """
    words = [str(word) for word in command]
    reader, writer = os.pipe()
    with os.fdopen(reader) as answer:
        launch = [sys.executable, "-S", "-E", "-c", LAUNCHER, str(writer), *words]
        subprocess.run(launch, pass_fds=[writer], check=True)
        os.close(writer)
        status, cpu, wall, peak = json.loads(answer.readline())
    if code := os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"exit code {code} from: {' '.join(words)}")
    return Cost(cpu, wall, peak * (1 if sys.platform == "darwin" else 1024))


def ratios_to(values: Mapping[str, float], baseline: str) -> dict[str, float]:
    """Return how many times less each value is than the baseline's."""
    return {name: values[baseline] / value for name, value in values.items()}


def write_report(
    name: str,
    *,
    title: str,
    rows: Sequence[Mapping[str, Any]],
    notes: Sequence[str] = (),
    figure: "Figure | None" = None,
    data: Mapping[str, Any] | None = None,
    more: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    target: str | None = None,
) -> Path:
    """Write results/NAME.json, NAME.md and, given a figure, NAME.png; print the Markdown.

    Args:
        name: Of the benchmark.
        title: The question.
        rows: The table, its columns in the order of the first row's keys; a None is shown as "-".
        notes: Sentences below the table: what was measured, how, what it does not say.
        figure: A matplotlib figure.
        data: More for the JSON file.
        more: Further tables, by their headings.
        target: Of make; `bench-NAME` by default.

    Returns:
        The Markdown file.
    """
    machine = hardware()
    folder = results_folder()
    report = {"title": title, "hardware": machine, "notes": list(notes), "rows": list(rows)}
    tables = {heading: list(others) for heading, others in (more or {}).items()}
    write_json(folder / f"{name}.json", report | tables | dict(data or {}))
    lines = [f"# {title}", ""]
    if figure is not None:
        with atomic_path(folder / f"{name}.png") as temporary:
            figure.savefig(temporary, format="png", dpi=150, bbox_inches="tight")
        lines += [f"![{title}]({name}.png)", ""]
    lines += [*markdown_table(rows), ""]
    for heading, others in tables.items():
        lines += [f"## {heading}", "", *markdown_table(others), ""]
    lines += [f"- {note}" for note in notes]
    lines += [f"- Made by `make {target or f'bench-{name}'}` on: {describe_hardware(machine)}.", ""]
    path = folder / f"{name}.md"
    write_text(path, "\n".join(lines))
    print(path.read_text(encoding="utf-8"))
    return path


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the lines of a Markdown table; figures are right-aligned and shortened."""
    keys = list(rows[0])
    is_text = {key: any(isinstance(row[key], str) for row in rows) for key in keys}
    rule = ["---" if is_text[key] else "---:" for key in keys]
    body = [[_cell(row[key]) for key in keys] for row in rows]
    return ["| " + " | ".join(cells) + " |" for cells in [keys, rule, *body]]


def hardware() -> dict[str, Any]:
    """Return the machine and the versions, as run folders record them, without names of places."""
    recorded = environment()
    machine = dict(recorded["machine"], platform=f"{platform.system()} {platform.machine()}")
    machine["num_cores"] = os.cpu_count()
    return {"machine": machine, "versions": recorded["versions"], "commit": recorded["commit"]}


def describe_hardware(facts: Mapping[str, Any]) -> str:
    """Return the hardware and the versions that matter, as one line."""
    machine, versions = facts["machine"], facts["versions"]
    gpus = ", ".join(machine["gpus"]) or "no GPU"
    return (
        f"{machine['cpu']} ({machine['num_cores']} cores, {machine['num_threads']} thread(s) "
        f"used), {gpus}, {machine['platform']}, Python {versions['python']}, torch "
        f"{versions['torch']}, commit {facts['commit']}"
    )


def results_folder() -> Path:
    """Return where results go: `--output DIR` on the script's command line, or results/."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of results")
    return Path(parser.parse_known_args()[0].output)


def _count(step: Step, min_seconds: float) -> int:
    step()
    once = max(_time(step, 1), 1e-9)
    return max(1, round(min_seconds / once))


def _time(step: Step, count: int) -> float:
    start = time.process_time()
    for _ in range(count):
        step()
    return (time.process_time() - start) / count


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
