"""A study's table in a terminal, as Markdown, CSV and JSON, with what must be known to read it."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from toolkit_common.pages.paste import markdown_table
from toolkit_common.printable import counted, first_of, markdown, placeless_id
from toolkit_common.scores.folds import is_pooled
from toolkit_common.scores.metrics import METRICS
from toolkit_common.scores.remarks import alike
from toolkit_common.study.figures import (
    FOLDS,
    NONE,
    OF_SPLITS,
    OWN,
    PATIENTS,
    Figure,
    Group,
    Key,
)
from toolkit_common.study.file import Study, written
from toolkit_common.study.records import RANDOM
from toolkit_common.study.table import Table

MISSING, UNDEFINED, REFERENCE = "missing", "undefined", "reference"
COUNT, FRONT = "count", "Pareto front"
EXPLAINED = {
    "SEEN": "the encoder was pre-trained on patients or images that it is judged on",
    "SEEN?": "whether the encoder was pre-trained on patients that it is judged on is not known",
    RANDOM: "the figures judge no trained encoder",
}
INTERVALS = {
    FOLDS: "intervals: 95 % t intervals over the folds, corrected for training sets that overlap "
    "(Nadeau and Bengio 2003)",
    PATIENTS: "intervals: 95 %, by bootstrap over the test {units}{of_folds}, encoders and heads "
    "held as they are",
    OWN: "intervals of a single cell: 95 %, by bootstrap over its test {units}",
}
SHOWN = 5  # cells that are named where more are missing
MOST_REMARKS = 12
BORDERS = 3  # characters beside a column's own
ENDS = {  # entries that are intervals -> how their two columns begin
    "interval": "",
    "difference_interval": "difference_",
    "difference_interval_over_folds": "difference_over_folds_",
}

# Values of the table's columns, metric or count, and which it is: nothing, its `gap`, `count`.
Column = tuple[Key, str, str]


def show_table(study: Study, table: Table, out: Console) -> None:
    """Print a table for humans, in as many parts side by side as the terminal is wide."""
    out.print(table.spec.title or study.spec.question, soft_wrap=True, markup=False)
    columns = list(_columns(table))
    while columns:
        count = len(columns)
        while count > 1 and _room(table, columns[:count], out.width) < 0:
            count -= 1
        out.print(_grid(table, columns[:count], out.width))
        columns = columns[count:]
    for line in notes(study, table):
        out.print(line, soft_wrap=True, markup=False)


def to_cells(table: Table) -> tuple[list[str], list[list[str]]]:
    """Return a table's headings, and its rows on one line a cell."""
    columns = list(_columns(table))
    headings = [*table.spec.rows, *(_heading(table, column) for column in columns)]
    rows = [
        [*row, *(_text(table, row, column).replace("\n", ", ") or NONE for column in columns)]
        for row in _rows(table)
    ]
    return headings, rows


def to_markdown(study: Study, table: Table) -> str:
    """Return a table as Markdown."""
    headings, rows = to_cells(table)
    title = markdown(table.spec.title or study.spec.question)
    names = len(table.spec.rows)
    align = "l" * names + "r" * (len(headings) - names)
    grid = markdown_table(headings, rows, align=align)
    remarks = (f"- {markdown(line)}" for line in notes(study, table))
    return "\n".join([f"# {title}", "", grid, "", *remarks, ""])


def to_csv(table: Table) -> str:
    """Return a line for each row, column and metric."""
    file = io.StringIO()
    lines = [_flat(entry) for entry in entries(table)]
    if lines:
        writer = csv.DictWriter(file, fieldnames=list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return file.getvalue()


def to_json(study: Study, table: Table) -> dict[str, Any]:
    """Return all that a table holds."""
    part = table.spec.test_rows
    return {
        "study": study.spec.name,
        "question": study.spec.question,
        "title": table.spec.title,
        "against": dict(table.spec.against),
        "over": list(table.spec.over),
        "rows": list(entries(table)),
        "missing": dict(table.missing),
        "notes": notes(study, table),
        "remarks": list(map(str, table.remarks)),
        **({"test_rows": {name: list(values) for name, values in part.items()}} if part else {}),
    }


def entries(table: Table) -> Iterator[dict[str, Any]]:
    """Yield each figure with all that belongs to it."""
    for (key, metric), figure in table.figures.items():
        group, gap = table.groups[key], figure.gap
        if group.records and not group.has(metric):  # a metric of other rows
            continue
        yield {
            **dict(zip(table.names, key, strict=True)),
            "metric": metric,
            "mean": figure.mean,
            "interval": figure.interval,
            "interval_of": figure.interval_of,
            "cells": len(group.records),
            "expected": len(group.expected),
            "difference": gap and gap.mean,
            "difference_interval": gap and gap.interval,
            "difference_interval_of": gap and gap.interval_of,
            "difference_interval_over_folds": gap and gap.over_folds,
            "difference_cells": gap and gap.units,
            **{name: group.count(name) for name in table.spec.counts},
            **({} if table.spec.front is None else {"is_on_front": key in table.front}),
            "selected": "; ".join(group.selected),
            "marks": "; ".join(group.marks),
        }


def notes(study: Study, table: Table) -> list[str]:
    """Return what must be known to read a table, a sentence each."""
    groups, spec = list(table.groups.values()), table.spec
    lines = []
    if table.missing:
        names = [f"{name} ({state})" for name, state in table.missing.items()]
        lines.append(f"MISSING: {counted(len(names), 'cell')}: {first_of(names, SHOWN)}")
    marks = dict.fromkeys(mark for group in groups for mark in group.marks)
    lines += [f"{mark}: {EXPLAINED[mark]}" for mark in marks]
    if table.judged:
        lines.append(f"OF A PART OF THE TEST IMAGES ALONE: {table.judged}")
    lines += _selections(groups)
    fields = [record.fields for group in groups for record in group.records.values()]
    over = [axis for axis in spec.over if any(axis in known for known in fields)]
    if over:
        lines.append(f"mean over {' and '.join(over)}; differences are taken cell by cell")
    lines += _of_intervals(table, has_folds=bool({*over} & {*OF_SPLITS}))
    lines += _of_front(table)
    if spec.against and not any(figure.gap for figure in table.figures.values()):
        why = table.unknown_reference or f"no row has its reference ({table.reference}) defined"
        lines.append(f"NO DIFFERENCES: {why}")
    given = ", ".join(
        f"{name} {placeless_id(written(item)) or 'none'}" for name, item in study.parameters.items()
    )
    if given:
        lines.append(f"parameters: {given}")
    remarks = list(map(str, alike(table.remarks)))
    rest = [f"and {len(remarks) - MOST_REMARKS} more remarks (--format json has all)"]
    return [*lines, *remarks[:MOST_REMARKS], *rest[: len(remarks) > MOST_REMARKS]]


def _of_intervals(table: Table, *, has_folds: bool) -> Iterator[str]:
    """Yield how intervals were made."""
    gaps = [figure.gap for figure in table.figures.values() if figure.gap]
    kinds = {item.interval_of for item in table.figures.values()}
    kinds |= {gap.interval_of for gap in gaps}
    of_folds = " of all folds" if has_folds else ""
    for kind, text in INTERVALS.items():
        if kind in kinds:
            yield text.format(units=table.units, of_folds=of_folds)
    pooled = [name for name in table.spec.metrics if name in METRICS and is_pooled(name)]
    if pooled and has_folds and PATIENTS in kinds:
        names = ", ".join(table.spec.metrics[name] for name in pooled)
        yield (
            f"{names} over {table.units}: of all folds' predictions together, not the mean over "
            "folds"
        )


def _of_front(table: Table) -> Iterator[str]:
    """Yield what the front is of, where one is marked."""
    if table.front:
        metric, count = (next(iter(of.values())) for of in (table.spec.metrics, table.spec.counts))
        yield (
            f"{FRONT}: no row with as few {count} has a better {metric}; of these figures, not of "
            "what can be told from chance"
        )


def _selections(groups: Sequence[Group]) -> Iterator[str]:
    """Yield how figures were selected, those of what reads no image apart: they are fitted."""
    for mine, all_alike in (
        ([group for group in groups if not group.is_baseline], "all figures"),
        ([group for group in groups if group.is_baseline], "baselines"),
    ):
        ways: dict[str, list[str]] = {}
        for group in mine:
            for way in group.selected:
                ways.setdefault(way, []).append(" ".join(group.key))
        if len(ways) > 1:
            each = (f"{way}: {', '.join(names)}" for way, names in ways.items())
            yield f"NOT SELECTED ALIKE: {'; '.join(each)}"
        elif ways:
            yield f"{all_alike}: {min(ways)}"


def _rows(table: Table) -> list[Key]:
    count = len(table.spec.rows)
    return list(dict.fromkeys(key[:count] for key in table.groups))


def _columns(table: Table) -> Iterator[Column]:
    """Yield key, metric and whether it is the figure or its difference, of columns with any."""
    count = len(table.spec.rows)
    for column in dict.fromkeys(key[count:] for key in table.groups):
        groups = [group for key, group in table.groups.items() if key[count:] == column]
        is_unread = not any(group.records for group in groups)
        for metric in table.spec.metrics:
            parts = []
            if is_unread or any(group.has(metric) for group in groups):
                parts.append("")
            if any(table.figures[group.key, metric].gap for group in groups):
                parts.append("gap")
            if table.spec.leads == "differences":
                parts.reverse()
            yield from ((column, metric, part) for part in parts)
        for name in table.spec.counts:
            if any(group.count(name) is not None for group in groups):
                yield column, name, COUNT


def _heading(table: Table, column: Column) -> str:
    key, metric, what = column
    if what == COUNT:
        return " ".join([*key, table.spec.counts[metric]])
    name = " ".join([*key, table.spec.metrics[metric]])
    return f"{name} minus {table.reference}'s" if what else name


def _grid(table: Table, columns: list[Column], width: int) -> Grid:
    """Return a part of a table: no word and no figure broken, the rest as there is room."""
    grid, names = Grid(show_lines=True), len(table.spec.rows)
    texts, room = _texts(table, columns), _room(table, columns, width)
    for at, column in enumerate(texts):
        own = None if room < 0 else _least(column, is_name=at < names)
        if own is not None:
            more = min(room, max(len(line) for text in column for line in text.split("\n")) - own)
            own, room = own + more, room - more
        justify: Any = "left" if at < names else "right"
        grid.add_column(column[0], justify=justify, overflow="fold", width=own)
    for row in zip(*(column[1:] for column in texts), strict=True):
        grid.add_row(*row)
    return grid


def _texts(table: Table, columns: list[Column]) -> list[list[str]]:
    """Return the columns of a part of a table, heading first, names of rows in front."""
    rows = _rows(table)
    names = [[name, *(row[at] for row in rows)] for at, name in enumerate(table.spec.rows)]
    return names + [
        [_heading(table, column)]
        + [_text(table, row, column).replace(" over ", "\nover ") for row in rows]
        for column in columns
    ]


def _room(table: Table, columns: list[Column], width: int) -> int:
    """Return the characters that are left where no word of a name and no figure is broken."""
    texts, count = _texts(table, columns), len(table.spec.rows)
    least = [_least(item, is_name=at < count) for at, item in enumerate(texts)]
    return width - sum(least) - BORDERS * len(least) - 1


def _least(texts: list[str], *, is_name: bool) -> int:
    heading, *cells = texts
    whole = [part for text in cells for part in (text.split() if is_name else text.splitlines())]
    return max(map(len, [*heading.split(), *whole]), default=1)


def _text(table: Table, row: Key, column: Column) -> str:
    own, metric, what = column
    key = (*row, *own)
    group = table.groups.get(key)
    if group is None:
        return ""
    if what == COUNT:
        number = group.count(metric)
        is_marked = key in table.front and metric == next(iter(table.spec.counts))
        return "" if number is None else f"{number:,}" + f"\n{FRONT}" * is_marked
    figure = table.figures[key, metric]
    if what:
        return _gap(table, group, figure)
    if not group.records:
        return MISSING
    if not group.has(metric):
        return ""
    lines = [UNDEFINED if figure.mean is None else f"{figure.mean:.3f}"]
    if figure.interval:
        lines[0] += f" {_interval(figure.interval, '.2f')}"
    if group.missing:
        lines.append(f"{group.missing} of {len(group.expected)} cells {MISSING}")
    return "\n".join([*lines, *group.marks])


def _gap(table: Table, group: Group, figure: Figure) -> str:
    if figure.gap is None:
        names = dict(zip(table.names, group.key, strict=True))
        is_reference = all(names[name] == str(value) for name, value in table.spec.against.items())
        return REFERENCE if is_reference and group.records else ""
    gap = figure.gap
    lines = [UNDEFINED if gap.mean is None else f"{gap.mean:+.3f}"]
    if gap.interval:
        of = table.units if gap.interval_of == PATIENTS else gap.interval_of
        lines[0] += f" {_interval(gap.interval, '+.3f')} over {of}"
    if gap.units < len(group.expected):
        lines.append(f"of {counted(gap.units, 'cell')}")
    return "\n".join([*lines, *group.marks])


def _interval(interval: tuple[float, float], form: str) -> str:
    return f"[{interval[0]:{form}}, {interval[1]:{form}}]"


def _flat(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry with each interval as two columns."""
    flat: dict[str, Any] = {}
    for key, value in entry.items():
        if key in ENDS:
            flat[f"{ENDS[key]}low"], flat[f"{ENDS[key]}high"] = value or ("", "")
        else:
            flat[key] = "" if value is None else value
    return flat
