"""A model that starts where another run has ended: what is copied of it, column by column.

Columns of equal name, kind and level start with what the run has learned of them: the vectors of
words that both know, those of numbers, the column's bias. What is new starts fresh, what the new
data lack is dropped. Numbers are mapped by the quantiles of the *new* training patients
(docs/slimp.md, "Continual pre-training"), so that it is the meaning of a rank that is handed on.

Shapes: w words, r numeric inputs, t columns, d width of a metadata encoder.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from toolkit_common.backbones.contract import Card
from toolkit_common.backbones.metadata import LEVELS
from toolkit_common.data.sheet import Level
from toolkit_slimp.metadata.columns import spell
from toolkit_slimp.metadata.encoder import MetadataEncoder
from toolkit_slimp.metadata.schema import ColumnSchema, Schema
from toolkit_slimp.model.slimp import SlimpModel


@dataclass(frozen=True)
class Parent:
    """The run that is continued.

    Attributes:
        folder: Its exported encoder.
        model: Everything that it has trained.
        schema: The columns that it knows.
        card: How its image encoder is read.
        trained: Levels whose metadata encoder it, or a run before it, has trained.
        digest: Hash of its weights and schema.
    """

    folder: Path
    model: SlimpModel
    schema: Schema
    card: Card
    trained: tuple[Level, ...]
    digest: str


@dataclass(frozen=True)
class ColumnStart:
    """How a column starts.

    Attributes:
        column: Its name.
        level: In the new data; in the run if they lack it.
        kind: In the new data; in the run if they lack it.
        start: What becomes of it.
        copied_words: Words (categories, answers) that start as the run has left them.
        new_words: Words that start fresh.
        dropped_words: Words of the run that the new data lack.
        old_median: Median of a number in the run's training patients.
        new_median: Median of a number in the new ones.
        note: Why it is new though the run has such a name.
    """

    column: str
    level: Level
    kind: str
    start: Literal["copied", "new", "dropped"]
    copied_words: tuple[str, ...] = ()
    new_words: tuple[str, ...] = ()
    dropped_words: tuple[str, ...] = ()
    old_median: float | None = None
    new_median: float | None = None
    note: str = ""

    def describe(self) -> str:
        """Return what there is to say of it, for humans."""
        parts = [self.note] if self.note else []
        if self.start == "copied" and (self.copied_words or self.new_words or self.dropped_words):
            counts = {"copied": self.copied_words, "new": self.new_words}
            counts["dropped"] = self.dropped_words
            shown = (f"{len(words)} {name}" for name, words in counts.items() if words)
            parts.append(f"words: {', '.join(shown)}")
        medians = [item for item in (self.old_median, self.new_median) if item is not None]
        if medians:
            parts.append(f"median {' -> '.join(f'{item:g}' for item in medians)}")
        return "; ".join(parts)


def describe_columns(schema: Schema, parent: Parent) -> list[ColumnStart]:
    """Return how each column of both starts: those of the new data first, in their order."""
    own = {(column.level, column.name) for column in schema.columns}
    by_name = {column.name: column for column in parent.schema.columns}
    rows = [_column_start(column, by_name.get(column.name), parent) for column in schema.columns]
    gone = (item for item in parent.schema.columns if (item.level, item.name) not in own)
    dropped = [
        ColumnStart(item.name, item.level, item.kind, "dropped", old_median=_median(item))
        for item in gone
    ]
    return rows + dropped


@torch.no_grad()
def warm_start_(model: SlimpModel, schema: Schema, parent: Parent) -> None:
    """Copy what the run has learned into a model that was just built.

    Its image encoder is the run's already. A head that the run lacks, and a metadata encoder that
    it has not trained, stay fresh; fixed temperatures are the settings', unless they are those that
    the run began with: then they are what it has made of them.

    Args:
        model: A fresh model of the same architecture.
        schema: Its columns.
        parent: What is copied.
    """
    old, new = parent.model.state_dict(), model.state_dict()
    for name, value in new.items():
        if name.startswith(("image_encoder.", "lesion_encoder.", "patient_encoder.")):
            continue
        if name == "log_scales" and model.settings.temperature != parent.model.settings.temperature:
            continue
        if name in old:
            value.copy_(old[name])
    for level in LEVELS:
        if level in parent.trained:
            _copy_encoder_(
                _encoder(model, level), schema.at(level),
                old=_encoder(parent.model, level), old_schema=parent.schema.at(level),
            )  # fmt: skip


def _copy_encoder_(
    new: MetadataEncoder, new_schema: Schema, *, old: MetadataEncoder, old_schema: Schema
) -> None:
    """Copy blocks and class token whole, of the embeddings those of columns that both have."""
    new.transformer.load_state_dict(old.transformer.state_dict())
    new.cls.copy_(old.cls)
    tables = {
        "column": (new.column_bias, old.column_bias),
        "number": (new.numbers.weight, old.numbers.weight),
        "word": (new.words, old.words),
    }
    sources = {name: dict(_places(old_schema, name)) for name in tables}
    for name, (to, source) in tables.items():
        for key, place in _places(new_schema, name):
            if key in sources[name]:
                to[place].copy_(source[sources[name][key]])


def _places(schema: Schema, table: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield what each row of an embedding table stands for, and its place."""
    place = 0
    for column in schema.columns:
        for item in _items(column, table):
            yield (column.name, column.kind, item), place
            place += 1


def _items(column: ColumnSchema, table: str) -> list[str]:
    if table == "column":
        return [""]
    if table == "number":
        return [str(number) for number in range(column.num_numbers)]
    return ["", *_words(column)]  # no category is empty: the first is `unknown`


def _words(column: ColumnSchema) -> list[str]:
    return [spell(word, column.kind) for word in column.categories]


def _column_start(column: ColumnSchema, old: ColumnSchema | None, parent: Parent) -> ColumnStart:
    median, words = _median(column), tuple(_words(column))
    if note := _difference(column, old, parent):
        return ColumnStart(column.name, column.level, column.kind, "new", new_words=words,
                           new_median=median, note=note)  # fmt: skip
    if old is None:
        return ColumnStart(column.name, column.level, column.kind, "new", new_words=words,
                           new_median=median)  # fmt: skip
    before = _words(old)
    return ColumnStart(
        column.name,
        column.level,
        column.kind,
        "copied",
        copied_words=tuple(word for word in words if word in before),
        new_words=tuple(word for word in words if word not in before),
        dropped_words=tuple(word for word in before if word not in words),
        old_median=_median(old),
        new_median=median,
        note="" if column.unit == old.unit else f"unit {old.unit or 'none'} -> {column.unit}",
    )


def _difference(column: ColumnSchema, old: ColumnSchema | None, parent: Parent) -> str:
    """Return why a column of a known name starts fresh, empty if it does not."""
    if old is None:
        return ""
    if old.level != column.level:
        return f"in the run it is the {old.level}'s"
    if old.kind != column.kind:
        return f"in the run it is {old.kind}"
    return "" if column.level in parent.trained else f"the run has not trained its {old.level}s"


def _median(column: ColumnSchema) -> float | None:
    if not column.quantiles:
        return None
    levels = np.linspace(0.0, 1.0, len(column.quantiles))
    return float(np.interp(0.5, levels, column.quantiles))


def _encoder(model: SlimpModel, level: Level) -> MetadataEncoder:
    return model.lesion_encoder if level == "lesion" else model.patient_encoder
