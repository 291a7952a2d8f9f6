"""What a run is made of: its data set, its splits."""

import pytest

from helpers.slimp_run import HEADER, table_rows, write_table
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.training.setup import load_patients, look_at_images


@pytest.mark.slow
def test_how_premalignant_lesions_count_is_part_of_the_data_sets_id():
    data, _ = load_patients(SlimpSettings(premalignant_as="drop"))
    assert data.id == "lesions?premalignant_as=drop"
    assert data.table["malignant"].isna().sum() == 88


@pytest.mark.parametrize(
    ("key", "name"), [("patient_id", "patients"), ("lesion_id", "lesions"), ("site", "groups")]
)
def test_images_are_counted_and_groups_called_what_they_are(key, name, tmp_path, capsys):
    header = HEADER.replace("site", key)
    settings = SlimpSettings(data=write_table(tmp_path / "t.csv", table_rows(), header))
    look_at_images(settings, *load_patients(settings))
    message = " ".join(capsys.readouterr().err.split())
    assert f"train 18 images of 9 {name}, held out 6 of 3" in message
