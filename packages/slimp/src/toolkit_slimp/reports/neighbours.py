"""Held-out images and the metadata that they find: pictures, ranks, and how far off they are.

Which images are shown is settled by the rank of their own metadata, evenly from the best to the
worst, so that nobody has picked the nice ones.

Shapes: m images.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from markupsafe import Markup

from toolkit_common.data.dataset import ImageData
from toolkit_common.images.open import BadImageError, open_image
from toolkit_common.pages.pictures import picture, square
from toolkit_common.scores.retrieval import match_ranks
from toolkit_slimp.metadata.schema import Schema
from toolkit_slimp.reports.watched import Pairs, Watched

QUERIES, NEAREST = 6, 3
MOST_COLUMNS = 9  # of metadata beside a picture
NONE = "-"


@dataclass(frozen=True)
class Lesion:
    """A held-out image with its metadata.

    Attributes:
        picture: The image; empty where it could not be opened.
        metadata: Name and value of its lesion columns; a hyphen where there is none.
        note: What it is to the image that searches.
        is_match: Whether its metadata are those of the image that searches.
    """

    picture: Markup
    metadata: Sequence[tuple[str, str]]
    note: str
    is_match: bool = False


@dataclass(frozen=True)
class Search:
    """An image that searches metadata, and the lesions whose metadata it finds, nearest first."""

    query: Lesion
    found: Sequence[Lesion]


def search_pictures(
    watched: Watched | None, schema: Schema, data: ImageData | None
) -> tuple[list[Search], int]:
    """Return searches of some images, and among how many; none where images are not embedded.

    Args:
        watched: The held-out images, where they were encoded.
        schema: Their columns.
        data: The data set, for its pictures; None where it is not there.
    """
    pairs = None if watched is None else watched.pairs("lesion")
    if watched is None or pairs is None or len(pairs.first) < 2:
        return [], 0
    similarity = pairs.first.float() @ pairs.second.float().T
    ranks = match_ranks(pairs.first, pairs.second, positives=pairs.same).numpy()
    nearest = torch.argsort(similarity, dim=1, descending=True, stable=True)[:, :NEAREST].tolist()
    shown = _Shown(watched, schema, data)
    queries = spread_by_rank(ranks)
    shown.open_({row for query in queries for row in (query, *nearest[query])})
    searches = []
    for query in queries:
        found = [shown.lesion(other, *_relation(pairs, query, other)) for other in nearest[query]]
        note = f"its own metadata rank {ranks[query] + 1} of {len(ranks)}"
        searches.append(Search(shown.lesion(query, note), found))
    return searches, len(ranks)


def spread_by_rank(ranks: np.ndarray) -> list[int]:
    """Return rows evenly from the best rank to the worst, the first and the last among them."""
    order = np.argsort(ranks, kind="stable")
    at = np.linspace(0, len(order) - 1, min(QUERIES, len(order))).round().astype(int)
    return [int(row) for row in order[at]]


def _relation(pairs: Pairs, query: int, other: int) -> tuple[str, bool]:
    """Return what the metadata of one row are to another row, and whether they are its own."""
    if query == other:
        return "its own", True
    if pairs.same[query, other]:
        return "identical to its own", True
    is_near = pairs.groups[query] == pairs.groups[other]
    return "same patient's, other values" if is_near else "another patient's", False


class _Shown:
    """Makes lesions of rows whose pictures were opened before."""

    def __init__(self, watched: Watched, schema: Schema, data: ImageData | None) -> None:
        self.watched = watched
        self.columns = [item.name for item in schema.at("lesion").columns if watched.has(item.name)]
        self.data = data
        self.pictures: dict[int, Markup] = {}
        ids: Iterable[str] = () if data is None else data.table["image_id"]
        self.places = {name: row for row, name in enumerate(ids)}

    def open_(self, rows: Iterable[int]) -> None:
        """Open the pictures of rows, in their order: a stream begins anew for any other."""
        self.pictures |= {row: self._picture(row) for row in sorted(rows)}

    def lesion(self, row: int, note: str, is_match: bool = False) -> Lesion:
        """Return a row's picture and metadata."""
        words = [
            (name, _text(self.watched.column(name).iloc[row]))
            for name in self.columns[:MOST_COLUMNS]
        ]
        return Lesion(self.pictures[row], words, note, is_match)

    def _picture(self, row: int) -> Markup:
        place = self.places.get(self.watched.rows["image_id"].iloc[row])
        if self.data is None or place is None:
            return Markup("")
        try:
            image = open_image(self.data.images[place]["image"])
        except BadImageError:
            return Markup("")
        return picture(square(image), label="a held-out lesion")


def _text(value: object) -> str:
    if value is None or value != value:
        return NONE
    return f"{value:g}" if isinstance(value, float) else str(value)
