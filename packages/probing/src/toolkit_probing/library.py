"""`probe()`: `toolkit probe` as a function, on ids or on what is loaded already.

It takes the command's settings by their names, goes the command's way (`toolkit_probing.run`), and
returns its figures as a table.
"""

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import Any
from warnings import warn

import numpy as np
import pandas as pd

from toolkit_common.backbones.contract import Backbone
from toolkit_common.config import Invocation, Layer, Resolved, resolve
from toolkit_common.console import quieted
from toolkit_common.data.dataset import ImageData
from toolkit_common.errors import InputError
from toolkit_common.registry import lookup
from toolkit_common.runs.locks import unlock_folder
from toolkit_probing.folds import run_any
from toolkit_probing.methods import METHODS
from toolkit_probing.protocols import PRESETS
from toolkit_probing.results.contents import Results, read_results
from toolkit_probing.results.rows import Row
from toolkit_probing.results.saved import SavedRun
from toolkit_probing.results.summary import show_results
from toolkit_probing.settings import ProbeSettings

SOURCE = "probe()"  # of settings, in messages
ROW_FIELDS = (
    "name", "method", "layer", "source", "labels", "inputs", "tune", "seen", "num_parameters",
    "settings",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """What a probe run found; `results` is all of it.

    Attributes:
        path: Its run folder, which `toolkit report`, `compare` and `attention` read. Where none was
            asked for it is a temporary one, gone when this object is.
        results: What results.json holds.
    """

    path: Path
    results: Results = field(repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Return a row a probe, then those of the baselines (`is_baseline`), on the test split.

        Every metric has its mean over repeats, and the 95 % interval by bootstrap over groups as
        `METRIC_low` and `METRIC_high`, NaN where it is undefined; of all folds (`folds=5`) the mean
        is over them, and `METRIC_pooled`, where there is one, is what the interval is of.
        `random_weights` says that the encoder was an untrained one, `seen` whether its pre-training
        has seen test patients.
        """
        rows = [(row, False) for row in self.results.rows]
        rows += [(row, True) for row in self.results.baselines]
        is_random = self.results.backbone.random_weights
        return pd.DataFrame(
            [
                {
                    **{name: getattr(row, name) for name in ROW_FIELDS},
                    **_figures(row),
                    "is_baseline": is_baseline,
                    "random_weights": is_random and not is_baseline,
                }
                for row, is_baseline in rows
            ]
        )

    def predictions(self, name: str, *, repeat: int = 0) -> pd.DataFrame:
        """Return the probability of every class for each test image, by its id and label.

        Args:
            name: Of a row of `to_frame()`.
            repeat: Which of its repeats (seeds, draws of the labels).

        Raises:
            InputError: If there is no such row or repeat; the message names those that there are.
        """
        saved = SavedRun(self.path, self.results)
        row = lookup({**saved.rows, **saved.baselines}, name, kind="row")
        if not 0 <= repeat < len(row.predictions):
            raise InputError(f"{name} has {len(row.predictions)} repeats, from 0, got {repeat}")
        made, classes = row.predictions[repeat], self.results.data.classes
        labels = np.asarray(classes)[made.targets]
        index = pd.MultiIndex.from_arrays([row.image_ids, labels], names=["image_id", "label"])
        return pd.DataFrame(made.probabilities, index, list(classes))

    def show(self) -> None:
        """Print what `toolkit probe` prints at its end."""
        show_results(self.results, self.path, as_json=False)


def probe(
    backbone: Backbone | str | None = None,
    data: ImageData | str = ProbeSettings.model_fields["data"].default,
    *,
    output: Path | str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    verbose: bool = False,
    **settings: Any,
) -> ProbeResult:
    """Judge a frozen encoder, as `toolkit probe` does, and return the figures.

    ```python
    probe("runs/derm", "lesions", method="ep,linear", ep={"num_queries": [8, 16]}, num_seeds=3)
    ```

    Args:
        backbone: A loaded backbone, or its id; None is the small untrained stand-in.
        data: A loaded data set, or its id.
        output: Run folder to create; without one it is a temporary folder.
        resume: Continue the run in `output`, to the same result.
        overwrite: Delete the run folder at `output` first.
        verbose: Whether to print, on stderr, what the command prints.
        **settings: The command's options by name (`method`, `label`, `folds`, ...), with `_` for
            `-`; options of a method as a dict under its name.

    Raises:
        InputError: (a ValueError) If something is at fault, as the command says it.
    """
    resolved = _resolve(backbone, data, settings)
    folder = Path(output) if output is not None else Path(tempfile.mkdtemp(prefix="toolkit-probe-"))
    call = Invocation(resolved, output=folder, resume=resume, overwrite=overwrite)
    try:
        with quieted(not verbose):
            run_any(
                call,
                backbone=backbone if isinstance(backbone, Backbone) else None,
                data=data if isinstance(data, ImageData) else None,
            )
        result = ProbeResult(folder, read_results(folder))
    except BaseException:
        if output is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        unlock_folder(folder)
    if output is None:
        weakref.finalize(result, shutil.rmtree, folder, ignore_errors=True)
    return result


def _resolve(
    backbone: Backbone | str | None, data: ImageData | str, settings: Mapping[str, Any]
) -> Resolved[ProbeSettings]:
    """Return the settings of a call, checked as those of a command; what is loaded by its id."""
    given = {name: _plain(value) for name, value in settings.items()}
    if isinstance(backbone, Backbone):
        _refuse_with_loaded("backbone", given, ("random_init", "allow_partial"))
        given |= {"backbone": backbone.info.id, "random_init": backbone.info.receipt.is_random}
    else:
        given["backbone"] = backbone
    if isinstance(data, ImageData):
        _refuse_with_loaded("data", given, ("premalignant_as",))
        data = data.id
    given["data"] = data
    resolved = resolve(
        ProbeSettings, [Layer(SOURCE, given)], presets=PRESETS, group_names=lambda: METHODS
    )
    for note in resolved.notes:
        warn(note, stacklevel=3)
    return resolved


def _refuse_with_loaded(what: str, given: Mapping[str, Any], names: Iterable[str]) -> None:
    if loading := [name for name in names if name in given]:
        raise InputError(
            f"{loading[0]} is of loading, and the {what} is loaded already: give it to "
            f"load_{what}(), or give probe() the {what}'s id"
        )


def _plain(value: Any) -> Any:
    """Return numpy's numbers and arrays as Python's."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def _figures(row: Row) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, estimate in row.metrics.items():
        low, high = estimate.ci or (nan, nan)
        mean = nan if estimate.mean is None else estimate.mean
        figures |= {name: mean, f"{name}_low": low, f"{name}_high": high}
        if estimate.pooled is not None:
            figures[f"{name}_pooled"] = estimate.pooled
    return figures
