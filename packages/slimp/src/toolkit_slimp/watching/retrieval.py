"""How well pairs find each other: recall of image -> metadata and back, ties counted as hits."""

from collections.abc import Sequence

import torch

from toolkit_common.scores.retrieval import recall_at
from toolkit_slimp.model.losses import equal_pairs
from toolkit_slimp.model.terms import Members, NestedLoss
from toolkit_slimp.watching.chance import SUFFIX, chance_of_recall


@torch.no_grad()
def describe_retrieval(
    loss: NestedLoss, members: Members, *, ks: Sequence[int] = (1,), prefix: str = ""
) -> dict[str, float]:
    """Return recall at both levels as values to log, of those losses that are on.

    `lesion_recall_at_1` searches metadata with images, `lesion_reverse_recall_at_1` images
    with metadata; `patient_` patients' metadata with phenotypes and back. Whoever
    has identical metadata is a match. `lesion_recall_at_1_chance` is the chance level of both.
    """
    levels = {
        "lesion": (loss.lesion_pairs, members.metadata_codes),
        "patient": (loss.patient_pairs, members.patient_codes),
    }
    values = {}
    for level, (pairs, codes) in levels.items():
        if pairs is None:
            continue
        first, second = pairs
        same = equal_pairs(codes.to(first.device))
        directions = {"recall": (first, second), "reverse_recall": (second, first)}
        for k in ks:
            for name, (one, other) in directions.items():
                values[f"{prefix}{level}_{name}_at_{k}"] = recall_at(one, other, k, positives=same)
            values[f"{prefix}{level}_recall_at_{k}{SUFFIX}"] = chance_of_recall(same, k)
    return values
