"""Optional trackers beside metrics.jsonl, through accelerate: TensorBoard and Weights & Biases.

metrics.jsonl is always written and holds the same values. wandb stays offline unless the
environment says otherwise (`WANDB_API_KEY` or `WANDB_MODE`), so that a run never waits for a
network nor asks for a login.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from toolkit_common.console import console
from toolkit_common.errors import InputError
from toolkit_common.runs.folder import RunFolder

TrackerName = Literal["tensorboard", "wandb"]
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


@dataclass(frozen=True)
class Trackers:
    """The trackers of a run.

    Attributes:
        names: Which ones; none in all processes but the main one.
        run: Their files go into its folder.
        config: Settings to show beside the curves.
    """

    names: Sequence[TrackerName]
    run: RunFolder
    config: Mapping[str, Any]

    @contextmanager
    def open(self, step: int) -> Iterator[Track]:
        """Yield what sends values and their step to all of them; they are closed afterwards.

        Args:
            step: The step that a run goes on from: what was shown after it gives way.
        """
        with ExitStack() as closing:
            opened = []
            for name in self.names:
                tracker = _START[name](self, step)
                closing.callback(tracker.finish)
                opened.append(tracker)

            def track(values: Mapping[str, float], at: int) -> None:
                for tracker in opened:
                    tracker.log(dict(values), step=at)

            yield track


def _start_tensorboard(trackers: Trackers, step: int) -> Any:
    from accelerate.tracking import TensorBoardTracker

    place = trackers.run.path
    tracker = TensorBoardTracker("tensorboard", place, purge_step=step + 1 if step else None)
    tracker.start()
    console.print(f"tracker: tensorboard --logdir {place / 'tensorboard'}")
    return tracker


def _start_wandb(trackers: Trackers, step: int) -> Any:
    del step  # wandb itself drops steps that it has
    from accelerate.tracking import WandBTracker

    run = trackers.run
    begun = f"{run.path.resolve()} {run.read_json('run.json')['starts'][0]}"
    has_key = "WANDB_API_KEY" in os.environ
    mode = os.environ.get("WANDB_MODE", "online" if has_key else "offline")
    tracker = WandBTracker(
        PROJECT,
        name=run.path.name,
        id=hashlib.sha256(begun.encode()).hexdigest()[:12],
        resume="allow",
        dir=str(run.path),
        mode=mode,
        config=dict(trackers.config),
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


_START: Mapping[TrackerName, Callable[[Trackers, int], Any]] = {
    "tensorboard": _start_tensorboard,
    "wandb": _start_wandb,
}
