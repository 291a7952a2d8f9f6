"""The embedded lesion sample is whole, patient-complete, and fit for a first run."""

import numpy as np
import pytest

from toolkit_common.data.check import check_images
from toolkit_common.data.splits import keep_labelled, make_splits
from toolkit_common.sources.lesions.pad_ufes_20 import SHEET
from toolkit_common.sources.lesions.sample import FOLDER
from toolkit_common.sources.load import load_data


@pytest.mark.slow
def test_every_image_is_there_and_sound() -> None:
    data = load_data("lesions")
    assert check_images(data, np.arange(len(data))).empty
    assert len(data) == sum(1 for _ in (FOLDER / "images").iterdir())


@pytest.mark.slow
def test_both_labels_can_be_learned_and_judged() -> None:
    data = load_data("lesions")
    splits = make_splits(data)
    assert data.labels().classes == tuple(sorted(SHEET.classes))
    for name in ("diagnosis", "malignant"):
        kept = keep_labelled(splits, data, data.labels(name))
        for split in ("train", "val", "test"):
            present = set(data.labels(name).targets[kept[split]])
            assert present == set(range(len(data.labels(name).classes)))


def test_some_patients_have_several_lesions_and_images() -> None:
    table = load_data("lesions").table
    assert (table.groupby("patient_id")["lesion_id"].nunique() > 1).sum() >= 10
    assert table["lesion_id"].nunique() < len(table)


def test_source_and_licence_are_stated() -> None:
    sheet = load_data("lesions").sheet
    assert sheet.licence == "CC BY 4.0"
    assert "small sample" in sheet.notes[0]
    assert "CC BY 4.0" in (FOLDER / "ATTRIBUTION.md").read_text()
    assert sheet.counts == {}
    assert not any("expected" in note for note in sheet.notes)


@pytest.mark.slow
def test_it_reads_as_the_full_set_would() -> None:
    embedded, as_set = load_data("lesions"), load_data(f"pad-ufes-20:{FOLDER}")
    assert embedded.fingerprint() == as_set.fingerprint()
