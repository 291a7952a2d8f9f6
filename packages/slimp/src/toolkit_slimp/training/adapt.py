"""What a run copies of the one that it continues, what learns, and the tables that say so."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from rich.table import Table
from rich.text import Text

from toolkit_common.backbones.metadata import LEVELS
from toolkit_common.data.sheet import Level
from toolkit_common.printable import one_line
from toolkit_common.runs.files import write_text
from toolkit_slimp.metadata.schema import Schema
from toolkit_slimp.model.slimp import SlimpModel
from toolkit_slimp.model.trainable import Learning, choose_trainable_, has_attention_blocks
from toolkit_slimp.model.warm_start import ColumnStart, Parent, describe_columns, warm_start_

COLUMNS, TRAINABLE = "columns.csv", "trainable.csv"


@dataclass(frozen=True)
class Adaptation:
    """How a run continues another, or trains a part of its image encoder alone.

    Attributes:
        parent: The run that is continued, if one is.
        columns: How each metadata column starts; none without such a run.
        learning: Which tensors learn.
        notes: What else there is to know, a sentence each.
    """

    parent: Parent | None
    columns: tuple[ColumnStart, ...]
    learning: tuple[Learning, ...]
    notes: tuple[str, ...]

    def tables(self) -> Iterator[Table]:
        """Yield what is copied and what learns, for humans."""
        columns = Table("column", "level", "kind", "starts", "", title="metadata columns")
        for item in self.columns:
            cells = (item.column, item.level, item.kind, item.start, item.describe())
            # A name may look like markup.
            columns.add_row(*(Text(one_line(cell)) for cell in cells))
        if self.parent is not None:
            yield columns
        groups = Table("group", "learns", "tensors", "parameters", title="what learns")
        for (group, learns), items in self.groups().items():
            sizes = sum(item.size for item in items)
            groups.add_row(group, "yes" if learns else "no", str(len(items)), f"{sizes:,}")
        yield groups

    def groups(self) -> dict[tuple[str, bool], list[Learning]]:
        """Return the tensors by group and whether they learn, what learns first."""
        found: dict[tuple[str, bool], list[Learning]] = {}
        for item in sorted(self.learning, key=lambda item: not item.learns):
            found.setdefault((item.group, item.learns), []).append(item)
        return found

    def write(self, folder: Path) -> None:
        """Write the tables into a run's folder."""
        rows = [asdict(item) for item in self.columns]
        for row in rows:
            row |= {key: "; ".join(row[key]) for key in row if key.endswith("_words")}
        learning = pd.DataFrame([asdict(item) for item in self.learning])
        if self.parent is not None:
            write_text(folder / COLUMNS, pd.DataFrame(rows).to_csv(index=False))
        write_text(folder / TRAINABLE, learning.to_csv(index=False))


def adapt_(model: SlimpModel, schema: Schema, parent: Parent | None) -> Adaptation:
    """Start a model where a run has ended, if one is continued, and freeze what is not to learn.

    Raises:
        InputError: If nothing of the image encoder would learn.
    """
    train = model.settings.train
    assert train is not None, "settings of a continued run are completed"
    if parent is not None:
        warm_start_(model, schema, parent)
    trained = () if parent is None else parent.trained
    fresh: tuple[Level, ...] = tuple(
        level for level in LEVELS if level in model.trains and level not in trained
    )
    learning = choose_trainable_(model, train, fresh=fresh)
    notes = [
        f"{level} metadata: {parent.folder} has never trained their encoder: it starts fresh and "
        "learns whole"
        for level in fresh
        if parent is not None  # else all do
    ]
    if train == "embeddings" and not has_attention_blocks(model):
        notes.append(
            f"image encoder {model.image_encoder.facts.architecture!r} has no attention blocks: "
            "--train embeddings is its stem and its norms"
        )
    columns = () if parent is None else tuple(describe_columns(schema, parent))
    return Adaptation(parent, columns, tuple(learning), tuple(notes))
