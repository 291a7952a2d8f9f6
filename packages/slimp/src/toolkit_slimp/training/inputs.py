"""Which metadata columns a run reads, and whether its losses have a use for them."""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import Level
from toolkit_common.data.splits import Splits
from toolkit_common.errors import InputError
from toolkit_slimp.architecture import ArchitectureSettings
from toolkit_slimp.metadata.infer import infer_schema
from toolkit_slimp.metadata.leaks import refuse_leaks
from toolkit_slimp.metadata.schema import Schema
from toolkit_slimp.metadata.schema_file import load_schema
from toolkit_slimp.settings import SlimpSettings

OF_ONE_LOSS: Mapping[Level, tuple[str, ...]] = {  # settings that the other loss does not read
    "lesion": ("lesion_positives",),
    "patient": ("phenotype", "patient_positives"),
}


def choose_schema(settings: SlimpSettings, data: ImageData, splits: Splits) -> Schema:
    """Read the user's schema, or infer one; transforms are fitted on training patients alone.

    Raises:
        InputError: If the schema does not fit the data or reads a leak, or there are no metadata.
    """
    if settings.metadata_schema is None:
        schema = infer_schema(data, splits.train)
    else:
        schema = load_schema(settings.metadata_schema, data, splits.train)
    refuse_leaks(data, schema, accepted=settings.allow_leaks)
    if settings.patient_columns == "lesion":
        schema = Schema(tuple(replace(column, level="lesion") for column in schema.columns))
    _refuse_unused(settings, schema)
    return schema


def describe_negatives(settings: SlimpSettings, data: ImageData, splits: Splits) -> list[str]:
    """Return how many lesions have a negative, where that is not plain: a line or none.

    Raises:
        InputError: If the settings' negatives are none that the data have.
    """
    groups, which = data.groups, settings.lesion_negatives
    assert groups is not None
    if which == "other_lesions" and "lesion_id" not in data.table:
        raise InputError(
            f"data set {data.id!r} has no lesion_id to tell other lesions by: use "
            "--lesion-negatives all or other_patients"
        )
    if which != "same_patient":
        return []
    lesions = data.table["lesion_id" if "lesion_id" in data.table else "image_id"]
    train = pd.DataFrame({"patient": groups, "lesion": lesions}).iloc[splits.train]
    count = train.groupby("patient")["lesion"].transform("nunique")
    if not (count > 1).any():
        raise InputError(
            f"lesion_negatives same_patient: no training patient of {data.id!r} has two lesions, "
            "so that nothing would be told apart; use --lesion-negatives all"
        )
    share = float((count > 1).mean())
    return [
        f"lesion negatives: {share:.0%} of the training images have another lesion of their "
        "patient to be told apart from; the lesion loss of the others is 0"
    ]


def _refuse_unused(settings: SlimpSettings, schema: Schema) -> None:
    """Refuse to train less than the settings name."""
    weights: dict[Level, float] = {
        "lesion": settings.lesion_weight,
        "patient": 1.0 - settings.lesion_weight,
    }
    on = {
        level: weight * settings.nested_weight > 0 and bool(schema.at(level).columns)
        for level, weight in weights.items()
    }
    if settings.nested_weight and not any(on.values()):
        level = "patient" if settings.lesion_weight == 0 else "lesion"
        raise InputError(
            f"lesion_weight {settings.lesion_weight:g} leaves nothing to train: the schema has no "
            f"{level} columns; drop --lesion-weight, or the ablation that sets it"
        )
    if settings.lesion_negatives != "all" and not (on["lesion"] or settings.image_weight):
        raise InputError(
            f"lesion_negatives {settings.lesion_negatives} is of the lesion loss and the image "
            "term, which are off"
        )
    for level, keys in OF_ONE_LOSS.items():
        for key in keys if not on[level] else ():
            value, default = getattr(settings, key), type(settings).model_fields[key].default
            # Of the run that is continued, and not chosen: its architecture stays what it is.
            is_kept = settings.from_run is not None and key in ArchitectureSettings.model_fields
            if value != default and not is_kept:
                why = f"lesion_weight is {settings.lesion_weight:g}"
                why = why if weights[level] == 0 else f"no {level} columns"
                why = why if settings.nested_weight else "nested_weight is 0"
                raise InputError(f"{key} {value} is of the {level} loss, which is off: {why}")
