"""Synthetic exports of the ISIC archive have the columns and quirks of real ones."""

from pathlib import Path

import pandas as pd
import pytest

from toolkit_common.synthetic.isic_exports import EXPORTS
from toolkit_common.synthetic.make import make_data


def make(name: str, layout: str, folder: Path, *, rows: int = 100) -> Path:
    out = folder / name / layout
    make_data(name, out, rows=rows, seed=0, layout=layout, pool=None)
    return out


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


@pytest.mark.parametrize("name", ["bcn20000", "hiba", "isic"])
def test_kinds_are_malignant_as_their_names_say(name: str) -> None:
    kinds = EXPORTS[name].recipe.kinds
    malignant = {kind for kind, facts in kinds.items() if facts.malignant}
    assert malignant == {kind for kind in kinds if "melanoma" in kind or "carcinoma" in kind}


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "width"), [("2023", 17), ("newer", 18)])
def test_hiba_has_the_columns_of_its_generation(layout: str, width: int, tmp_path: Path) -> None:
    out = make("hiba", layout, tmp_path)
    table = read(out / "images" / "metadata.csv")
    assert table.shape == (100, width)
    assert list(table)[:4] == ["isic_id", "attribution", "copyright_license", "age_approx"]
    assert ("diagnosis" in table) == (out / "SupplementaryData.csv").is_file() == (layout == "2023")
    patient = ["age_approx", "sex", "personal_hx_mm", "family_hx_mm"]
    assert table.groupby("patient_id")[patient].nunique().max(axis=None) == 1
    assert (table[patient] == "").any().all()
    malignant = table[[name for name in ("benign_malignant", "diagnosis_1") if name in table]]
    is_malignant = malignant.iloc[:, 0].str.lower() == "malignant"
    assert set(table["diagnosis_confirm_type"][is_malignant]) == {"histopathology"}
    assert (table["dermoscopic_type"] == "").equals(table["image_type"] != "dermoscopic")


@pytest.mark.slow
def test_older_exports_hold_skin_types_apart(tmp_path: Path) -> None:
    out = make("hiba", "2023-flat", tmp_path)
    skin = read(out / "SupplementaryData.csv")
    assert list(skin) == ["isic_id", "skin_type"]
    assert {"", "II", "III"} <= set(skin["skin_type"]) <= {"", "I", "II", "III", "IV", "V", "VI"}
    assert len(list(out.glob("ISIC_*.jpg"))) == 100


@pytest.mark.slow
def test_bcn20000_has_quoted_names_utf_8_and_no_patients(tmp_path: Path) -> None:
    out = make("bcn20000", "flat", tmp_path)
    text = (out / "metadata.csv").read_bytes().decode("utf-8")
    assert '"Melanoma, NOS"' in text
    assert "Hospital Cl\u00ednic de Barcelona" in text
    table = read(out / "metadata.csv")
    assert table.shape == (100, 15)
    assert "patient_id" not in table
    assert {"Malignant", "Benign", "Indeterminate", ""} == set(table["diagnosis_1"])
    is_vascular = table["diagnosis_2"].str.endswith("Vascular")
    assert set(table["diagnosis_3"][is_vascular]) == {""}
    assert table["age_approx"].str.fullmatch(r"\d*").all()
    assert table["lesion_id"].nunique() < 40


@pytest.mark.slow
def test_exports_of_isic_have_the_ids_of_their_layout(tmp_path: Path) -> None:
    tables = {
        "patients": "images/metadata.csv", "lesions": "metadata.csv",
        "bare": "isic_metadata_2026-05-07.csv", "legacy": "metadata.csv",
    }  # fmt: skip
    ids = {}
    for layout, name in tables.items():
        table = read(make("isic", layout, tmp_path, rows=12) / name)
        ids[layout] = {"patient_id", "lesion_id"} & set(table)
        assert ("diagnosis" in table) == (layout == "legacy") != ("diagnosis_1" in table)
    assert ids == {"patients": {"patient_id", "lesion_id"}, "lesions": {"lesion_id"}, "bare": set(),
                   "legacy": {"patient_id", "lesion_id"}}  # fmt: skip
    assert (read(tmp_path / "isic" / "legacy" / "metadata.csv")["patient_id"] == "").any()
