"""What a run has read, and whether its start and its judges are what they should be.

It stands in results.json, with a page or without.
"""

from typing import Any

import numpy as np

from toolkit_common.backbones.metadata import LEVELS
from toolkit_slimp.training.setup import Setup, name_groups

SIDES = ("train", "val")  # the test split is not read


def describe_contents(setup: Setup) -> dict[str, Any]:
    """Return sizes of the splits, missing cells of each column, and the encoders before."""
    return {
        "start_is_random": setup.model.settings.starts_random,
        "seen": setup.seen.status,
        "people": name_groups(setup.data),
        "sizes": {side: _sizes(setup, setup.splits[side]) for side in SIDES},
        "missing": _missing(setup),
        "ancestors": [dict(step) for step in setup.ancestry.lineage],
    }


def _sizes(setup: Setup, rows: np.ndarray) -> dict[str, int]:
    """Return numbers of images and groups, and of lesions where the data tell them apart."""
    data = setup.data
    assert data.groups is not None
    sizes = {"images": len(rows), "groups": int(np.unique(data.groups[rows]).size)}
    if "lesion_id" in data.table:
        sizes["lesions"] = int(data.table["lesion_id"].iloc[rows].nunique())
    return sizes


def _missing(setup: Setup) -> dict[str, dict[str, dict[str, float]]]:
    """Return column -> side -> share of images without a value, and with the word `unknown`.

    As the model reads them: a known value of a patient counts for all of its images.
    """
    table, shares = setup.stream.table, {}
    for level, encoded in zip(LEVELS, (table.lesions, table.patients), strict=True):
        schema = setup.schema.at(level)
        for at, column in enumerate(schema.columns):
            word = schema.word_owners.index(at)  # the first word of a column is `unknown`
            shares[column.name] = {
                side: {
                    "missing": 1.0 - _share(encoded.observed[setup.splits[side], at]),
                    "unknown": _share(encoded.words[setup.splits[side], word]),
                }
                for side in SIDES
            }
    return shares


def _share(flags: Any) -> float:
    return float(flags.float().mean()) if len(flags) else 0.0
