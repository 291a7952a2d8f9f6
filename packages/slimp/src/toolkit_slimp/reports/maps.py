"""A map of held-out images in two dimensions, coloured by label, by site and by patient.

Two dimensions are where embeddings vary most (PCA), not all of them: what a map suggests is
measured in all dimensions, by whether the nearest image is of the same label, site or patient.

Shapes: m images, d width.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from markupsafe import Markup
from torch import Tensor

from toolkit_common.pages import charts
from toolkit_common.printable import counted
from toolkit_common.scores.retrieval import retrieve_by_label
from toolkit_slimp.metadata.schema import Schema
from toolkit_slimp.reports.watched import Watched

MOST_NAMES = 7  # hues; one is left for all others
OTHERS, MISSING = "others", "missing"
SITE = re.compile(r"region|anatom|locali[sz]ation|location|body|site", re.IGNORECASE)


@dataclass(frozen=True)
class Agreement:
    """How often the nearest image has the same value.

    Attributes:
        share: Of the images that have a value and could find it.
        chance: What an image at random would reach.
        count: Images that searched.
    """

    share: float
    chance: float
    count: int


def maps(watched: Watched, schema: Schema) -> Iterator[Markup]:
    """Yield a panel by label, one by site and one by patient; nothing of fewer than 3 images."""
    embeddings, what = drawn_embeddings(watched)
    if len(embeddings) < 3:
        return
    points, explained = project(embeddings)
    patients = watched.rows["patient"].to_numpy()
    axes = f"{what}, {explained:.0%} of their variance"
    if "label" in watched.rows:
        words = watched.rows["label"].to_numpy(object)
        caption = _caption(agreement(embeddings, words, groups=patients), "other patients' images")
        yield _panel(points, words, f"By label: {watched.label}", caption=f"{axes}. {caption}")
    if (site := site_column(schema)) is not None and watched.has(site):
        words = watched.column(site).to_numpy(object)
        caption = _caption(agreement(embeddings, words, groups=patients), "other patients' images")
        yield _panel(points, words, f"By {site}", caption=f"{axes}. {caption}")
    caption = _caption(agreement(embeddings, patients, groups=None), "images")
    yield _panel(
        points, _numbered(patients), "By patient", caption=f"{axes}. {caption}", word="patient"
    )


def drawn_embeddings(watched: Watched) -> tuple[Tensor, str]:
    """Return the embeddings of images and what they are: features where no loss embeds images."""
    for name in ("images", "views"):
        if name in watched.tensors:
            return watched.tensors[name], "Embeddings that the loss compares"
    return watched.tensors["features"], "Features of the image encoder"


def project(embeddings: Tensor) -> tuple[np.ndarray, float]:
    """Return places `(m, 2)` by PCA, and the share of variance that they hold."""
    from sklearn.decomposition import PCA

    # In full: the same picture on every machine, as far as its arithmetic allows.
    model = PCA(n_components=2, svd_solver="full")
    with np.errstate(invalid="ignore"):  # of equal embeddings, which vary in no direction
        places = model.fit_transform(embeddings.double().numpy())
    share = float(np.nan_to_num(model.explained_variance_ratio_).sum())
    return places, share


def agreement(
    embeddings: Tensor, words: np.ndarray, *, groups: np.ndarray | None
) -> Agreement | None:
    """Return how often the nearest image has the same value; None where nobody could find one.

    Args:
        embeddings: Of the images `(m, d)`.
        words: A value each, None or NaN where there is none: such images are left out.
        groups: Of each: nobody is found by the own group. None: by all but itself.
    """
    known = np.array([word is not None and word == word for word in words])
    if known.sum() < 2:
        return None
    codes = torch.from_numpy(np.unique(words[known].astype(str), return_inverse=True)[1])
    own = np.arange(int(known.sum())) if groups is None else groups[known]
    people = torch.from_numpy(np.unique(own, return_inverse=True)[1])
    rows = embeddings[torch.from_numpy(known)]
    found = retrieve_by_label(rows, rows, (codes, codes), ks=(1,), groups=(people, people))
    nearest = found["precision_at_1"]
    others = people[:, None] != people[None]
    alike = (codes[:, None] == codes[None]) & others
    can = alike.any(dim=1)  # who has no match at all cannot be right
    if not can.any():
        return None
    chance = (alike.sum(dim=1) / others.sum(dim=1).clamp(min=1))[can]
    return Agreement(float(nearest[can].mean()), float(chance.mean()), int(can.sum()))


def site_column(schema: Schema) -> str | None:
    """Return the lesion column that says where on the body, else the first one of words."""
    words = [
        column.name
        for column in schema.at("lesion").columns
        if column.kind in ("categorical", "boolean")
    ]
    named = [name for name in words if SITE.search(name)]
    return next(iter([*named, *words]), None)


def _caption(item: Agreement | None, among: str) -> str:
    if item is None:
        return "Nobody has a match to find."
    return (
        f"In all dimensions the nearest among {among} has the same value in {item.share:.2f} of "
        f"{item.count} cases ({item.chance:.2f} by chance)."
    )


def _numbered(patients: np.ndarray) -> np.ndarray:
    """Return names of those with most images, without who they are; None of the others."""
    values, counts = np.unique(patients, return_counts=True)
    largest = values[np.argsort(-counts, kind="stable")][:MOST_NAMES]
    names = {
        value: f"patient {at} ({counted((patients == value).sum(), 'image')})"
        for at, value in enumerate(largest, start=1)
        if (patients == value).sum() > 1
    }
    return np.array([names.get(value, OTHERS) for value in patients], object)


def _panel(
    points: np.ndarray, words: np.ndarray, title: str, *, caption: str, word: str = "value"
) -> Markup:
    shown = np.array(
        [str(item) if item is not None and item == item else MISSING for item in words], object
    )
    values, counts = np.unique(shown.astype(str), return_counts=True)
    ranked = [str(value) for value in values[np.argsort(-counts, kind="stable")]]
    names = [name for name in ranked if name not in (OTHERS, MISSING)][:MOST_NAMES]
    rows = [
        {"name": name if name in (*names, MISSING) else OTHERS, "x": float(x), "y": float(y)}
        for name, (x, y) in zip(shown.astype(str), points, strict=True)
    ]
    rest = [name for name in (OTHERS, MISSING) if any(row["name"] == name for row in rows)]
    spec = charts.cloud(rows, names=names, title=title, rest=rest)
    label = f"Map of {len(rows)} held-out images, a hue a {word}. {title}"
    return charts.figure(spec, label=label, caption=caption)
