"""`toolkit pretrain slimp`: images and metadata in, an exported encoder out."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from toolkit_common.config import Invocation
from toolkit_common.console import console, result_console
from toolkit_common.data.splits import splits_table
from toolkit_common.errors import InputError
from toolkit_common.printable import shell_line
from toolkit_common.runs.files import sha256_of_text, write_text
from toolkit_common.runs.folder import RunFolder, choose_run_folder
from toolkit_common.seen.check import mark
from toolkit_common.training.distributed import build_accelerator, on_main
from toolkit_slimp.architecture import keep_architecture
from toolkit_slimp.exporting.continued import load_parent
from toolkit_slimp.exporting.write import export_slimp
from toolkit_slimp.model.warm_start import Parent
from toolkit_slimp.reports.command import show_finished
from toolkit_slimp.reports.contents import Results, read_results
from toolkit_slimp.reports.finished import labels_of, next_step, read_finished
from toolkit_slimp.reports.run_end import PAGE, SUMMARY, write_reports
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.training.loop import pretrain
from toolkit_slimp.training.setup import Setup, set_up
from toolkit_slimp.training.trackers import refuse_missing
from toolkit_slimp.watching.chance import show


def run_pretrain(invocation: Invocation[SlimpSettings]) -> dict[str, Any]:
    """Carry out one pre-training run and return what results.json holds.

    Raises:
        InputError: If the settings, the data or the backbone are at fault, or the loss diverges.
        KeyboardInterrupt: After Ctrl-C, when the state is saved.
    """
    settings = invocation.settings
    if settings.is_every_fold:
        assert settings.folds is not None, "every fold of some"
        raise InputError(
            f"pretrain slimp trains one encoder a run: add --fold K, 0 to {settings.folds - 1}, "
            f"each with an --output of its own; toolkit probe --folds {settings.folds} --fold K "
            "then judges encoder K"
        )
    run = choose_run_folder(invocation, name="slimp")
    if invocation.resume and run.is_done:  # done: nothing is trained or loaded again
        return _show(read_results(run), run, invocation)
    # Before anything long.
    refuse_missing(settings.tracker)
    parent = None
    if settings.from_run is not None:
        invocation, parent = _continue_run(invocation, run, settings.from_run)
        settings = invocation.settings
    accelerator = build_accelerator(device=settings.device, precision=settings.precision)
    setup = set_up(settings, accelerator, parent)
    on_main(accelerator, lambda: _start(run, invocation, setup))
    _tell(setup)
    outcome = pretrain(setup.stepper, setup.stream, run=run, watch=setup.watch)
    labels = labels_of(setup.data, settings)
    results = Results.of(setup, outcome, label=None if labels is None else labels.name)
    # `finish` last: it writes DONE.
    if accelerator.is_main_process:
        export_slimp(run.path / "encoder", setup)
        if settings.report:
            write_reports(run, setup, results)
        run.write_results(results.to_json())
        run.finish(keep_checkpoints=settings.keep_checkpoints)
    accelerator.end_training()
    return _show(results, run, invocation)


def _continue_run(
    invocation: Invocation[SlimpSettings], run: RunFolder, path: Path
) -> tuple[Invocation[SlimpSettings], Parent]:
    """Return the call with the architecture of the run that it continues, and that run.

    Raises:
        InputError: If that run cannot be continued, so or at all.
    """
    parent = load_parent(path)
    if run.path.resolve() in (path.resolve(), *path.resolve().parents):
        raise InputError(
            f"--output {run.path} would overwrite the run that --from {path} continues: choose "
            "another --output"
        )
    completed = keep_architecture(invocation.resolved, parent.model.settings, path)
    return replace(invocation, resolved=completed), parent


def _tell(setup: Setup) -> None:
    console.print("\n".join(setup.describe()))
    if (adaptation := setup.adaptation) is not None:
        for table in adaptation.tables():
            console.print(table)
        for note in adaptation.notes:
            console.print(note, markup=False)


def _start(run: RunFolder, invocation: Invocation[SlimpSettings], setup: Setup) -> None:
    splits = splits_table(setup.splits, setup.data).to_csv(index=False)
    facts = {
        "data": setup.data.fingerprint(),
        "splits": sha256_of_text(splits),
        "encoder": setup.start_hash,
    }
    if setup.parent is not None:
        facts["parent"] = setup.parent.digest
    run.start(invocation, kind="pretrain-slimp", facts=facts)
    if not run.has("schema.json"):  # a resumed run is refused another one when it loads
        write_text(run.path / "schema.json", setup.schema.to_json())
    if not run.has("splits.csv"):  # nor other splits
        write_text(run.path / "splits.csv", splits)
    if setup.adaptation is not None:
        setup.adaptation.write(run.path)


def _show(
    results: Results, run: RunFolder, invocation: Invocation[SlimpSettings]
) -> dict[str, Any]:
    out = result_console(as_json=invocation.as_json)
    step, which = results.kept_state
    out.print(f"kept: step {step} of {results.steps}, {which}", soft_wrap=True)
    if run.has(SUMMARY):
        show_finished(read_finished(run.path), out)
    else:
        text = f"held-out patients: {show(results.held_out)}"
        out.print(mark(text, results.seen_by_start, between=" "), soft_wrap=True)
    out.print(f"run folder: {run.path}", soft_wrap=True)
    if run.has(PAGE):
        out.print(f"page: {run.path / PAGE}", soft_wrap=True)
    label = results.label
    title = "next" if label else "next, COLUMN being what holds the label"
    command = next_step(invocation.settings, run.path, data=results.data.id, label=label)
    out.print(f"{title}: {shell_line(command)}", soft_wrap=True, markup=False)
    return {**results.to_json(), "run": str(run.path)}
