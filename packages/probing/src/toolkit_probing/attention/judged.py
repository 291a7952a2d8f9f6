"""The test images of a finished run, again: the images, and what the encoder gives for them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from toolkit_common.backbones.contract import Backbone
from toolkit_common.console import quieted
from toolkit_common.errors import InputError
from toolkit_common.features.contract import FeatureSource, LayerFeatures
from toolkit_common.features.encode import OnlineSource, RowEncoder
from toolkit_common.features.finite import row_names
from toolkit_common.features.store import TokenStore, find_store
from toolkit_common.images.open import Place
from toolkit_common.runs.folder import RunFolder
from toolkit_common.training.distributed import own_accelerator
from toolkit_probing.protocols import settings_of
from toolkit_probing.results.contents import read_results
from toolkit_probing.results.saved import SavedRun
from toolkit_probing.task.encoder import build_extraction, load_judged_backbone
from toolkit_probing.task.task import Task, read_task, without_images

Encoded = tuple[Backbone, FeatureSource]  # an encoder, and its features of a task's rows


@dataclass(frozen=True)
class JudgedImages:
    """Test images, and what an encoder gives for them.

    Attributes:
        task: Their task.
        encoded: By the file of a head: the encoder that it reads, and the features of `task.rows`.
    """

    task: Task
    encoded: Callable[[Path], Encoded]

    @property
    def ids(self) -> list[str]:
        """Names of the test images, in their order."""
        return self.task.data.table["image_id"].to_numpy()[self.task.splits.test].tolist()

    def place(self, at: int) -> Place:
        """Return where a test image is, by its number."""
        place: Place = self.task.data.images[int(self.task.splits.test[at])]["image"]
        return place

    def features(self, source: FeatureSource, at: np.ndarray) -> LayerFeatures:
        """Return the features of some test images, by their numbers, on the CPU."""
        (layers,) = source.iterate([self.task.positions("test")[at]])
        return {layer: features.to("cpu") for layer, features in layers.items()}


@contextmanager
def open_judged(run: Path) -> Iterator[JudgedImages]:
    """Give the test images of a finished run, while the folder that it began in is the current one.

    Tokens come from the store, where they still lie, else from the encoder.

    Args:
        run: The run's folder, absolute.

    Raises:
        InputError: If the data are gone or their test images are no longer those of the run; the
            encoder is held against the run's when a head's is wanted.
    """
    settings = settings_of(run)
    # Settings name data and weights as seen from where the run began.
    with (
        RunFolder(run).where_it_began(),
        own_accelerator(device=settings.device, precision=settings.precision) as accelerator,
    ):
        # What was chosen of data and encoder the run has said; what changed is refused.
        with quieted(wanted=True):
            task = _same_task(run, read_task(settings))

        def encoded(head: Path) -> Encoded:
            with quieted(wanted=True):
                backbone = load_judged_backbone(run, settings, head=head.name)
            how = replace(
                build_extraction(settings, accelerator), with_pooled="pooled" in settings.vectors
            )
            encoder = RowEncoder(backbone, task.data, how, accelerator)
            # Those of the store are the untuned encoder's.
            return backbone, _source(encoder, task.rows, stored=settings.tune == "none")

        yield JudgedImages(task, encoded)


def _same_task(run: Path, task: Task) -> Task:
    """Return a task that was read again without the images that the run has left out."""
    bad = run / "bad_files.csv"
    if bad.is_file():
        task = without_images(task, pd.read_csv(bad))
    ids = task.data.table["image_id"][task.splits.test]
    if set(ids) != set(SavedRun(run, read_results(run)).test_rows.index):
        raise InputError(
            f"the test images of {task.data.id} are not those that {run} judged: the data or their "
            "splits have changed"
        )
    return task


def _source(encoder: RowEncoder, rows: np.ndarray, *, stored: bool) -> FeatureSource:
    """Return the features of rows: those of the store, if it has them."""
    folder = find_store(encoder.store_spec(rows), encoder.how.store_dir) if stored else None
    if folder is not None:
        return TokenStore(folder, name_row=row_names(encoder.data, rows))
    return OnlineSource(encoder, rows, dtype=encoder.how.dtype)
