"""SLICE-3D: every layout as `toolkit data make` writes it, the real sample, and what goes wrong."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from helpers.audited import run_audit
from toolkit_common import extras
from toolkit_common.data.check import check_images
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError
from toolkit_common.sources.lesions.isic import SHEET as ISIC
from toolkit_common.sources.lesions.slice_3d import COUNTS, KINDS, MEASURES, SHEET
from toolkit_common.sources.load import load_data
from toolkit_common.synthetic.make import make_data

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


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read_and_split_by_patient(made: dict[str, Path], layout: str) -> None:
    data = load_data(f"slice-3d:{made[layout]}")
    splits, groups = make_splits(data), data.groups
    assert groups is not None
    assert not set(groups[splits.train]) & set(groups[splits.test])
    assert check_images(data, np.arange(len(data))).empty
    assert {"age_approx", "sex", *(column.name for column in MEASURES)} <= set(data.table)
    assert not set(SHEET.leaks) & set(data.table)
    assert set(data.table["malignant"]) == {"benign", "malignant"}
    assert "SYNTHETIC" in data.sheet.title
    assert data.sheet.licence == "synthetic"


@pytest.mark.slow
def test_all_layouts_hold_the_same_rows(made: dict[str, Path]) -> None:
    first, *others = (
        load_data(f"slice-3d:{made[layout]}").table.sort_values("image_id", ignore_index=True)
        for layout in ("kaggle", "kaggle-folder", "isic")
    )
    for other in others:
        pd.testing.assert_frame_equal(first, other)


def test_the_permissive_rows_can_be_requested(made: dict[str, Path]) -> None:
    table = pd.read_csv(made["kaggle"] / "train-metadata.csv", index_col="isic_id")
    known = table["copyright_license"]
    chosen = load_data(f"slice-3d:{made['kaggle']}?license=permissive").table["image_id"]
    assert 0 < len(chosen) < 60
    assert set(chosen) == set(known.index[known.isin(["CC-BY", "CC-0"])])


def test_the_permissive_layout_holds_as_many_rows_as_requested(made: dict[str, Path]) -> None:
    data = load_data(f"slice-3d:{made['permissive']}")
    assert len(data) == 60
    assert set(data.table["copyright_license"]) == {"CC-BY", "CC-0"}


def test_the_counts_of_the_sheet_add_up() -> None:
    counts = COUNTS["train"]
    assert sum(counts[kind] for kind in KINDS) == counts["malignant"]


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
    with pytest.raises(
        InputError, match=rf"1 of 12 images .* \(first: {first}\): train-image.hdf5 lacks"
    ):
        load_data(f"slice-3d:{fresh}")
    data = load_data(f"slice-3d:{fresh}?allow_partial=1")
    assert len(data) == 11
    assert first not in set(data.table["image_id"])


def test_counts_that_differ_from_the_sheet_are_reported(fresh: Path) -> None:
    (fresh / "SYNTHETIC.md").unlink()  # a synthetic set is expected to differ
    notes = load_data(f"slice-3d:{fresh}").sheet.notes
    assert notes[0] == "found 12 images, expected 401,059: a part or another release"


def test_a_whole_test_set_is_as_expected(fresh: Path) -> None:
    (fresh / "SYNTHETIC.md").unlink()
    (fresh / "train-metadata.csv").unlink()
    assert not any("expected" in note for note in load_data(f"slice-3d:{fresh}").sheet.notes)


@pytest.mark.parametrize("beside", [False, True])
def test_the_permissive_part_is_known_wherever_its_table_lies(beside: bool, tmp_path: Path) -> None:
    make_data("slice-3d", tmp_path / "set", rows=12, seed=1, layout="permissive", pool=None)
    (tmp_path / "set" / "SYNTHETIC.md").unlink()
    stem = tmp_path / "set" / "ISIC_2024_Permissive_Training"
    if beside:
        Path(f"{stem}_Input", "metadata.csv").rename(f"{stem}_metadata.csv")
    sheet = load_data(f"slice-3d:{tmp_path / 'set'}").sheet
    assert (sheet.licence, sheet.doi) == ("CC BY 4.0", "10.34970/2024-slice-3d-permissive")
    assert "found 12 images, expected 217,477: a part or another release" in sheet.notes


def test_labels_of_a_full_copy_are_compared(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (fresh / "SYNTHETIC.md").unlink()
    table = load_data(f"slice-3d:{fresh}").table
    sizes = {"images": 12, "patients": table["patient_id"].nunique()}
    monkeypatch.setitem(COUNTS, "train", COUNTS["train"] | sizes)
    note = load_data(f"slice-3d:{fresh}").sheet.notes[0]
    count = (table["malignant"] == "malignant").sum()
    assert note.startswith(f"labels differ from the published ones: found malignant {count} (exp")
    assert "malignant patients" in note
    assert "Basal cell carcinoma" in note


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


def test_a_licence_that_no_row_has_is_reported(fresh: Path) -> None:
    path = fresh / "train-metadata.csv"
    pd.read_csv(path, dtype=object).assign(copyright_license="CC-BY-NC").to_csv(path, index=False)
    with pytest.raises(InputError, match=r"has no rows that 'slice-3d:.*license=permissive' asks"):
        load_data(f"slice-3d:{fresh}?license=permissive")


@pytest.mark.parametrize("size", [0, 4000])
def test_a_damaged_hdf5_file_is_named(fresh: Path, size: int) -> None:
    path = fresh / "train-image.hdf5"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match=f"^{path} cannot be read as HDF5, download it again: .+$"):
        load_data(f"slice-3d:{fresh}")


def test_a_file_that_is_no_hdf5_is_named(fresh: Path) -> None:
    (fresh / "train-image.hdf5").write_text("<html>not found</html>" * 100)
    with pytest.raises(InputError, match=r"train-image.hdf5 cannot be read as HDF5"):
        load_data(f"slice-3d:{fresh}")


def test_a_doubled_column_is_named(fresh: Path) -> None:
    path = fresh / "train-metadata.csv"
    table = pd.read_csv(path, dtype=object)
    pd.concat([table, table["sex"]], axis=1).to_csv(path, index=False)
    with pytest.raises(InputError, match="column 'sex' occurs 2 times"):
        load_data(f"slice-3d:{fresh}")


def rewrite(path: Path, **options: Any) -> None:
    pd.read_csv(path, dtype=object).to_csv(path, index=False, **options)


@pytest.mark.slow
@pytest.mark.parametrize("separator", ["\t", ";"])
def test_any_separator_is_read(fresh: Path, separator: str) -> None:
    expected = load_data(f"slice-3d:{fresh}").table
    rewrite(fresh / "train-metadata.csv", sep=separator)
    pd.testing.assert_frame_equal(load_data(f"slice-3d:{fresh}").table, expected)


@pytest.mark.slow
def test_both_ways_to_read_give_the_same_columns(fresh: Path) -> None:
    fast = load_data(f"slice-3d:{fresh}")
    assert set(SHEET.acquisition) < set(fast.table)
    assert set(fast.withheld) == set(SHEET.leaks) - {"lesion_id"}
    path = fresh / "train-metadata.csv"
    path.write_text(path.read_text() + "\n , \n".replace(" , ", "," * 54))  # a blank row
    slow = load_data(f"slice-3d:{fresh}")
    pd.testing.assert_frame_equal(slow.table, fast.table)
    pd.testing.assert_frame_equal(slow.withheld, fast.withheld, check_dtype=False,
                                  check_categorical=False)  # fmt: skip


@pytest.mark.slow
def test_the_audit_sees_the_acquisition_and_no_input_does(made: dict[str, Path]) -> None:
    data = load_data(f"slice-3d:{made['kaggle']}")
    texts = [finding.text for finding in run_audit(data).findings if finding.kind == "acquisition"]
    assert len(texts) == len(SHEET.acquisition)
    assert not set(SHEET.acquisition) & {column.name for column in data.sheet.columns}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    make_data("slice-3d", tmp_path / "set", rows=12, seed=1, layout="isic", pool=None)
    return tmp_path / "set"


@pytest.mark.slow
def test_labels_that_are_not_there_are_noted_with_their_source(
    archive: Path, tmp_path: Path
) -> None:
    (archive / "ISIC_2024_Training_GroundTruth.csv").unlink()
    notes = load_data(f"slice-3d:{archive}").sheet.notes
    assert notes[1].startswith(f"no labels: ISIC_2024_Training_GroundTruth.csv is not in {archive}"
                               f": download it (doi {SHEET.doi})")  # fmt: skip
    make_data("slice-3d", tmp_path / "kaggle", rows=12, seed=1, layout="kaggle", pool=None)
    path = tmp_path / "kaggle" / "train-metadata.csv"
    pd.read_csv(path, dtype=object).drop(columns="target").to_csv(path, index=False)
    notes = load_data(f"slice-3d:{path.parent}").sheet.notes
    assert notes[1].startswith("no labels: train-metadata.csv has no column 'target': download")


@pytest.mark.slow
def test_kinds_that_no_table_names_are_not_counted(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (archive / "SYNTHETIC.md").unlink()
    (archive / "ISIC_2024_Training_Supplement.csv").unlink()
    table = load_data(f"slice-3d:{archive}").table
    sizes = {"images": 12, "patients": table["patient_id"].nunique()}
    monkeypatch.setitem(COUNTS, "train", COUNTS["train"] | sizes)
    first, second, *_ = load_data(f"slice-3d:{archive}").sheet.notes
    assert first.startswith("labels differ from the published ones: found malignant ")
    assert "carcinoma" not in first
    assert second.startswith("the kinds of malignant lesions are unknown: no column iddx_3")


@pytest.mark.parametrize("part", ["GroundTruth", "Supplement"])
def test_the_tables_of_an_archive_are_checked(archive: Path, part: str) -> None:
    path = archive / f"ISIC_2024_Training_{part}.csv"
    table = pd.read_csv(path, dtype=object)
    pd.concat([table, table.head(1)]).to_csv(path, index=False)
    first = table["isic_id"][0]
    with pytest.raises(InputError, match=f"^{path}: isic_id '{first}' occurs 2 times: keep one"):
        load_data(f"slice-3d:{archive}")
    table.drop(columns="isic_id").to_csv(path, index=False)
    with pytest.raises(InputError, match=f"^{path} has no column 'isic_id'"):
        load_data(f"slice-3d:{archive}")


def test_images_without_a_label_are_counted(archive: Path) -> None:
    path = archive / "ISIC_2024_Training_GroundTruth.csv"
    table = pd.read_csv(path, dtype=object)
    table.drop(index=[1, 3]).to_csv(path, index=False)
    with pytest.raises(InputError, match=f"^{path} has no label for 2 of 12 images .first: "
                       f"{table['isic_id'][1]}.$"):  # fmt: skip
        load_data(f"slice-3d:{archive}")


def test_what_a_table_lacks_is_reported(fresh: Path) -> None:
    path = fresh / "train-metadata.csv"
    table = pd.read_csv(path, dtype=object).drop(columns=["sex", "tbp_lv_location"])
    table.loc[:1, "patient_id"] = None
    table.loc[:2, "tbp_lv_stdLExt"] = table["tbp_lv_Lext"]
    table.to_csv(path, index=False)
    data = load_data(f"slice-3d:{fresh}")
    assert "train-metadata.csv has no column sex, tbp_lv_location" in data.sheet.notes
    assert any(note.startswith("2 of 12 images have no patient id: each counts as a patient of its")
               for note in data.sheet.notes)  # fmt: skip
    assert any(note.startswith("tbp_lv_stdLExt repeats tbp_lv_Lext in 3 of 12 rows")
               for note in data.sheet.notes)  # fmt: skip


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "b.hdf5#2" / "x#1"
    make_data("slice-3d", folder, rows=12, seed=1, layout="kaggle", pool=None)
    data = load_data(f"slice-3d:{folder}")
    assert check_images(data, np.arange(len(data))).empty
    assert not any(key.endswith(":absent") for key in data.image_keys)
    assert len(set(data.image_keys)) == len(data)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real sample is not at {REAL}")
def test_the_real_sample_is_read() -> None:
    data = load_data(f"slice-3d:{REAL}")
    assert len(data) == 3
    assert data.table["age_approx"].between(5, 85).all()
    assert any("repeats tbp_lv_Lext in 3 of 3 rows" in note for note in data.sheet.notes)
    assert not any("expected" in note for note in data.sheet.notes)
    assert check_images(data, np.arange(3)).empty


COLUMNS = {column.name: column for column in SHEET.columns}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("clin_size_long_diam_mm", ("mm", 0, None)),
        ("tbp_lv_minorAxisMM", ("mm", 0, None)),
        ("tbp_lv_perimeterMM", ("mm", 0, None)),
        ("tbp_lv_areaMM2", ("mm2", 0, None)),
        ("tbp_lv_L", ("", 0, 100)),
        ("tbp_lv_Lext", ("", 0, 100)),
        ("tbp_lv_eccentricity", ("", 0, 1)),
        ("tbp_lv_H", ("degrees", None, None)),
        ("tbp_lv_A", ("", None, None)),
        ("tbp_lv_symm_2axis_angle", ("degrees", None, None)),
    ],
)
def test_what_is_certain_is_in_the_sheet(
    name: str, expected: tuple[str, float | None, float | None]
) -> None:
    column = COLUMNS[name]
    assert (column.unit, column.low, column.high) == expected


def test_every_name_that_says_a_unit_has_it() -> None:
    units = {"MM2": "mm2", "MM": "mm", "_mm": "mm"}
    for name, column in COLUMNS.items():
        unit = next((value for suffix, value in units.items() if name.endswith(suffix)), None)
        assert unit is None or column.unit == unit, name


def test_exports_of_the_archive_share_the_measures() -> None:
    assert [column for column in ISIC.columns if column in MEASURES] == list(MEASURES)
    assert len(MEASURES) == 32


def test_packed_images_alone_need_h5py(
    made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "is_installed", lambda library: library != "h5py")
    assert len(load_data(f"slice-3d:{made['kaggle-folder']}")) == 60
    message = "reading train-image.hdf5 needs h5py, .*: pip install 'toolkit-common.lesions.'$"
    with pytest.raises(InputError, match=message):
        load_data(f"slice-3d:{made['kaggle']}")
