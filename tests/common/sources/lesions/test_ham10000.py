"""HAM10000: every layout as `toolkit data make` writes it, and what goes wrong."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.audited import run_audit
from toolkit_common.audit.describe import describe_data
from toolkit_common.data.check import check_images
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError
from toolkit_common.sources.lesions.folder import NO_PATIENTS
from toolkit_common.sources.lesions.ham10000 import SHEET
from toolkit_common.sources.load import load_data
from toolkit_common.synthetic.make import make_data

LAYOUTS = ("kaggle", "flat", "dataverse", "dataverse-tab")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("ham10000")
    for layout in LAYOUTS:
        make_data("ham10000", folder / layout, rows=40, seed=1, layout=layout, pool=None)
    return {layout: folder / layout for layout in LAYOUTS}


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    make_data("ham10000", tmp_path / "set", rows=12, seed=1, layout=None, pool=None)
    return tmp_path / "set"


def edit(folder: Path, column: str, value: object, *, row: int = 0) -> None:
    path = folder / "HAM10000_metadata.csv"
    table = pd.read_csv(path, dtype=object)
    table.loc[row, column] = value
    table.to_csv(path, index=False)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read_and_split_by_lesion(made: dict[str, Path], layout: str) -> None:
    data = load_data(f"ham10000:{made[layout]}")
    splits, groups = make_splits(data), data.groups
    assert groups is not None
    assert len(np.unique(groups)) == 30 < len(data) == 40
    assert not set(groups[splits.train]) & set(groups[splits.test])
    assert check_images(data, np.arange(len(data))).empty
    assert set(data.table["diagnosis"]) == set(SHEET.classes)
    assert {"age", "sex", "localization"} < set(data.table)
    assert not set(SHEET.leaks) & set(data.table)
    assert data.sheet.title == "HAM10000 (SYNTHETIC)"


def test_all_layouts_hold_the_same_rows_and_pictures(made: dict[str, Path]) -> None:
    first, *others = (load_data(f"ham10000:{made[layout]}") for layout in LAYOUTS)
    for other in others:
        table = other.table.drop(columns="dataset", errors="ignore")
        pd.testing.assert_frame_equal(first.table, table)
        for one, two in zip(first.images, other.images, strict=True):
            places = [Path(item["image"]["path"]) for item in (one, two)]
            assert places[0].name == places[1].name
            assert places[0].read_bytes() == places[1].read_bytes()


def test_missing_ages_unknown_sexes_and_sites_are_kept_apart(made: dict[str, Path]) -> None:
    table = load_data(f"ham10000:{made['kaggle']}").table
    assert 0 < table["age"].isna().sum() < 10
    assert "unknown" in set(table["sex"])
    assert "unknown" in set(table["localization"])
    assert table[["sex", "localization"]].notna().all().all()


def test_masks_are_not_taken_for_images(made: dict[str, Path]) -> None:
    assert len(list(made["dataverse"].rglob("*_segmentation.png"))) == 40
    paths = [item["image"]["path"] for item in load_data(f"ham10000:{made['dataverse']}").images]
    assert all("HAM10000_images_part_" in path for path in paths)


@pytest.mark.slow
def test_the_way_of_the_diagnosis_is_withheld(made: dict[str, Path]) -> None:
    data = load_data(f"ham10000:{made['dataverse']}")
    assert set(data.withheld) == {"dx", "dx_type"}
    texts = [finding.text for finding in run_audit(data).findings]
    assert any("'dx_type' is on the sheet's leak list (how the diagnosis" in text for text in texts)


def test_the_source_stays_beside_the_inputs_where_the_file_names_it(made: dict[str, Path]) -> None:
    assert "dataset" not in load_data(f"ham10000:{made['kaggle']}").table
    data = load_data(f"ham10000:{made['dataverse']}")
    assert "vidir_molemax" in set(data.table["dataset"])
    assert "dataset" not in [column.name for column in data.sheet.columns]


@pytest.mark.parametrize(
    ("choice", "akiec"), [("benign", ["benign"]), ("malignant", ["malignant"]), ("drop", [])]
)
def test_akiec_counts_as_requested(made: dict[str, Path], choice: str, akiec: list[str]) -> None:
    table = load_data(f"ham10000:{made['flat']}?premalignant_as={choice}").table
    answers = table.groupby("diagnosis")["malignant"].unique().to_dict()
    assert list(pd.Series(answers.pop("akiec")).dropna()) == akiec
    malignant = {kind for kind, given in answers.items() if list(given) == ["malignant"]}
    assert malignant == {"mel", "bcc"}


def test_a_copy_with_added_rows_is_reported(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (fresh / "SYNTHETIC.md").unlink()
    notes = load_data(f"ham10000:{fresh}").sheet.notes
    assert notes[0] == "found 12 images, expected 10,015: a part or another release"
    monkeypatch.setitem(SHEET.counts, "images", 11)  # type: ignore[arg-type]
    notes = load_data(f"ham10000:{fresh}").sheet.notes
    assert notes[0] == "found 12 images, expected 11: another release, or rows were added"


def test_a_copy_with_rewritten_labels_is_reported(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fresh / "SYNTHETIC.md").unlink()
    data = load_data(f"ham10000:{fresh}")
    counts = {"images": 12, "lesions": data.table["lesion_id"].nunique()}
    for name, count in (counts | data.table["diagnosis"].value_counts().to_dict()).items():
        monkeypatch.setitem(SHEET.counts, name, count)  # type: ignore[arg-type]
    assert load_data(f"ham10000:{fresh}").sheet.notes == (NO_PATIENTS,)
    row = int(data.table["diagnosis"].ne("nv").to_numpy().argmax())
    rewritten, nevi = data.table["diagnosis"][row], SHEET.counts["nv"]
    edit(fresh, "dx", "nv", row=row)
    note = load_data(f"ham10000:{fresh}").sheet.notes[0]
    assert note.startswith("labels differ from the published ones: found ")
    assert f"nv {nevi + 1} (expected {nevi})" in note
    assert f"{rewritten} {SHEET.counts[rewritten] - 1} (expected {SHEET.counts[rewritten]})" in note


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("dx", "scc", r"HAM10000_metadata.csv: diagnosis 'scc' is none of akiec, bcc, .*, vasc"),
        ("age", "old", "image ISIC_.*, column 'age': 'old' is no number"),
        ("image_id", "ISIC_1", r"1 of 12 images .* \(first: ISIC_1\): unpack HAM10000_images_pa"),
    ],
)
def test_a_strange_cell_is_named(fresh: Path, column: str, value: str, message: str) -> None:
    edit(fresh, column, value)
    with pytest.raises(InputError, match=message):
        load_data(f"ham10000:{fresh}")


def test_an_augmented_copy_that_repeats_images_is_refused(fresh: Path) -> None:
    path = fresh / "HAM10000_metadata.csv"
    table = pd.read_csv(path, dtype=object)
    pd.concat([table, table.head(2)]).to_csv(path, index=False)
    with pytest.raises(InputError, match=f"image id '{table['image_id'][0]}' occurs 2 times"):
        load_data(f"ham10000:{fresh}")


def test_a_missing_table_or_column_is_named(fresh: Path) -> None:
    with pytest.raises(InputError, match=f"no HAM10000_metadata.csv or .*x: .*{SHEET.doi}"):
        load_data(f"ham10000:{fresh}x")
    path = fresh / "HAM10000_metadata.csv"
    pd.read_csv(path, dtype=object).drop(columns="localization").to_csv(path, index=False)
    with pytest.raises(InputError, match="has no column 'localization'"):
        load_data(f"ham10000:{fresh}")


@pytest.mark.slow
def test_an_image_without_lesion_is_reported_as_a_problem_of_the_splits(fresh: Path) -> None:
    whole = describe_data(load_data(f"ham10000:{fresh}"))["groups"]["count"]
    edit(fresh, "lesion_id", None)
    described = describe_data(load_data(f"ham10000:{fresh}"))
    assert whole - 1 <= described["groups"]["count"] <= whole
    assert "has no group (1 of 12)" in described["splits"]["problem"]
    assert "name its patient or lesion" in described["splits"]["problem"]
    assert "1 of 12 images have no lesion id" in described["notes"]
    for row in range(12):
        edit(fresh, "lesion_id", None, row=row)
    assert "groups" not in describe_data(load_data(f"ham10000:{fresh}"))


def test_a_lesion_without_diagnosis_has_no_label(fresh: Path) -> None:
    edit(fresh, "dx", None)
    data = load_data(f"ham10000:{fresh}")
    for label in ("diagnosis", "malignant"):
        assert data.labels(label).targets[0] == -1
