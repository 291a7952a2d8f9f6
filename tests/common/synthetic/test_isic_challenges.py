"""Synthetic challenges of the ISIC have the files of the real ones, and the readers read them."""

from pathlib import Path

import pandas as pd
import pytest

from toolkit_common.sources.load import load_data
from toolkit_common.synthetic.isic_challenges import LAYOUTS
from toolkit_common.synthetic.make import make_data

CASES = [(name, layout) for name, layouts in LAYOUTS.items() for layout in layouts]
TABLES = {
    ("isic-2018", "challenge"): {
        "ISIC2018_Task3_Training_LesionGroupings.csv": "image,lesion_id,diagnosis_confirm_type",
        **{f"ISIC2018_Task3_{part}_GroundTruth/ISIC2018_Task3_{part}_GroundTruth.csv":
           "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC" for part in ("Training", "Validation", "Test")},
    },
    ("isic-2019", "challenge"): {
        "ISIC_2019_Training_Metadata.csv": "image,age_approx,anatom_site_general,lesion_id,sex",
        "ISIC_2019_Test_Metadata.csv": "image,age_approx,anatom_site_general,sex",
        "ISIC_2019_Training_GroundTruth.csv": "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK",
        "ISIC_2019_Test_GroundTruth.csv":
            "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK,score_weight,validation_weight",
    },
    ("isic-2020", "v2"): {
        "ISIC_2020_Training_GroundTruth_v2.csv":
            "image_name,patient_id,lesion_id,sex,age_approx,anatom_site_general_challenge,"
            "diagnosis,benign_malignant,target",
        "ISIC_2020_Training_Duplicates.csv": "image_name_1,image_name_2",
    },
    ("milk10k", "challenge"): {
        "MILK10k_Training_GroundTruth.csv":
            "lesion_id,AKIEC,BCC,BEN_OTH,BKL,DF,INF,MAL_OTH,MEL,NV,SCCKA,VASC",
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layout"), CASES)
def test_every_layout_is_read_whole(name: str, layout: str, tmp_path: Path) -> None:
    make_data(name, tmp_path / "set", rows=24, seed=1, layout=layout, pool=None)
    both = "?image=both" if name == "milk10k" else ""
    data = load_data(f"{name}:{tmp_path / 'set'}{both}")
    expected = len([*(tmp_path / "set").rglob("*.jpg")])
    if (name, layout) in (("isic-2020", "v2"), ("isic-2020", "v1")):
        expected -= 1  # the doubled image
    assert len(data) == expected
    assert "(SYNTHETIC)" in data.sheet.title
    for table, header in TABLES.get((name, layout), {}).items():
        assert list(pd.read_csv(tmp_path / "set" / table)) == header.split(",")


@pytest.mark.slow
def test_the_unknown_class_is_in_the_test_alone(tmp_path: Path) -> None:
    make_data("isic-2019", tmp_path / "set", rows=40, seed=0, layout=None, pool=None)
    tables = [
        tmp_path / "set" / f"ISIC_2019_{part}_GroundTruth.csv" for part in ("Training", "Test")
    ]
    training, test = (pd.read_csv(path)["UNK"].sum() for path in tables)
    assert training == 0 < test
