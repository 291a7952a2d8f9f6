"""Synthetic HAM10000 has the tables and folders of each place that gives it."""

from pathlib import Path

import pandas as pd
import pytest

from toolkit_common.synthetic.ham10000 import LAYOUTS
from toolkit_common.synthetic.make import make_data


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tables_and_folders_are_those_of_the_layout(layout: str, tmp_path: Path) -> None:
    out = tmp_path / "set"
    make_data("ham10000", out, rows=20, seed=0, layout=layout, pool=None)
    is_dataverse = layout.startswith("dataverse")
    separator = "\t" if layout == "dataverse-tab" else ","
    table = pd.read_csv(out / LAYOUTS[layout][1], sep=separator)
    assert list(table)[:7] == ["lesion_id", "image_id", "dx", "dx_type", "age", "sex",
                               "localization"]  # fmt: skip
    assert list(table)[7:] == ["dataset"] * is_dataverse
    images = {path.stem: path.parent.name for path in out.rglob("*.jpg")}
    assert set(images) == set(table["image_id"])
    if layout != "flat":
        first = [name for name, folder in images.items() if folder.endswith("_1")]
        assert sorted(first) == sorted(images)[:10]
    assert len(list(out.rglob("*_segmentation.png"))) == 20 * is_dataverse


@pytest.mark.slow
def test_diagnoses_of_cancer_are_all_confirmed_by_histology(tmp_path: Path) -> None:
    make_data("ham10000", tmp_path / "set", rows=60, seed=0, layout="dataverse", pool=None)
    table = pd.read_csv(tmp_path / "set" / "HAM10000_metadata")
    assert set(table["dx_type"][table["dx"].isin(["mel", "bcc"])]) == {"histo"}
    followed = table["dx_type"] == "follow_up"
    assert set(table["dataset"][followed]) == {"vidir_molemax"}
    of_lesion = table.groupby("lesion_id")[["dx", "dx_type", "localization"]].nunique()
    assert of_lesion.max(axis=None) == 1 < table.groupby("lesion_id").size().max()
