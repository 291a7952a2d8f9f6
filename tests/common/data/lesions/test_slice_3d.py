"""SLICE-3D: every layout as `toolkit data make` writes it, the real sample, and what goes wrong."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from toolkit_common.data.check import check_images
from toolkit_common.data.lesions.slice_3d import ANGLE, MEASURES, SHEET
from toolkit_common.data.load import load_data
from toolkit_common.data.making.make import make_data
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError

REAL = Path(__file__).parents[5] / "shared" / "data" / "slice-3d-schema-sample"
LAYOUTS = ("kaggle", "kaggle-folder", "isic", "permissive")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("slice-3d")
    for layout in LAYOUTS:
        make_data("slice-3d", folder / layout, rows=60, seed=1, layout=layout, pool=12)
    return {layout: folder / layout for layout in LAYOUTS}


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    make_data("slice-3d", tmp_path / "set", rows=12, seed=1, layout="kaggle", pool=10)
    return tmp_path / "set"


def edit(path: Path, column: str, value: object) -> None:
    table = pd.read_csv(path, dtype=object)
    table.loc[0, column] = value
    table.to_csv(path, index=False)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read_and_split_by_patient(made: dict[str, Path], layout: str) -> None:
    data = load_data(f"slice-3d:{made[layout]}")
    splits, groups = make_splits(data), data.groups
    assert groups is not None
    assert not set(groups[splits.train]) & set(groups[splits.test])
    assert check_images(data, np.arange(len(data))).empty
    assert {"age_approx", "sex", *MEASURES, ANGLE} <= set(data.table)
    assert not set(SHEET.leaks) & set(data.table)
    assert set(data.table["malignant"]) == {"benign", "malignant"}
    assert "SYNTHETIC" in data.sheet.title
    assert data.sheet.licence == "synthetic"


def test_all_layouts_hold_the_same_rows(made: dict[str, Path]) -> None:
    first, *others = (
        load_data(f"slice-3d:{made[layout]}").table.sort_values("image_id", ignore_index=True)
        for layout in ("kaggle", "kaggle-folder", "isic")
    )
    for other in others:
        pd.testing.assert_frame_equal(first, other)


def test_the_permissive_rows_can_be_asked_for(made: dict[str, Path]) -> None:
    table = pd.read_csv(made["kaggle"] / "train-metadata.csv", index_col="isic_id")
    known = table["copyright_license"]
    chosen = load_data(f"slice-3d:{made['kaggle']}?license=permissive").table["image_id"]
    assert 0 < len(chosen) < 60
    assert set(chosen) == set(known.index[known.isin(["CC-BY", "CC-0"])])


def test_the_permissive_layout_holds_as_many_rows_as_asked(made: dict[str, Path]) -> None:
    data = load_data(f"slice-3d:{made['permissive']}")
    assert len(data) == 60


def test_a_patient_has_one_age(made: dict[str, Path]) -> None:
    table = load_data(f"slice-3d:{made['kaggle']}").table
    assert (table.groupby("patient_id")["age_approx"].nunique() <= 1).all()


def test_the_diagnosis_of_a_malignant_lesion_is_its_kind(made: dict[str, Path]) -> None:
    table = load_data(f"slice-3d:{made['kaggle']}").table
    assert set(table["diagnosis"][table["malignant"] == "benign"]) <= {"Benign", "Indeterminate"}
    assert not set(table["diagnosis"][table["malignant"] == "malignant"]) & {"Benign", "Malignant"}


def test_an_indeterminate_lesion_is_not_malignant(fresh: Path) -> None:
    path = fresh / "train-metadata.csv"
    edit(path, "target", "0")
    edit(path, "iddx_1", "Indeterminate")
    row = load_data(f"slice-3d:{fresh}").table.iloc[0]
    assert (row["malignant"], row["diagnosis"]) == ("benign", "Indeterminate")


def test_a_test_set_has_no_labels(fresh: Path) -> None:
    (fresh / "train-metadata.csv").unlink()
    data = load_data(f"slice-3d:{fresh}")
    assert len(data) == 3
    assert data.sheet.notes[1].startswith("no labels")
    with pytest.raises(InputError, match="has no label 'malignant'"):
        data.labels("malignant")


def test_absent_images_are_counted_and_can_be_left_out(fresh: Path) -> None:
    with h5py.File(fresh / "train-image.hdf5", "a") as file:
        first = sorted(file)[0]
        del file[first]
    with pytest.raises(InputError, match=rf"1 of 12 images .* \(first: {first}\): unpack"):
        load_data(f"slice-3d:{fresh}")
    data = load_data(f"slice-3d:{fresh}?allow_partial=1")
    assert len(data) == 11
    assert first not in set(data.table["image_id"])


def test_counts_that_differ_from_the_sheet_are_reported(fresh: Path) -> None:
    (fresh / "SYNTHETIC.md").unlink()  # a synthetic set is expected to differ
    notes = load_data(f"slice-3d:{fresh}").sheet.notes
    assert notes[0] == "found 12 images, expected 401,059: a part or another release"


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("tbp_lv_A", "dark", "image ISIC_.*, column 'tbp_lv_A': 'dark' is no number"),
        ("target", "2", "label '2' of ISIC_.* is not 0 or 1"),
    ],
)
def test_a_strange_cell_is_named(fresh: Path, column: str, value: str, message: str) -> None:
    edit(fresh / "train-metadata.csv", column, value)
    with pytest.raises(InputError, match=message):
        load_data(f"slice-3d:{fresh}")


def test_a_missing_folder_table_or_column_is_named(fresh: Path) -> None:
    with pytest.raises(InputError, match=f"no train-metadata.csv .* in {fresh}x: .*{SHEET.doi}"):
        load_data(f"slice-3d:{fresh}x")
    path = fresh / "train-metadata.csv"
    pd.read_csv(path, dtype=object).drop(columns="tbp_lv_Lext").to_csv(path, index=False)
    with pytest.raises(InputError, match="has no column 'tbp_lv_Lext'"):
        load_data(f"slice-3d:{fresh}")


def test_two_archives_in_one_folder_are_refused(tmp_path: Path) -> None:
    for name in ("Training", "Permissive_Training"):
        (tmp_path / f"ISIC_2024_{name}_Input").mkdir()
    with pytest.raises(InputError, match="ISIC_2024_Permissive_Training_Input, ISIC_2024_Training"):
        load_data(f"slice-3d:{tmp_path}")


def test_an_archive_without_its_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "ISIC_2024_Training_Input").mkdir()
    with pytest.raises(InputError, match=f"no table at {tmp_path}/ISIC_2024_Training_Input/meta"):
        load_data(f"slice-3d:{tmp_path}")


@pytest.mark.parametrize("option", ["license=free", "allow_partial=yes", "premalignant_as=maybe"])
def test_an_option_must_be_one_of_its_choices(fresh: Path, option: str) -> None:
    key, value = option.split("=")
    with pytest.raises(InputError, match=f"{key} must be one of .*, got '{value}'"):
        load_data(f"slice-3d:{fresh}?{option}")


def test_a_licence_that_no_row_has_is_told(fresh: Path) -> None:
    path = fresh / "train-metadata.csv"
    pd.read_csv(path, dtype=object).assign(copyright_license="CC-BY-NC").to_csv(path, index=False)
    with pytest.raises(InputError, match=r"has no rows that 'slice-3d:.*license=permissive' asks"):
        load_data(f"slice-3d:{fresh}?license=permissive")


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real sample is not at {REAL}")
def test_the_real_sample_is_read() -> None:
    data = load_data(f"slice-3d:{REAL}")
    assert len(data) == 3
    assert data.table["age_approx"].between(5, 85).all()
    assert check_images(data, np.arange(3)).empty
