"""Optional trackers beside metrics.jsonl, through accelerate: TensorBoard and Weights & Biases.

metrics.jsonl is always written and holds the same values. wandb stays offline unless the
environment has `WANDB_API_KEY` or `WANDB_MODE`, so that a run never waits for a network nor a
login.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any

from toolkit_common.console import console
from toolkit_common.errors import InputError
from toolkit_common.runs.folder import RunFolder
from toolkit_slimp.settings import SlimpSettings, TrackerName

Track = Callable[[Mapping[str, float], int], None]
PROJECT = "toolkit-slimp"


def refuse_missing(names: Sequence[TrackerName]) -> None:
    """Refuse trackers whose package is not installed.

    Raises:
        InputError: Naming the command that installs it.
    """
    for name in names:
        if find_spec(name) is None:
            raise InputError(
                f"tracker {name!r} needs its package: pip install 'toolkit-slimp[{name}]', or drop "
                "--tracker (metrics.jsonl has the same values)"
            )


@contextmanager
def open_trackers(
    settings: SlimpSettings, run: RunFolder, step: int, *, is_main: bool = True
) -> Iterator[Track]:
    """Yield what sends values and their step to all trackers; they are closed afterwards.

    Args:
        settings: Name the trackers, and are shown beside the curves.
        run: The trackers' files go into its folder.
        step: The step that a run goes on from: what was shown after it gives way.
        is_main: Whether this is the process that shows anything at all.
    """
    with ExitStack() as closing:
        opened = []
        for name in settings.tracker if is_main else ():
            tracker = _START[name](settings, run, step)
            # One by one, so that what was opened is closed if the next does not start.
            closing.callback(tracker.finish)
            opened.append(tracker)

        def track(values: Mapping[str, float], at: int) -> None:
            for tracker in opened:
                tracker.log(dict(values), step=at)

        yield track


def _start_tensorboard(settings: SlimpSettings, run: RunFolder, step: int) -> Any:
    del settings  # it shows curves alone
    from accelerate.tracking import TensorBoardTracker

    tracker = TensorBoardTracker("tensorboard", run.path, purge_step=step + 1 if step else None)
    tracker.start()
    console.print(f"tracker: tensorboard --logdir {run.path / 'tensorboard'}")
    return tracker


def _start_wandb(settings: SlimpSettings, run: RunFolder, step: int) -> Any:
    del step  # wandb itself drops steps that it has
    from accelerate.tracking import WandBTracker

    # The same at each start of a run, so that a resumed one goes on in its own curves.
    begun = f"{run.path.resolve()} {run.facts()['starts'][0]}"
    has_key = "WANDB_API_KEY" in os.environ
    mode = os.environ.get("WANDB_MODE", "online" if has_key else "offline")
    tracker = WandBTracker(
        PROJECT,
        name=run.path.name,
        id=hashlib.sha256(begun.encode()).hexdigest()[:12],
        resume="allow",
        dir=str(run.path),
        mode=mode,
        config=settings.model_dump(mode="json"),
    )
    try:
        tracker.start()
    except Exception as error:  # its own errors, and whatever a network has
        raise InputError(
            f"wandb did not start in mode {mode} ({type(error).__name__}: {error}): set "
            "WANDB_MODE=offline, or drop --tracker wandb"
        ) from error
    if mode == "offline":
        console.print(f"tracker: wandb is offline; later: wandb sync {run.path / 'wandb'}/*run-*")
    return tracker


_START: Mapping[TrackerName, Callable[[SlimpSettings, RunFolder, int], Any]] = {
    "tensorboard": _start_tensorboard,
    "wandb": _start_wandb,
}
