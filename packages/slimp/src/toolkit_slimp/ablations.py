"""Ablations and controls: named sets of settings that each take one idea of SLIMP away or swap it.

An ablation lies between the defaults and the user's own settings, and its name is recorded with
them. Their meaning is ours; the paper's own ablations are not known (docs/slimp.md).
"""

from collections.abc import Mapping
from typing import Any

ABLATIONS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "flat": {"patient_columns": "lesion", "lesion_weight": 1.0},
    "lesion-only": {"lesion_weight": 1.0},
    "patient-only": {"lesion_weight": 0.0},
    "no-dropout": {"metadata_dropout": 0.0},
    "same-metadata": {"patient_positives": "same_metadata"},
    "same-lesion-metadata": {"lesion_positives": "same_metadata"},
    "same-patient": {"lesion_negatives": "same_patient"},
    "attention": {"phenotype": "attention"},
    "mean-max": {"phenotype": "mean_max"},
    "learned-temperature": {"learn_temperature": True},
    "batch-statistics": {"batch_norm": "batch"},
    "image-term": {"image_weight": 1.0},
    "simclr": {"nested_weight": 0.0, "image_weight": 1.0},
}
