"""Published figures of frozen encoders: what others have measured, as a file of rows.

`efficient-probing.yaml` has the 37 rows of the repository of Efficient Probing (Psomas et al.,
ICLR 2026); a file of the same keys may hold others (docs/reports.md, "The leaderboard").
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from toolkit_common.errors import InputError
from toolkit_common.foreign.plain_yaml import Document, read_document
from toolkit_common.registry import did_you_mean

FILE = Path(__file__).with_name("efficient-probing.yaml")
NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
METHODS: tuple[Literal["knn", "linear", "ep"], ...] = ("knn", "linear", "ep")
SHORT_COMMIT = 7

Percent = Annotated[float, Field(ge=0, le=100)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class PublishedKnn(_Strict):
    """k-NN: top-1 in percent, of which k and temperature."""

    top1: Percent
    k: int = Field(ge=1)
    temperature: float = Field(gt=0)


class PublishedLinear(_Strict):
    """Linear probing: top-1 in percent, of which vector, with how many trained parameters."""

    top1: Percent
    reads: Literal["cls", "mean", "pooled", "projected"]
    parameters: int


class PublishedEp(_Strict):
    """EP: top-1 in percent, of which tokens, with how many queries and trained parameters."""

    top1: Percent
    reads: Literal["patches", "all", "projected"]
    queries: int = Field(ge=1)
    parameters: int


class PublishedRow(_Strict):
    """The figures of one encoder.

    Attributes:
        method: How it was pre-trained.
        architecture: Its architecture.
        family: Kind of the method, in the words of the source.
        pretraining: On what.
        image_size: Side of its input, pixels.
        knn: k-NN.
        linear: Linear probing.
        ep: Efficient probing.
        backbone: Its id here, where timm or open_clip has the encoder.
        needs_weights: Whether neither has its weights.
        stochastic: What stayed random in the frozen encoder while heads trained; empty where
            nothing did.
    """

    method: str
    architecture: str
    family: str
    pretraining: str
    image_size: int
    knn: PublishedKnn
    linear: PublishedLinear
    ep: PublishedEp
    backbone: str | None = None
    needs_weights: bool = False
    stochastic: str = ""

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.method} {self.architecture}"

    def top1(self, method: str) -> float:
        """Return the top-1 accuracy of a method, in percent."""
        figure: PublishedKnn | PublishedLinear | PublishedEp = getattr(self, method)
        return figure.top1

    def parameters(self, method: str) -> int:
        """Return the trained parameters of a method; k-NN has none."""
        return {"linear": self.linear.parameters, "ep": self.ep.parameters}.get(method, 0)


class PublishedData(_Strict):
    """What figures were measured on: its name, and how many classes and images."""

    title: str
    classes: int = Field(ge=2)
    train: int = Field(ge=1)
    test: int = Field(ge=1)

    def differs_in(self, *, classes: int, train: int, test: int) -> str:
        """Return how others are not these data; nothing where their numbers are the same."""
        given = {"classes": classes, "training images": train, "test images": test}
        own = {"classes": self.classes, "training images": self.train, "test images": self.test}
        parts = [
            f"{given[name]:,} {name} and not {number:,}"
            for name, number in own.items()
            if given[name] != number
        ]
        return ", ".join(parts)


class Published(_Strict):
    """A file of published rows.

    Attributes:
        title: What it is.
        source: Where its figures are from.
        commit: Of which state of that.
        licence: Of the source.
        protocol: The protocol here that has their settings.
        data: What they were measured on.
        judged: Methods whose figures can come out again here.
        notes: What must be known to compare with them; the first why others are not judged.
        rows: Name -> row.
    """

    title: str
    source: str
    commit: str
    licence: str = ""
    protocol: str
    data: PublishedData
    judged: Annotated[tuple[Literal["knn", "linear", "ep"], ...], Field(min_length=1)] = METHODS
    notes: tuple[str, ...] = ()
    rows: Annotated[Mapping[str, PublishedRow], Field(min_length=1)]

    @property
    def citation(self) -> str:
        """Source and commit."""
        return f"{self.source}, at {self.commit[:SHORT_COMMIT]}"

    def row(self, name: str) -> PublishedRow:
        """Return a row by its name, in any case.

        Raises:
            InputError: If there is none; names those that are near.
        """
        if name.lower() not in self.rows:
            near = did_you_mean(name.lower(), self.rows).partition(" choose from")[0].rstrip(";")
            raise InputError(
                f"unknown published row {name!r}{near}; toolkit reproduce --list names all"
            )
        return self.rows[name.lower()]


@cache
def read_published(path: Path = FILE) -> Published:
    """Read a file of published rows.

    Raises:
        InputError: If it is missing, or holds what no such file can; names the line.
    """
    document = read_document(path)
    values = dict(document.values)
    for key in ("judged", "notes"):
        if isinstance(values.get(key), list):
            values[key] = tuple(values[key])
    try:
        published = Published.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = document.at(tuple(first["loc"]))
        raise InputError(f"{place}: {first['msg'][0].lower()}{first['msg'][1:]}") from None
    _check(published, document)
    return published


def _check(published: Published, document: Document) -> None:
    for name, row in published.rows.items():
        if not NAME.fullmatch(name):
            raise InputError(
                f"{document.at(('rows', name))}: a row's name has small letters, digits, . and - "
                f"alone, got {name!r}"
            )
        if row.needs_weights and row.backbone is None:
            raise InputError(f"{document.at(('rows', name))}: weights of which backbone?")
