"""Statistics of attention maps as a table, and as a file."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path

from toolkit_common.console import Column, print_columns, result_console
from toolkit_common.printable import counted
from toolkit_common.runs.files import write_text
from toolkit_probing.attention.maps import ALMOST_EVEN
from toolkit_probing.attention.measure import Grid, Statistics
from toolkit_probing.results.layout import show_estimate

HEADINGS: Mapping[str, str] = {
    "entropy": "entropy",
    "peak": "peak",
    "overlap": "overlap",
    "coverage": "coverage",
    "effective_queries": "effective queries",
    "pointing": "pointing game",
    "iou": "IoU",
    "inside": "inside mask",
    "area": "mask area",
}


def show_statistics(statistics: Statistics, *, as_json: bool) -> None:
    """Print statistics for humans: on stdout, or on stderr where that has JSON."""
    out = result_console(as_json=as_json)
    images, groups = (
        counted(statistics.num_images, "image"), counted(statistics.num_groups, "group")
    )  # fmt: skip
    shared = statistics.grid and f", patch grid {_grid(statistics.grid)}"
    line = f"attention on {images} of {groups} ({statistics.images}){shared or ''}"
    if statistics.num_masks is not None:
        line += f"; {statistics.num_masks:,} with a mask"
    out.print(line, soft_wrap=True)
    names = list(statistics.heads[0].statistics)
    print_columns(
        out,
        [Column("head", [head.name for head in statistics.heads])],
        [
            *([] if shared else [Column("grid", [_grid(head.grid) for head in statistics.heads])]),
            Column("queries", [str(head.num_queries) for head in statistics.heads]),
            *(
                Column(
                    HEADINGS[name],
                    [show_estimate(head.statistics[name]) for head in statistics.heads],
                )
                for name in names
            ),
        ],
    )
    out.print(
        "means over images, 95 % intervals over groups; entropy and coverage: 1 is even; peak: the "
        "strongest patch in even shares; definitions: docs/attention.md",
        soft_wrap=True,
    )
    for head in statistics.heads:
        peak = head.statistics["peak"].mean
        if peak is not None and peak < ALMOST_EVEN:
            out.print(
                f"{head.name}: almost even (strongest patch {peak:.2f} times an even share on "
                "average): its maps say nothing of where",
                soft_wrap=True,
            )


def write_statistics(path: Path, statistics: Statistics) -> None:
    """Write statistics as CSV, a line a head and statistic, or as JSON, by the file's ending."""
    if path.suffix == ".json":
        return write_text(path, json.dumps(statistics.to_json(), indent=2, allow_nan=False) + "\n")
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["head", "queries", "statistic", "mean", "low", "high"])
    for head in statistics.heads:
        for name, value in head.statistics.items():
            low, high = value.ci or ("", "")
            mean = "" if value.mean is None else value.mean
            lines.writerow([head.name, head.num_queries, name, mean, low, high])
    return write_text(path, text.getvalue())


def _grid(grid: Grid) -> str:
    height, width = grid
    return f"{height} x {width}"
