"""Baselines that read no image, judged as probes are: from the metadata, and from what is missing.

Printed beside every result on data whose sheet names metadata columns (docs/slimp.md): an
encoder that saw metadata in pre-training and does not beat them owes its figures to the metadata.
"""

import numpy as np

from toolkit_common.audit.baselines import fit_baselines
from toolkit_common.data.dataset import ImageData
from toolkit_probing.heads.inputs import NO_LAYER
from toolkit_probing.results.rows import Outcome
from toolkit_probing.task.subsets import ALL, Subset
from toolkit_probing.task.task import Task


def judge_baselines(task: Task, extrapolated: ImageData | None = None) -> list[Outcome]:
    """Fit the baselines on all of train and predict test; none where the sheet has no columns.

    Args:
        task: Labels and splits; metadata too, unless there are others.
        extrapolated: The data set with extrapolated metadata in place of its own.
    """
    data = task.data if extrapolated is None else extrapolated
    kind = "" if extrapolated is None else "extrapolated"
    everything = Subset(ALL, "", [task.positions("train")])
    return [
        Outcome(
            method=f"{kind} {fitted.name} baseline".strip(),
            layer=NO_LAYER,
            source="no image",
            variant="-".join(part for part in ("baseline", kind, fitted.name) if part),
            subset=everything,
            settings={"columns": fitted.num_columns},
            picked="nothing",
            select_score=np.nan,
            seeds=[0],
            draws=[0],
            probabilities=[fitted.probabilities],
            num_parameters=fitted.num_parameters,
            flops=2 * fitted.num_parameters,
            selected="fitted on train",
        )
        for fitted in fit_baselines(data, task.labels, task.splits)
    ]
