"""What a finished run is read by: its page, and its table to paste."""

from pathlib import Path

import numpy as np

from toolkit_common.console import console
from toolkit_common.data.dataset import ImageData
from toolkit_common.extras import is_installed
from toolkit_common.outside import OutsideError
from toolkit_common.printable import shell_line
from toolkit_common.runs.files import write_text
from toolkit_common.scores.metrics import is_ranking
from toolkit_probing.attention.mistakes import OpenImages
from toolkit_probing.reports.answer import answer_of
from toolkit_probing.reports.formats import to_latex, to_markdown
from toolkit_probing.reports.recomputed import Recomputed, Report
from toolkit_probing.results.contents import Results
from toolkit_probing.results.saved import SavedRun

PAGE, SUMMARY = "report.html", "summary.md"
METRICS = ("auroc", "balanced_accuracy", "top1", "macro_f1", "expected_calibration_error",
           "log_loss")  # fmt: skip
MOST_HELD = 1 << 25  # probabilities of all rows: a quarter of a GiB
MOST_RANKED = 1 << 20  # images x classes: beyond, comparing every two rows by AUROC takes minutes


def write_reports(
    folder: Path,
    results: Results,
    data: ImageData,
    *,
    open_images: OpenImages | None = None,
    pictures: bool = True,
) -> None:
    """Write the page and the table of a run that is about to end; its predictions lie there.

    Args:
        folder: The run's.
        results: What it gave.
        data: What it judged on; the page pictures some of it.
        open_images: Gives its test images, for its worst mistakes; None for none of these.
        pictures: Whether the page may show images at all.

    Without vl-convert, and of predictions too many to hold, there is none, which one line says.
    """
    rows = [*results.rows, *results.baselines]
    size = results.data.sizes["test"] * len(results.data.classes)
    held = size * sum(len(row.seeds) for row in rows)
    if held > MOST_HELD:
        return _say(folder, f"{held:,} probabilities are too many to draw")
    report = stored_report(SavedRun(folder, results), with_ranking=size <= MOST_RANKED)
    table = f"{to_markdown(report)}\n```latex\n{to_latex(report)}```\n"
    write_text(folder / SUMMARY, f"# {folder.name}\n\n{table}")
    if not is_installed("vl_convert"):
        why = "vl-convert is not installed: pip install 'toolkit-probing[plots]'"
        return _say(folder, why)
    from toolkit_probing.reports.page import write_html  # its figures take long to import

    answer = answer_of(report)
    try:
        write_html(
            folder / PAGE, report, answer, data=data, open_images=open_images, pictures=pictures
        )
    except OutsideError as error:  # figures cost hours, and stand in the results
        later = shell_line(["toolkit", "report", str(folder), "--output", "PAGE.html"])
        _say(folder, f"{error}; {later} makes one later")


def stored_report(run: SavedRun, *, with_ranking: bool = True) -> Report:
    """Return the report of a run's own figures, as they stand in its results: nothing is resampled.

    Args:
        run: The run.
        with_ranking: Whether metrics that sort all images are among them.
    """
    names = [name for name in METRICS if with_ranking or not is_ranking(name)]
    rows = [
        Recomputed(
            run=run.path,
            row=saved.row,
            column=None,
            value=None,
            num_images=len(saved.image_ids),
            num_groups=int(np.unique(saved.groups).size),
            metrics={name: saved.row.metrics[name] for name in names},
            confusion=None,
        )
        for saved in (*run.rows.values(), *run.baselines.values())
    ]
    return Report(names, (), [run], rows)


def _say(folder: Path, why: str) -> None:
    console.print(f"{folder.name}: no {PAGE}, as {why}", markup=False)
