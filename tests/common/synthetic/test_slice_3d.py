"""Synthetic SLICE-3D has the columns, values and files of the real one."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from toolkit_common.images.open import open_image
from toolkit_common.sources.load import load_data
from toolkit_common.synthetic.make import make_data


def test_the_table_has_the_columns_of_the_real_one(tmp_path: Path) -> None:
    make_data("slice-3d", tmp_path / "set", rows=400, seed=0, layout=None, pool=10)
    table = pd.read_csv(tmp_path / "set" / "train-metadata.csv", dtype=object)
    assert table.shape == (400, 55)
    assert list(table)[:3] == ["isic_id", "target", "patient_id"]
    assert list(table)[-1] == "tbp_lv_dnn_lesion_confidence"
    assert table[["age_approx", "sex", "anatom_site_general"]].isna().any().all()
    assert table["lesion_id"].isna().mean() > 0.5
    test = pd.read_csv(tmp_path / "set" / "test-metadata.csv")
    assert test.shape == (3, 44)
    assert (test["tbp_lv_stdLExt"] == test["tbp_lv_Lext"]).sum() == 2


@pytest.mark.slow
def test_every_value_that_the_real_set_has_occurs(tmp_path: Path) -> None:
    make_data("slice-3d", tmp_path / "set", rows=4000, seed=0, layout=None, pool=10)
    table = pd.read_csv(tmp_path / "set" / "train-metadata.csv", low_memory=False)
    distinct = table.nunique()
    counts = {"tbp_lv_location": 21, "tbp_lv_location_simple": 8, "age_approx": 17, "sex": 2,
              "anatom_site_general": 5, "attribution": 7, "tbp_tile_type": 2, "iddx_3": 8,
              "copyright_license": 3, "image_type": 1}  # fmt: skip
    assert distinct[list(counts)].to_dict() | {"iddx_3": 8} == counts
    assert distinct["iddx_3"] >= 6  # one of 393 is a metastasis
    assert (table["age_approx"].min(), table["age_approx"].max()) == (5, 85)
    places = table.groupby("tbp_lv_location")["tbp_lv_location_simple"].nunique()
    assert (places == 1).all()


def test_the_layout_of_kaggle_holds_its_example_of_a_submission(tmp_path: Path) -> None:
    make_data("slice-3d", tmp_path / "set", rows=12, seed=0, layout="kaggle", pool=None)
    names = {path.name for path in (tmp_path / "set").iterdir()} - {"SYNTHETIC.md"}
    assert names == {"train-metadata.csv", "train-image.hdf5", "test-metadata.csv",
                     "test-image.hdf5", "sample_submission.csv"}  # fmt: skip
    example = pd.read_csv(tmp_path / "set" / "sample_submission.csv")
    test = pd.read_csv(tmp_path / "set" / "test-metadata.csv")
    assert list(example) == ["isic_id", "target"]
    assert example["isic_id"].tolist() == test["isic_id"].tolist()


def test_the_permissive_layout_has_as_many_rows_as_requested(tmp_path: Path) -> None:
    make_data("slice-3d", tmp_path / "set", rows=50, seed=0, layout="permissive", pool=10)
    folder = tmp_path / "set" / "ISIC_2024_Permissive_Training_Input"
    assert len(list(folder.glob("*.jpg"))) == len(pd.read_csv(folder / "metadata.csv")) == 50


def test_hdf5_holds_the_bytes_of_jpeg_files(tmp_path: Path) -> None:
    make_data("slice-3d", tmp_path / "set", rows=10, seed=0, layout=None, pool=10)
    with h5py.File(tmp_path / "set" / "train-image.hdf5") as file:
        item = file[next(iter(file))]
        assert item.shape == ()
        assert np.asarray(item).tobytes().startswith(b"\xff\xd8")


@pytest.mark.slow
def test_pictures_carry_their_metadata(tmp_path: Path) -> None:
    make_data("slice-3d", tmp_path / "set", rows=60, seed=0, layout=None, pool=60)
    data = load_data(f"slice-3d:{tmp_path / 'set'}")
    dark, area = [], []
    for row in data.images:
        grey = np.asarray(open_image(row["image"]).convert("L"), float)
        middle = len(grey) // 2
        skin, lesion = (
            np.median(grey[:8]),
            grey[middle - 2 : middle + 2, middle - 2 : middle + 2].mean(),
        )
        dark.append(lesion)
        area.append(((skin - grey) / (skin - lesion)).mean())
    assert np.corrcoef(dark, data.table["tbp_lv_L"])[0, 1] > 0.9
    assert np.corrcoef(area, data.table["tbp_lv_areaMM2"])[0, 1] > 0.8
