"""Cells of metadata that are hidden from test rows: what is left of a figure as less is known.

Of each column a share of the cells that have a value is hidden before anything is encoded, of test
rows alone: heads are trained and picked on what there is. What is hidden at one share is hidden at
each larger one. A patient's value is one cell, however many images have it: it would be read from
the others. Whoever hides draws by name, so that neither the order of rows nor other columns matter.

Shapes: n rows of the task, t of them of test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from toolkit_common.data.sheet import Level
from toolkit_common.seed import derive_seed
from toolkit_probing.task.task import Task


@dataclass(frozen=True)
class TestView:
    """The test rows with a share of their metadata hidden.

    Attributes:
        share: Of the cells that have a value, in [0, 1].
        positions: Where they are among the features `(t,)`.
        hidden: Cells that are hidden.
        known: Cells that had a value.
    """

    __test__ = False  # no test, whatever its name begins with

    share: float
    positions: np.ndarray
    hidden: int = 0
    known: int = 0


@dataclass(frozen=True)
class Hidden:
    """All versions of a task's test rows.

    Attributes:
        views: One a share, ascending.
        tables: The test rows of those with a share above 0, which stand behind the task's rows.
    """

    views: Sequence[TestView]
    tables: Sequence[pd.DataFrame] = field(default_factory=list)

    def origins(self, task: Task) -> np.ndarray:
        """Return which of the task's rows each row of the features is a version of."""
        return np.concatenate(
            [np.arange(len(task.rows)), *[task.positions("test")] * len(self.tables)]
        )

    def facts(self) -> list[dict[str, float]]:
        """Return what results record: nothing where nothing is hidden."""
        return [
            {"share": view.share, "cells": view.hidden, "of": view.known}
            for view in self.views
            if self.tables
        ]


def hide_at_test(
    task: Task, table: pd.DataFrame, levels: Mapping[str, Level], *, shares: Sequence[float],
    seed: int,
) -> Hidden:  # fmt: skip
    """Return the test rows with each share of their metadata hidden.

    Args:
        task: The task.
        table: Its rows, in their order, with a `group` where patients share values.
        levels: Columns of metadata, and whom each describes.
        shares: How much, in [0, 1]; at 0 the rows are those of the task themselves.
        seed: Of what is hidden.
    """
    test = task.positions("test")
    if not any(shares):
        return Hidden([TestView(0.0, test)])
    plain = table.iloc[test]
    names = [name for name in levels if name in plain]
    known = int(plain[names].notna().to_numpy().sum())
    views, tables = [], list[pd.DataFrame]()
    for share in sorted(set(shares)):
        if share == 0.0:
            views.append(TestView(share, test, 0, known))
            continue
        less = hide_cells(plain, levels, share, seed=seed)
        start = len(task.rows) + len(tables) * len(test)
        gone = known - int(less[names].notna().to_numpy().sum())
        views.append(TestView(share, np.arange(start, start + len(test)), gone, known))
        tables.append(less)
    return Hidden(views, tables)


def hide_cells(
    table: pd.DataFrame, levels: Mapping[str, Level], share: float, *, seed: int
) -> pd.DataFrame:
    """Return a table without a share of the known cells of each column, rounded.

    Args:
        table: Rows with an `image_id`, and a `group` where patients share values.
        levels: Columns, and whom each describes.
        share: In [0, 1]; more hides what less does.
        seed: Of which cells.
    """
    changed = {}
    for name in (name for name in levels if name in table):
        of_patient = levels[name] == "patient" and "group" in table
        owners = table["group" if of_patient else "image_id"].astype(str).to_numpy()
        known = table[name].notna().to_numpy()
        units = np.unique(owners[known])
        order = np.random.default_rng(derive_seed(seed, "hide metadata", name)).permutation(
            len(units)
        )
        gone = known & np.isin(owners, units[order[: round(share * len(units))]])
        # As objects: a whole number must not become another word for want of a missing integer.
        changed[name] = table[name].astype(object).mask(gone, None)
    return table.assign(**changed)


def percent(share: float) -> str:
    """Return a share as results name it."""
    return f"{100 * share:g} %"
