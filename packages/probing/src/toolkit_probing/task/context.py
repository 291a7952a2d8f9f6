"""What every method is given: one probe run, loaded, checked, its features computed."""

from collections.abc import Sequence
from dataclasses import dataclass

from accelerate import Accelerator

from toolkit_common.backbones.contract import Backbone
from toolkit_common.features.extract import Extracted
from toolkit_common.runs.folder import RunFolder
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.hiding import TestView
from toolkit_probing.task.subsets import Subset
from toolkit_probing.task.task import Task


@dataclass(frozen=True)
class Context:
    """One probe run.

    Attributes:
        settings: What is to be judged, with what.
        task: Images, labels and splits.
        subsets: Amounts of labels to learn from.
        backbone: Whose features are judged; where tuning starts.
        features: Of all rows of the task, in their order; of an encoder that is tuned, its images.
            Versions of test rows with less metadata stand behind them.
        views: Where the test rows are among them, one for each version.
        run: Heads, checkpoints and metrics.jsonl go there.
        accelerator: Where to compute.
    """

    settings: ProbeSettings
    task: Task
    subsets: Sequence[Subset]
    backbone: Backbone
    features: Extracted
    views: Sequence[TestView]
    run: RunFolder
    accelerator: Accelerator
