"""An audit in a terminal: the verdict, what it rests on, and the thresholds, at any width."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from toolkit_common.audit.audit import Audit
from toolkit_common.audit.findings import Finding
from toolkit_common.audit.shown.facts import FactTable, facts, tables, verdict
from toolkit_common.console import Column, plain_table, print_columns, result_console, with_room_for
from toolkit_common.printable import one_line

NARROW, KIND = 100, 16  # columns of a terminal below which kinds of findings break over lines
FIGURES = 60  # columns of a terminal that the table's figures take
SHORTEST, LONGEST = 12, 28  # of a class: longer names are cut, the page has them whole
STYLES = {"leak": "bold red", "warning": "yellow"}


def print_audit(audit: Audit) -> None:
    """Print an audit for humans."""
    out = result_console(as_json=False)
    style = "bold red" if audit.has_leak else "bold"
    out.print(Text(one_line(verdict(audit)), style=style), soft_wrap=True)
    for fact in facts(audit):
        out.print(one_line(fact), soft_wrap=True)
    out.print()
    _print_findings(out, audit.findings)
    for table in tables(audit):
        out.print(f"\n{table.title}", soft_wrap=True)
        names, figures = _columns(table, width=out.width)
        needed = len(figures) - table.spare
        shown = with_room_for(out, names, figures[:needed], more=figures[needed:])
        print_columns(out, names, shown)
        out.print(f"({table.thresholds})")


def _print_findings(out: Console, findings: Sequence[Finding]) -> None:
    table = plain_table()
    table.add_column("", no_wrap=True)
    table.add_column("kind", overflow="fold", max_width=KIND if out.width < NARROW else None)
    table.add_column("what was found", overflow="fold")
    for item in findings:
        word = item.severity.upper() if item.severity == "leak" else item.severity
        # Texts name what stands in the user's files.
        cells = (one_line(item.kind), one_line(item.text))
        table.add_row(Text(word, style=STYLES.get(item.severity, "")), *cells)
    out.print(table)


def _columns(table: FactTable, *, width: int) -> tuple[list[Column], list[Column]]:
    columns = [
        [one_line(row[at]) for row in table.rows]
        for at in range(len(table.names) + len(table.figures))
    ]
    most = min(LONGEST, max(SHORTEST, (width - FIGURES) // 2))
    names = [Column(*pair) for pair in zip(table.names, columns, strict=False)]
    figures = [
        Column(heading, _cut(cells, most), justify="right" if _is_figure(cells) else "left")
        for heading, cells in zip(table.figures, columns[len(table.names) :], strict=True)
    ]
    return names, figures


def _cut(cells: Sequence[str], most: int) -> list[str]:
    if max(map(len, cells)) <= LONGEST:
        return list(cells)
    return [f"{cell[: most - 1]}\u2026" if len(cell) > most else cell for cell in cells]


def _is_figure(cells: Sequence[str]) -> bool:
    return any(cell[:1].isdigit() for cell in cells)
