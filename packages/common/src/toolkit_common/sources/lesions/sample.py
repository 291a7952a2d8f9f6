"""The embedded lesion sample: a patient-complete part of PAD-UFES-20 that ships with the package.

Source and licence as PAD-UFES-20 (CC BY 4.0), see `pad_ufes_20_sample/ATTRIBUTION.md` beside this;
chosen by `packages/common/scripts/build_lesion_sample.py`.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from toolkit_common.data.dataset import ImageData
from toolkit_common.sources.lesions.pad_ufes_20 import SHEET, load_pad_ufes_20

FOLDER = Path(__file__).parent / "pad_ufes_20_sample"


def load_lesions(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read the embedded sample with the reader of PAD-UFES-20."""
    del name
    note = "a small sample, chosen by hand: figures on it do not compare with the literature"
    sheet = replace(
        SHEET, title="PAD-UFES-20 embedded sample", counts={}, notes=(note, *SHEET.notes)
    )
    return load_pad_ufes_20(identifier, str(FOLDER), options, sheet=sheet)
