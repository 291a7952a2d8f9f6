"""The SLIMP loop: batches of patients, the nested loss, held-out retrieval; resumable to the bit.

What a step sees and draws is a pure function of seed and step, so that weights, optimizer state
and the step are all there is to save.
"""

import time
from collections.abc import Iterable, Iterator, Mapping

import torch

from toolkit_common.console import progress
from toolkit_common.runs.checkpoints import CHECKPOINTS, save_checkpoint
from toolkit_common.runs.folder import RunFolder
from toolkit_common.training.interrupt import delayed_interrupt
from toolkit_common.training.late import Agreement
from toolkit_slimp.model.slimp import SlimpModel
from toolkit_slimp.model.terms import Members, NestedLoss
from toolkit_slimp.training.batches import Batch, BatchStream
from toolkit_slimp.training.keep import Outcome
from toolkit_slimp.training.step import Learner, Stepper, Watch
from toolkit_slimp.training.trackers import open_trackers
from toolkit_slimp.watching.chance import SUFFIX, beside_chance
from toolkit_slimp.watching.retrieval import describe_retrieval
from toolkit_slimp.watching.spread import describe_spread

SAVE_EVERY_S = 60.0
LOG_EVERY = 10
NOTED = {  # beside the bar, the newest value of each
    "recall@1": "lesion_recall_at_1",
    "of patients": "patient_recall_at_1",
    "knn": "val_knn_balanced_accuracy",
    "rank": "effective_rank",
    "alignment": "alignment",
    "uniformity": "uniformity",
    "scale": "lesion_logit_scale",
}
TERMS = {  # as logged, and as `NestedLoss` names them
    "loss": "total",
    "lesion_loss": "lesion",
    "patient_loss": "patient",
    "image_loss": "image",
}


def pretrain(
    stepper: Stepper,
    stream: BatchStream,
    *,
    run: RunFolder,
    watch: Watch,
) -> Outcome:
    """Train the stepper's model in place, by its settings; with an EMA, it ends as the average.

    It ends as the last state, or as the best of those that were watched, by `keep`.

    Args:
        stepper: The model, and how its gradient is computed.
        stream: Its batches.
        run: Checkpoints and metrics.jsonl go there; its newest checkpoint is continued.
        watch: Called once an epoch, or every `watch_every` steps, and at the end; its values are
            logged.

    Returns:
        What the model ends as, with the values of `watch` for it.

    Raises:
        KeyboardInterrupt: After an interrupt, when the state is saved.
        InputError: If the loss is no finite number, the batch saved and the state before kept; or
            if the checkpoint was made with another schema.
    """
    accelerator, model = stepper.accelerator, stepper.model
    settings, total = model.settings, stream.total_steps
    per_epoch = stream.sampler.batches_per_epoch
    learner = Learner(stepper, stream.table, run.path, total_steps=total)
    folder, last_saved = run.path / CHECKPOINTS, time.monotonic()
    step, pace = learner.resume_(folder), Pace()
    # What follows the checkpoint is about to be written again.
    if accelerator.is_main_process:
        run.rewind_log(step)
    seen: dict[str, float] = {}  # of the last look at held-out patients
    noted: dict[str, float] = {}
    note = ""
    with (
        open_trackers(settings, run, step, is_main=accelerator.is_main_process) as track,
        progress("pre-training", total) as advance,
        delayed_interrupt() as interruption,
    ):
        advance(step)
        learner.stop = Agreement(interruption, accelerator.num_processes)
        for batch in pace.watch(stream.batches(step, total)):
            loss, norm = learner.step_(batch.to(accelerator.device), step)
            # From here on `step` counts what is done: checkpoints and lines name the state after
            # it.
            step += 1
            is_due = step % (settings.watch_every or per_epoch) == 0 or step == total
            if is_due:
                learner.check()
                seen = learner.look(watch, batch, step - 1)
            if accelerator.is_main_process and (is_due or step % LOG_EVERY == 0):
                learner.check()
                values = {"epoch": step / per_epoch, **_describe(loss, model, batch.members)}
                values |= {**pace.read_(), "grad_norm": float(norm), **(seen if is_due else {})}
                run.log(step=step, **values)
                track(values, step)
                noted |= values
                note = _note(loss, noted)
            advance(note=note)
            stop = learner.stop.reached
            # One writes what all hold alike.
            if accelerator.is_main_process and (
                stop or step == total or time.monotonic() - last_saved > SAVE_EVERY_S
            ):
                learner.check()
                save_checkpoint(folder, step, learner.state())
                last_saved = time.monotonic()
            if stop:
                raise KeyboardInterrupt
    # After the last checkpoint, which holds all of them.
    return learner.finish_(watch, seen)


class Pace:
    """Counts lesions and seconds from one reading to the next."""

    def __init__(self) -> None:
        self._start_()

    def _start_(self) -> None:
        self._since = time.monotonic()
        self._waited = 0.0
        self._lesions = 0

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches, with the time that each one took to come on the clock."""
        source = iter(batches)
        while True:
            since = time.monotonic()
            batch = next(source, None)
            self._waited += time.monotonic() - since
            if batch is None:
                return
            self._lesions += len(batch.members.segments)
            yield batch

    def read_(self) -> dict[str, float]:
        """Return `lesions_per_s` and `data_wait` (a share of the time), and start anew."""
        elapsed = max(time.monotonic() - self._since, 1e-9)
        values = {
            "lesions_per_s": self._lesions / elapsed,
            "data_wait": self._waited / elapsed,
        }
        self._start_()
        return values


def _note(loss: NestedLoss, noted: Mapping[str, float]) -> str:
    terms = _terms(loss)
    own = [name for name in TERMS if name in terms]
    shown = {name.removesuffix("_loss"): beside_chance(name, terms) for name in own}
    shown |= {name: beside_chance(key, noted) for name, key in NOTED.items() if key in noted}
    return " ".join(f"{name} {text}" for name, text in shown.items())


def _terms(loss: NestedLoss) -> dict[str, float]:
    """Return the loss and its terms, the chance level of each behind it."""
    values = {}
    for name, key in TERMS.items():
        if (term := getattr(loss, key)) is not None:
            values[name] = float(term.detach())
            values[name + SUFFIX] = float(loss.chance[key])
    return values


@torch.no_grad()
def _describe(loss: NestedLoss, model: SlimpModel, members: Members) -> dict[str, float]:
    lesion_scale, patient_scale = model.scales().tolist()
    return {
        **_terms(loss),
        "lesion_logit_scale": lesion_scale,
        "patient_logit_scale": patient_scale,
        **describe_retrieval(loss, members),
        **describe_spread(loss.embeddings, loss.partners),
    }
