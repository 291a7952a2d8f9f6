"""A run's recalls as a table to paste: Markdown, LaTeX, CSV; what forbids to believe it above."""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from toolkit_common.pages.paste import latex, latex_table, markdown_table
from toolkit_common.printable import markdown, placeless, placeless_id, shell_line
from toolkit_slimp.reports.claim import claim, warnings
from toolkit_slimp.reports.finished import PretrainRun
from toolkit_slimp.reports.recalls import KS, LEVELS, SEARCHES, Recall
from toolkit_slimp.watching.chance import SUFFIX

NOT_ENCODED = "Held-out images could not be encoded: no intervals."
ALIGN = "l" + "rr" * len(KS)  # of the table's columns


def claim_of(run: PretrainRun) -> str:
    """Return the sentence that a run is read for, or why there is none."""
    if run.watched is None:
        return NOT_ENCODED
    return claim(run.recalls, people=run.people, watched=run.watched)


def warnings_of(run: PretrainRun) -> list[str]:
    """Return what forbids to believe it, worst first."""
    return list(warnings(run.results, run.settings, watched=run.watched, values=run.recalls))


def heads() -> list[str]:
    """Return the heads of the table."""
    return ["search", *(f"recall at {k}{by}" for k in KS for by in ("", " by chance"))]


def table_rows(run: PretrainRun) -> list[list[str]]:
    """Return a row a search: recall at 1 and 5, with intervals, beside chance."""
    known = {item.key: item for item in run.recalls}
    rows = []
    for level in LEVELS:
        for search, way in zip(SEARCHES[level], ("recall", "reverse_recall"), strict=True):
            keys = [f"val_{level}_{way}_at_{k}" for k in KS]
            if all(key in known or key in run.results.held_out for key in keys):
                cells = [cell for key in keys for cell in _cells(run, known.get(key), key)]
                rows.append([f"{level}: {search}", *cells])
    return rows


def to_markdown(run: PretrainRun) -> str:
    """Return a table of Markdown, the answer and what forbids to believe it above it."""
    lines = [f"**{markdown(text)}**\n" for text in warnings_of(run)]
    lines += [f"{markdown(text)}\n" for text in (claim_of(run), _facts(run))]
    table = markdown_table(heads(), table_rows(run), align=ALIGN)
    return "\n".join([*lines, table, f"\n{markdown(_intervals(run))}"]) + "\n"


def to_latex(run: PretrainRun) -> str:
    """Return a LaTeX table (booktabs), its warnings in bold in its caption."""
    bold = [rf"\textbf{{{latex(text)}}}" for text in warnings_of(run)]
    said = [latex(text) for text in (_facts(run), _intervals(run))]
    return latex_table(heads(), table_rows(run), caption=" ".join([*bold, *said]), align=ALIGN)


def to_csv(run: PretrainRun) -> str:
    """Return a row a search and k: the figure with its interval, chance, warnings."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        ["run", "level", "search", "k", "recall", "recall_low", "recall_high", "chance", "above",
         "above_low", "above_high", "p", "rows", "warnings"]
    )  # fmt: skip
    said = "; ".join(warnings_of(run))
    for item in run.recalls:
        figures = [item.value, *(item.ci or (None, None)), item.chance]
        above = [item.above, *(item.above_ci or (None, None)), item.p, item.num_rows]
        writer.writerow(
            [placeless(str(run.path)), item.level, item.search, item.k, *figures, *above, said]
        )
    return buffer.getvalue()


FORMATS: Mapping[str, Callable[[PretrainRun], str]] = {
    "md": to_markdown,
    "csv": to_csv,
    "latex": to_latex,
}


def to_summary(run: PretrainRun) -> str:
    """Return what summary.md holds: the table in Markdown, and in LaTeX."""
    return f"# {run.path.name}\n\n{to_markdown(run)}\n```latex\n{to_latex(run)}```\n"


def to_json(run: PretrainRun) -> dict[str, Any]:
    """Return what `--format json` prints."""
    return {
        "run": str(run.path),
        "claim": claim_of(run),
        "warnings": warnings_of(run),
        "recalls": [asdict(item) for item in run.recalls],
        "held_out": dict(run.results.held_out),
        "judge_with": shell_line(run.judged_by),
    }


def _facts(run: PretrainRun) -> str:
    data, (step, _) = run.results.data, run.results.kept_state
    return f"{placeless_id(data.id)}, held out ({data.splits}), step {step} of SLIMP."


def _intervals(run: PretrainRun) -> str:
    return f"In brackets: 95 % intervals by bootstrap over {run.people}."


def _cells(run: PretrainRun, item: Recall | None, key: str) -> list[str]:
    if item is None:  # as it stands in results.json, without an interval
        held_out = run.results.held_out
        chance = held_out.get(key.replace("reverse_", "") + SUFFIX)  # none in results of before
        return [f"{held_out[key]:.3f}", "" if chance is None else f"{chance:.3f}"]
    interval = "" if item.ci is None else f" [{item.ci[0]:.2f}, {item.ci[1]:.2f}]"
    return [f"{item.value:.3f}{interval}", f"{item.chance:.3f}"]
