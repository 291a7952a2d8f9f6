"""What a pre-training run ends with: its page, and its table to paste."""

from toolkit_common.console import console
from toolkit_common.extras import is_installed
from toolkit_common.outside import OutsideError
from toolkit_common.printable import shell_line
from toolkit_common.runs.files import write_text
from toolkit_common.runs.folder import RunFolder
from toolkit_slimp.reports.contents import Results
from toolkit_slimp.reports.finished import PretrainRun, labels_of
from toolkit_slimp.reports.formats import to_summary
from toolkit_slimp.reports.watched import watch_again, write_watched
from toolkit_slimp.training.setup import Setup

PAGE, SUMMARY = "report.html", "summary.md"


def write_reports(run: RunFolder, setup: Setup, results: Results) -> None:
    """Write the page and the table of a run that is about to end; one process calls it.

    Its held-out patients are encoded once more, by the state that is kept, and put down for
    `toolkit report`. Without vl-convert there is no page, which one line says.
    """
    settings = setup.model.settings
    labels = labels_of(setup.data, settings)
    watched = watch_again(setup.watch, setup.model, setup.schema, labels=labels)
    write_watched(run.path, watched)
    finished = PretrainRun(
        run.path, results, run.facts(), settings, setup.schema, watched, setup.data
    )
    write_text(run.path / SUMMARY, to_summary(finished))
    if not is_installed("vl_convert"):
        why = "vl-convert is not installed: pip install 'toolkit-slimp[plots]'"
        console.print(f"{run.path.name}: no {PAGE}, as {why}", markup=False)
        return
    from toolkit_slimp.reports.page import write_html  # its figures take long to import

    try:
        write_html(run.path / PAGE, finished)
    except OutsideError as error:  # training cost hours, and what it learned stands in the results
        later = shell_line(["toolkit", "report", str(run.path), "--output", "PAGE.html"])
        console.print(f"{run.path.name}: no {PAGE}, as {error}; {later} makes one later")
