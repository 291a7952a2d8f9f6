"""From a published row to the study that measures it here: the same encoder, data and settings."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit_common.backbones.listing import read_shape
from toolkit_common.errors import InputError
from toolkit_common.ids import add_option
from toolkit_probing.published.rows import METHODS, Published, PublishedRow
from toolkit_probing.published.settings import ReproduceSettings
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.task import read_task

STUDY = Path(__file__).with_name("reproduce.yaml")
CELL = Path("probe/run")  # of the study's runs, its only one
PLACE_OF_DATA, PLACE_OF_WEIGHTS = "imagefolder:IMAGENET", "WEIGHTS"


@dataclass(frozen=True)
class Reproduction:
    """A published row, and what of it is measured with what.

    Attributes:
        name: The row's name.
        row: The row.
        published: The file that it stands in.
        backbone: Id of the encoder, with the user's weights.
        data: Id of the data set.
        methods: Which figures.
    """

    name: str
    row: PublishedRow
    published: Published
    backbone: str
    data: str
    methods: Sequence[str]

    @property
    def assignments(self) -> list[str]:
        """The parameters of its study, as `--set` takes them."""
        row, methods = self.row, self.methods
        values = {
            "protocol": self.published.protocol,
            "methods": list(methods),
            "backbone": self.backbone,
            "data": self.data,
            "vectors": row.linear.reads if {"knn", "linear"} & set(methods) else None,
            "tokens": row.ep.reads if "ep" in methods else None,
            "queries": row.ep.queries if "ep" in methods else None,
            "k": row.knn.k if "knn" in methods else None,
            "temperature": row.knn.temperature if "knn" in methods else None,
        }
        return [f"{key}={json.dumps(value)}" for key, value in values.items()]


def reproduction_of(
    name: str, published: Published, settings: ReproduceSettings
) -> tuple[Reproduction, list[str]]:
    """Return how a row is measured, and what must be known of that.

    Raises:
        InputError: If there is no such row, a method has no figure, or the encoder is not to be
            had without the user.
    """
    row = published.row(name)
    for method in settings.method:
        if method not in METHODS:
            raise InputError(f"rows have figures of {', '.join(METHODS)}, got method {method!r}")
    wanted = [method for method in METHODS if method in settings.method]
    methods = [method for method in wanted if not _is_projected(row, method)]
    notes = []
    if left_out := [method for method in wanted if method not in methods]:
        notes.append(
            f"{', '.join(left_out)} left out: published of features projected into another space, "
            "which nothing here reads"
        )
    if not methods:
        raise InputError(f"nothing of {name} is left to measure: {notes[0]}")
    backbone = _backbone_of(name, row, settings)
    data = settings.data or PLACE_OF_DATA
    if settings.data is None:
        notes.append(f"--data FOLDER puts your {published.data.title} in place of {data}")
    elif Path(data).is_dir():
        data = f"imagefolder:{data}"
    if backbone.endswith(f"weights={PLACE_OF_WEIGHTS}"):
        notes.append(f"--weights FILE puts your weights in place of {PLACE_OF_WEIGHTS}")
    if row.stochastic:
        notes.append(
            f"published with {row.stochastic} in the frozen encoder while heads trained; here it"
            " is in eval mode, so that figures may be higher"
        )
    return Reproduction(name.lower(), row, published, backbone, data, methods), notes


def refuse_other(reproduction: Reproduction) -> None:
    """Refuse an encoder or data that are not the row's, before days of computing.

    Raises:
        InputError: If data or weights are not named, nothing would be judged, heads would have
            other sizes than the published ones, or the data other numbers of classes or images.
    """
    wanted, row = reproduction.published.data, reproduction.row
    if reproduction.data == PLACE_OF_DATA:
        raise InputError(f"--run needs --data FOLDER: your {wanted.title}")
    if reproduction.backbone.endswith(f"={PLACE_OF_WEIGHTS}"):
        raise InputError(f"--run needs --weights FILE: those of {row.title}")
    judged = reproduction.published.judged
    if not set(judged) & set(reproduction.methods):
        raise InputError(
            f"only {' and '.join(judged)} can be judged, and what is left to measure is "
            f"{','.join(reproduction.methods)}: print the command without --run"
        )
    for method, size in _sizes_of_heads(reproduction):
        if method in reproduction.methods and size != row.parameters(method):
            raise InputError(
                f"{reproduction.backbone} is another encoder than that of {reproduction.name}: its "
                f"{method} has {size:,} parameters, the published one {row.parameters(method):,}"
            )
    settings = ProbeSettings(data=reproduction.data, select_on="test")
    task = read_task(settings)
    differs = wanted.differs_in(
        classes=len(task.labels.classes),
        train=len(task.splits.train),
        test=len(task.splits.test),
    )
    if differs:
        raise InputError(
            f"{reproduction.data} is not {wanted.title}, of which the row is: {differs}"
        )


def _is_projected(row: PublishedRow, method: str) -> bool:
    read = row.ep.reads if method == "ep" else row.linear.reads  # k-NN reads what linear does
    return read == "projected"


def _sizes_of_heads(reproduction: Reproduction) -> Iterator[tuple[str, int]]:
    """Yield the trained parameters of each head; none of an encoder whose shapes are not known."""
    shape = read_shape(reproduction.backbone)
    if shape is None:
        return
    dim, classes = shape.facts.embed_dim, reproduction.published.data.classes
    row = reproduction.row
    read = shape.facts.pooled_dim if row.linear.reads == "pooled" else dim
    if read is not None:
        yield "linear", (read + 1) * classes
    # Value map, queries, classifier; batch norm has no weights (docs/poolings.md).
    yield "ep", dim * dim + row.ep.queries * dim + (dim + 1) * classes


def _backbone_of(name: str, row: PublishedRow, settings: ReproduceSettings) -> str:
    backbone = settings.backbone or row.backbone
    if backbone is None:
        raise InputError(
            f"the encoder of {name} ({row.title}) is neither timm's nor open_clip's: name "
            "yours, as --backbone python:MODULE:FACTORY or one of toolkit backbones"
        )
    if settings.weights is not None:
        return add_option(backbone, "weights", str(settings.weights))
    if row.needs_weights and settings.backbone is None:
        return add_option(backbone, "weights", PLACE_OF_WEIGHTS)
    return backbone
