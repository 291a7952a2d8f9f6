"""`toolkit predict`: a finished run and new images in, a table of predictions out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from toolkit_common.console import console, result_console
from toolkit_common.errors import InputError
from toolkit_common.printable import counted
from toolkit_common.runs.files import refuse_no_file
from toolkit_common.scores.metrics import Predictions
from toolkit_common.scores.statistics import Estimate, estimate
from toolkit_common.seen.check import MARKS
from toolkit_common.training.distributed import build_accelerator
from toolkit_probing.predict.classify import Answers, classify, refuse_no_attention
from toolkit_probing.predict.learned_from import Learned, check_learned
from toolkit_probing.predict.new_images import leave_out_bad, read_data, read_images
from toolkit_probing.predict.saved_probe import SavedProbe, choose_probe, load_encoder
from toolkit_probing.predict.settings import PredictSettings
from toolkit_probing.predict.table import WRITERS, build_table, write_table
from toolkit_probing.results.rows import Row
from toolkit_probing.results.summary import SHOWN, TUNED, print_figures, why_no_intervals
from toolkit_probing.task.task import Task


@dataclass(frozen=True)
class Predicted:
    """What a probe said of new images.

    Attributes:
        probe: The probe.
        task: The images.
        learned: Who has learned from them.
        table: A row an image.
        row: The probe's row with its figures on these images; None where no classes are known.
    """

    probe: SavedProbe
    task: Task
    learned: Learned
    table: pd.DataFrame
    row: Row | None

    def to_json(self) -> dict[str, Any]:
        """Return all but the predictions, as `--json` prints it."""
        metrics = {} if self.row is None else self.row.metrics
        return {
            "run": str(self.probe.run),
            "row": self.probe.row.name,
            "head": self.probe.head.stem,
            "classes": list(self.probe.classes),
            "data": self.task.data.id,
            "rows": self.task.splits.origin,
            "num_images": len(self.table),
            "num_labelled": int((self.task.targets_of("test") >= 0).sum()),
            "bad_files": self.task.bad_files.get("problem", pd.Series(dtype=str)).tolist(),
            "seen": self.learned.status,
            "notes": [*self.task.data.choices, *self.learned.messages],
            "metrics": {name: asdict(item) for name, item in metrics.items()},
        }


def predict_images(
    run: Path, settings: PredictSettings, *, images: Sequence[str] = (), output: Path | None = None
) -> Predicted:
    """Let a probe predict images, and write what it says.

    Args:
        run: Finished probe run.
        settings: Which head; the data set, where no images are given.
        images: Files, folders and patterns.
        output: CSV or parquet file to write.

    Raises:
        InputError: If the run, the images or the file are at fault; nothing is written then.
    """
    if bool(images) == (settings.data is not None):
        raise InputError("give what to predict: --images PATH, or --data ID, one of both")
    if images and (settings.split != "all" or settings.label is not None):
        raise InputError("--split and --label are of --data: images have neither")
    if output is not None:
        refuse_no_file(output, *WRITERS)
    # In order of cost: names and paths, weights, and images last.
    probe = choose_probe(run, row=settings.row, method=settings.method)
    if settings.attention:
        refuse_no_attention(probe)
    task = read_images(probe, images) if images else read_data(probe, settings)
    encoder = load_encoder(probe, settings.backbone)
    learned = check_learned(probe, task, settings, export=encoder.export)
    task = leave_out_bad(task, settings)
    accelerator = build_accelerator(
        device=settings.device,
        precision=probe.settings.precision if settings.precision == "auto" else settings.precision,
    )
    answers = classify(probe, task, encoder.backbone, settings=settings, accelerator=accelerator)
    table = build_table(task, answers, learned.words(task.splits.test))
    if output is not None:
        write_table(output, table)
    return Predicted(probe, task, learned, table, _judge(probe, task, answers, learned=learned))


def show_predicted(predicted: Predicted, *, output: Path | None, as_json: bool) -> None:
    """Show figures as a table, with what must be known to read them, and where the rest is."""
    # Without a file stdout is for the predictions.
    out = result_console(as_json=as_json or output is None)
    row, task = predicted.row, predicted.task
    if row is not None:
        known = int((task.targets_of("test") >= 0).sum())
        units = "images" if task.data.groups is None else "groups"
        out.print(
            f"{predicted.probe.row.name} of {predicted.probe.run} on {task.data.id}: {known} of "
            f"{counted(len(predicted.table), 'image')} with a known {task.labels.name} "
            f"({task.splits.origin}),"
            f" 95 % intervals by bootstrap over {units}",
            soft_wrap=True,
            markup=False,
        )
        print_figures(out, [row])
        for line in why_no_intervals(row.metrics[name] for name in SHOWN):
            out.print(line, soft_wrap=True)
        if row.seen in MARKS:
            for line in predicted.learned.messages:
                out.print(line, soft_wrap=True, markup=False)
    if predicted.probe.row.is_tuned:
        # As large as beside the run's own table.
        console.print(TUNED, markup=False)
    if predicted.probe.results.backbone.random_weights:
        console.print("RANDOM WEIGHTS: the run judged no trained encoder")
    if output is not None:
        console.print(
            f"predictions of {counted(len(predicted.table), 'image')}: {output}", markup=False
        )


def _judge(probe: SavedProbe, task: Task, answers: Answers, *, learned: Learned) -> Row | None:
    """Return the probe's row with figures of its answers; None where no class is known."""
    targets = task.targets_of("test")
    known = targets >= 0
    if not known.any():
        return None
    predictions = Predictions(answers.probabilities[known].astype(float), targets[known])
    metrics: dict[str, Estimate] = estimate([predictions], task.groups_of("test")[known])
    return replace(probe.row, metrics=metrics, seen=learned.status, seeds=[probe.spec.seed])
