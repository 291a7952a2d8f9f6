"""Any export of the ISIC archive: what is found, what labels say, what a bad file is told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.exports import write_export
from helpers.properties import few_examples
from helpers.small_data import write_images
from toolkit_common.data.check import check_images
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError
from toolkit_common.sources.lesions.isic import SHEET
from toolkit_common.sources.load import load_data
from toolkit_common.synthetic.isic_exports import EXPORTS
from toolkit_common.synthetic.make import make_data

LAYOUTS = tuple(EXPORTS["isic"].layouts)

NEW = {"diagnosis_1": "Malignant", "diagnosis_2": "Malignant melanocytic proliferations (Melanoma)",
       "diagnosis_3": "Melanoma, NOS"}  # fmt: skip
NEVUS = {"diagnosis_1": "Benign", "diagnosis_3": "Nevus"}


def column(data: ImageData, name: str) -> list[Any]:
    found = data.table[name].astype(object)
    return found.where(found.notna(), None).tolist()


@pytest.mark.parametrize(
    ("table", "images"),
    [
        ("metadata.csv", "images"),
        ("metadata.csv", "."),
        ("images/metadata.csv", "images"),
        ("bcn20000_metadata_2026-05-07.csv", "images/images"),
    ],
)
def test_every_layout_is_found(table: str, images: str, tmp_path: Path) -> None:
    data = load_data(f"isic:{write_export(tmp_path, NEW, NEVUS, table=table, images=images)}")
    assert column(data, "image_id") == ["ISIC_0000000", "ISIC_0000001"]
    assert check_images(data, np.arange(2)).empty


@pytest.mark.parametrize(
    ("row", "diagnosis", "malignant"),
    [
        (NEW, "Melanoma, NOS", "malignant"),
        (NEVUS, "Nevus", "benign"),
        ({"diagnosis_1": "Benign"}, "Benign", "benign"),
        ({"diagnosis_1": "Indeterminate", "diagnosis_3": "Nevus"}, "Nevus", None),
        ({"diagnosis_1": "Indeterminate", "benign_malignant": "benign"}, "Indeterminate", None),
        ({"diagnosis": "nevus", "benign_malignant": "benign"}, "nevus", "benign"),
        ({"diagnosis": "nevus", "benign_malignant": "indeterminate/benign"}, "nevus", None),
        ({"diagnosis": "other", "benign_malignant": "malignant"}, "other", "malignant"),
        ({"diagnosis": "nevus", "benign_malignant": None}, "nevus", "benign"),
        ({"diagnosis": "squamous cell carcinoma"}, "squamous cell carcinoma", "malignant"),
        ({"diagnosis": "AIMP"}, "AIMP", None),
        ({"benign_malignant": "malignant"}, "malignant", "malignant"),
        ({"diagnosis": None, "benign_malignant": None}, None, None),
    ],
)
def test_labels_come_from_what_is_there(
    row: dict[str, str], diagnosis: str | None, malignant: str | None, tmp_path: Path
) -> None:
    data = load_data(f"isic:{write_export(tmp_path, row, NEVUS)}?rare=keep")
    assert (column(data, "diagnosis")[0], column(data, "malignant")[0]) == (diagnosis, malignant)
    assert not set(SHEET.leaks) & set(data.table)


@pytest.mark.parametrize("name", ["actinic keratosis", "Solar or actinic keratosis"])
@pytest.mark.parametrize(
    ("option", "expected"),
    [("", None), ("&premalignant_as=drop", None), ("&premalignant_as=benign", "benign"),
     ("&premalignant_as=malignant", "malignant")],
)  # fmt: skip
def test_actinic_keratoses_count_as_asked(
    name: str, option: str, expected: str | None, tmp_path: Path
) -> None:
    rows = [{"diagnosis": name, "benign_malignant": "benign"}, NEVUS]
    data = load_data(f"isic:{write_export(tmp_path, *rows)}?rare=keep{option}")
    assert column(data, "malignant") == [expected, "benign"]


def test_a_premalignant_diagnosis_too_rare_for_a_class_counts_too(tmp_path: Path) -> None:
    rows = [{"diagnosis": "actinic keratosis", "benign_malignant": "benign"}, NEVUS]
    data = load_data(f"isic:{write_export(tmp_path, *rows)}?premalignant_as=malignant")
    assert column(data, "malignant") == ["malignant", "benign"]


def test_diagnoses_too_rare_to_be_split_are_no_class(tmp_path: Path) -> None:
    rows = [NEVUS | {"lesion_id": f"IL_{row}"} for row in range(5)]
    rows += [NEW | {"lesion_id": f"IL_{5 + row % 4}"} for row in range(9)]  # images of 4 lesions
    text = f"isic:{write_export(tmp_path, *rows)}"
    data = load_data(text)
    assert column(data, "diagnosis") == ["Nevus"] * 5 + [None] * 9
    assert column(data, "malignant") == ["benign"] * 5 + ["malignant"] * 9
    assert any("(fewer than 5 patients or lesions" in note and note.endswith("Melanoma, NOS")
               for note in data.sheet.notes)  # fmt: skip
    assert set(column(load_data(f"{text}?rare=keep"), "diagnosis")) == {"Nevus", "Melanoma, NOS"}


def test_patients_are_groups_and_lesions_hand_them_on(tmp_path: Path) -> None:
    rows = [
        {"patient_id": "IP_1", "lesion_id": "IL_1", "age_approx": 40},
        {"patient_id": None, "lesion_id": "IL_1", "age_approx": 50},
        {"patient_id": None, "lesion_id": "IL_2", "age_approx": 60},
        {"patient_id": None, "lesion_id": None, "age_approx": 70},
    ]
    data = load_data(f"isic:{write_export(tmp_path, *(NEVUS | row for row in rows))}")
    assert column(data, "group") == ["IP_1", "IP_1", "IL_2", "ISIC_0000003"]
    assert column(data, "lesion_id") == ["IL_1", "IL_1", "IL_2", "ISIC_0000003"]
    assert column(data, "age_approx") == [45.0, 45.0, 60.0, 70.0]
    assert "1 of 4 images have no lesion id" in data.sheet.notes[0]
    assert "3 of 4 images have no patient id" in data.sheet.notes[1]


def test_a_lesion_of_two_patients_stays_on_one_side(tmp_path: Path) -> None:
    rows = [{"patient_id": name, "lesion_id": f"IL_{at}"}
            for name, at in (("IP_1", 1), ("IP_2", 1), ("IP_2", 2))]  # fmt: skip
    data = load_data(f"isic:{write_export(tmp_path, *(NEVUS | row for row in rows))}")
    assert column(data, "group") == ["IP_1", "IP_1", "IP_2"]
    assert data.sheet.notes[0].startswith("1 lesions have more than one patient id: the first")


def test_without_ids_images_are_groups_and_that_is_said(tmp_path: Path) -> None:
    data = load_data(f"isic:{write_export(tmp_path, *[NEVUS | {'sex': 'male'}] * 12)}")
    assert column(data, "group") == column(data, "image_id")
    assert data.sheet.notes[0].startswith("no patient ids")
    assert data.sheet.notes[1].startswith("12 of 12 images have no lesion id")
    assert {item.level for item in data.sheet.columns} == {"lesion"}
    assert len(make_splits(data).test) >= 2


def test_columns_of_the_dictionary_are_typed_and_others_named(tmp_path: Path) -> None:
    row = {"age_approx": "85", "sex": "female", "personal_hx_mm": "True", "attribution": "Hospital",
           "anatom_site_1": "Trunk", "tbp_lv_A": "20.5", "shoe_size": "42",
           "diagnosis_confirm_type": "histopathology", "copyright_license": "CC-0"}  # fmt: skip
    data = load_data(f"isic:{write_export(tmp_path, NEW | row, NEVUS | row)}")
    first = data.table.iloc[0]
    assert (first["age_approx"], first["tbp_lv_A"], first["personal_hx_mm"]) == (85, 20.5, "true")
    assert first["attribution"] == "Hospital"
    assert "shoe_size" not in data.table
    assert any(note.endswith("are not read: shoe_size") for note in data.sheet.notes)
    assert "diagnosis_confirm_type" in data.withheld
    assert data.sheet.licence == "by image: CC-0"


def test_an_export_without_diagnoses_has_no_labels(tmp_path: Path) -> None:
    data = load_data(f"isic:{write_export(tmp_path, {'sex': 'male'}, {'sex': 'female'})}")
    assert any(note.startswith("no labels") for note in data.sheet.notes)
    with pytest.raises(InputError, match="has no label 'diagnosis'"):
        data.labels()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"diagnosis_1": "Bad"}, "diagnosis_1 'Bad' is none of benign, malignant, indeterminate"),
        ({"diagnosis": "nevus", "benign_malignant": "no"}, "benign_malignant 'no' is none of ben"),
        ({"age_approx": "old"}, "image ISIC_.*, column 'age_approx': 'old' is no number"),
    ],
)
def test_a_strange_cell_is_named(row: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"metadata.csv: {message}"):
        load_data(f"isic:{write_export(tmp_path, row)}")


def test_a_missing_table_id_row_or_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"no metadata.csv, nor .* in {tmp_path}: .*gallery.isic"):
        load_data(f"isic:{tmp_path}")
    (tmp_path / "metadata.csv").write_text("image,sex\na,male\n")
    with pytest.raises(InputError, match="has no column 'isic_id'; it has: image, sex"):
        load_data(f"isic:{tmp_path}")
    (tmp_path / "metadata.csv").write_text("isic_id,sex\n")
    with pytest.raises(InputError, match=f"{tmp_path}/metadata.csv has a header and no rows"):
        load_data(f"isic:{tmp_path}")
    (tmp_path / "metadata.csv").write_text("isic_id,sex\nISIC_1,male\n,male\n")
    with pytest.raises(InputError, match="row 3 has no isic_id"):
        load_data(f"isic:{tmp_path}")
    (tmp_path / "metadata.csv").write_text("isic_id,sex\nISIC_0000009,male\n")
    with pytest.raises(InputError, match=r"1 of 1 .* \(first: ISIC_0000009\): put them beside met"):
        load_data(f"isic:{tmp_path}")


def test_two_tables_in_one_folder_are_refused(tmp_path: Path) -> None:
    for name in ("a_metadata.csv", "b_metadata.csv"):
        write_export(tmp_path, NEVUS, table=name)
    (tmp_path / "._a_metadata.csv").write_bytes(b"\x00")  # what a Mac puts into archives
    with pytest.raises(InputError, match=r"holds a_metadata.csv, b_metadata.csv: put each export"):
        load_data(f"isic:{tmp_path}")


@few_examples
@given(
    cells=st.lists(
        st.fixed_dictionaries({
            "patient_id": st.sampled_from(["IP_1", "IP_2", "", "nan"]),
            "lesion_id": st.sampled_from(["IL_1", "IL_2", "IL_3", "", "NA"]),
            "diagnosis_1": st.sampled_from(["Benign", "Malignant", "Indeterminate", ""]),
            "diagnosis_3": st.sampled_from(['Nevus', 'Melanoma, NOS', 'Say "x", then', ""]),
            "attribution": st.sampled_from(["Hospital Cl\u00ednic de Barcelona", "a;b|c\td", ""]),
        }),
        min_size=1, max_size=8,
    )
)  # fmt: skip
def test_whatever_is_empty_every_row_has_a_group(
    cells: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = load_data(f"isic:{write_export(tmp_path_factory.mktemp('set'), *cells)}?rare=keep")
    table = data.table
    assert len(table) == len(cells)
    assert table["group"].notna().all()
    assert set(column(data, "malignant") if "malignant" in table else []) <= {
        "benign", "malignant", None,
    }  # fmt: skip
    assert column(data, "attribution") == [cell["attribution"] or None for cell in cells]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ImageData]:
    folder = tmp_path_factory.mktemp("isic")
    for layout in LAYOUTS:
        make_data("isic", folder / layout, rows=48, seed=1, layout=layout, pool=None)
    return {layout: load_data(f"isic:{folder / layout}") for layout in LAYOUTS}


def test_every_synthetic_layout_is_grouped_as_it_can_be(made: dict[str, ImageData]) -> None:
    numbers = {layout: len(set(column(data, "group"))) for layout, data in made.items()}
    assert numbers["patients"] < numbers["lesions"] < numbers["bare"] == 48
    assert numbers["patients"] <= numbers["legacy"] < numbers["lesions"]
    for data in made.values():
        splits, groups = make_splits(data), data.groups
        assert groups is not None
        assert not set(groups[splits.train]) & set(groups[splits.test])
        assert check_images(data, np.arange(len(data))).empty
        assert set(data.table["malignant"].dropna()) == {"benign", "malignant"}
        assert not set(SHEET.leaks) & set(data.table)


def test_newer_and_older_names_count_the_same(made: dict[str, ImageData]) -> None:
    both = made["patients"].table.merge(made["legacy"].table, on="image_id")
    calls = both[["malignant_x", "malignant_y"]].dropna()
    assert len(calls) > 30
    assert (calls["malignant_x"] == calls["malignant_y"]).all()


def test_masks_beside_the_images_are_not_taken_for_them(tmp_path: Path) -> None:
    root = write_export(tmp_path, NEW, NEVUS)
    write_images(root / "images" / "masks", "ISIC_0000000.png")
    write_images(root / "other", "ISIC_0000008.png", "ISIC_0000009.png", "ISIC_0000001.png")
    with pytest.raises(InputError, match="two pictures are called ISIC_0000001, "):
        load_data(f"isic:{root}")
    (root / "other" / "ISIC_0000001.png").unlink()
    paths = [item["image"]["path"] for item in load_data(f"isic:{root}").images]
    assert paths == [f"{root}/images/ISIC_000000{place}.jpg" for place in (0, 1)]
