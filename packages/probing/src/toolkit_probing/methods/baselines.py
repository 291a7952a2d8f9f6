"""Baselines that read no image, judged as probes are: from the metadata, and from what is missing.

Printed beside every result on data whose sheet names metadata columns (docs/slimp.md): an
encoder that saw metadata in pre-training and does not beat them owes its figures to the metadata.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from toolkit_common.audit.baselines import fit_baselines
from toolkit_common.data.dataset import ImageData
from toolkit_probing.heads.inputs import NO_LAYER
from toolkit_probing.results.rows import Outcome
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.hiding import hide_cells
from toolkit_probing.task.subsets import Subset
from toolkit_probing.task.task import Task


def judge_baselines(
    task: Task,
    settings: ProbeSettings,
    subsets: Sequence[Subset],
    *,
    extrapolated: ImageData | None = None,
) -> list[Outcome]:
    """Fit the baselines on the labels that probes learn from, and predict test.

    Args:
        task: Labels and splits; metadata too, unless there are others.
        settings: How much of the metadata of test rows is hidden.
        subsets: Amounts of labels, each draw of which is fitted on.
        extrapolated: The data set with extrapolated metadata in place of its own.

    Returns:
        Outcomes of both, for each amount of labels and each share that is hidden; none where the
        sheet has no columns.
    """
    data = task.data if extrapolated is None else extrapolated
    kind = "" if extrapolated is None else "extrapolated"
    shares = sorted(set(settings.hide_metadata))
    tests = _versions(task, data, shares, seed=settings.seed)
    outcomes = [
        Outcome(
            method=f"{kind} {fitted.name} baseline".strip(),
            layer=NO_LAYER,
            source="no image",
            variant="-".join(part for part in ("baseline", kind, fitted.name) if part),
            subset=subset,
            settings={"columns": fitted.num_columns},
            picked="nothing",
            select_score=np.nan,
            seeds=[0] * len(subset.draws),
            draws=range(len(subset.draws)),
            probabilities=fitted.probabilities,
            num_parameters=fitted.num_parameters,
            flops=2 * fitted.num_parameters,
            selected="fitted on train",
        )
        for subset in subsets
        for fitted in fit_baselines(
            data,
            task.labels,
            task.splits,
            trains=[task.rows[draw] for draw in subset.draws],
            tests=tests,
        )
    ]
    return [part for outcome in outcomes for part in outcome.of_views(shares)]


def _versions(
    task: Task, data: ImageData, shares: Sequence[float], *, seed: int
) -> list[pd.DataFrame]:
    """Return the test rows with each share hidden; none where nothing is."""
    levels = {column.name: column.level for column in data.sheet.columns}
    table = data.table.iloc[task.splits.test]
    if data is not task.data:  # each row for itself, as encoders read it
        table = table.drop(columns="group", errors="ignore")
    if not any(shares):
        return []
    return [hide_cells(table, levels, share, seed=seed) if share else table for share in shares]
