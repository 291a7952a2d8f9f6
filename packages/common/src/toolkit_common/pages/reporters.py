"""Who reports a run of a kind: the package that made it, which no other need know.

It installs a function under the kind's name in the entry-point group `toolkit.reports`:
`report(run, output=..., table=..., as_json=...)`.
"""

from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path

from toolkit_common.errors import InputError
from toolkit_common.runs.facts import is_run, read_facts

GROUP = "toolkit.reports"


def find_reporter(paths: Sequence[Path]) -> Callable[..., None] | None:
    """Return what reports the run at a path, or None where it is none of a kind of its own.

    Raises:
        InputError: If it is one of several paths: such runs are reported one by one; or if its
            run.json is damaged.
    """
    points = {point.name: point for point in entry_points(group=GROUP)}
    for path in paths:
        kind = read_facts(path)["kind"] if is_run(path) else ""
        if kind in points:
            if len(paths) > 1:
                raise InputError(
                    f"{path} is a run of {kind}, which is reported alone: give one such run"
                )
            reporter: Callable[..., None] = points[kind].load()
            return reporter
    return None
