"""What exports of the ISIC archive share: tables, ids, rare diagnoses, and what goes wrong."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.exports import write_export
from helpers.properties import few_examples
from helpers.small_data import column, write_images
from toolkit_common.data.check import check_images
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError
from toolkit_common.sources.load import load_data

NEW = {"diagnosis_1": "Malignant", "diagnosis_2": "Malignant melanocytic proliferations (Melanoma)",
       "diagnosis_3": "Melanoma, NOS"}  # fmt: skip
NEVUS = {"diagnosis_1": "Benign", "diagnosis_3": "Nevus"}


@pytest.mark.parametrize(
    ("table", "images"),
    [
        ("metadata.csv", "images"),
        ("metadata.csv", "."),
        ("images/metadata.csv", "images"),
        ("bcn20000_metadata_2026-05-07.csv", "images/images"),
    ],
)
def test_every_layout_is_recognised(table: str, images: str, tmp_path: Path) -> None:
    data = load_data(f"isic:{write_export(tmp_path, NEW, NEVUS, table=table, images=images)}")
    assert column(data, "image_id") == ["ISIC_0000000", "ISIC_0000001"]
    assert check_images(data, np.arange(2)).empty


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
    assert data.sheet.notes[0].startswith("1 lesion has more than one patient id: the first")


def test_without_ids_images_are_groups_and_that_is_reported(tmp_path: Path) -> None:
    data = load_data(f"isic:{write_export(tmp_path, *[NEVUS | {'sex': 'male'}] * 12)}")
    assert column(data, "group") == column(data, "image_id")
    assert data.sheet.notes[0].startswith("no patient ids")
    assert data.sheet.notes[1].startswith("12 of 12 images have no lesion id")
    assert {item.level for item in data.sheet.columns} == {"lesion"}
    assert len(make_splits(data).test) >= 2


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


@pytest.mark.slow
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


def test_masks_beside_the_images_are_not_taken_for_them(tmp_path: Path) -> None:
    root = write_export(tmp_path, NEW, NEVUS)
    write_images(root / "images" / "masks", "ISIC_0000000.png")
    write_images(root / "other", "ISIC_0000008.png", "ISIC_0000009.png", "ISIC_0000001.png")
    with pytest.raises(InputError, match="two pictures are called ISIC_0000001, "):
        load_data(f"isic:{root}")
    (root / "other" / "ISIC_0000001.png").unlink()
    paths = [item["image"]["path"] for item in load_data(f"isic:{root}").images]
    assert paths == [f"{root}/images/ISIC_000000{place}.jpg" for place in (0, 1)]
