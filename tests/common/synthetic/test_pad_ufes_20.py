"""Synthetic PAD-UFES-20 has the files of the real one, and its traps."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from toolkit_common.sources.lesions.sample import FOLDER
from toolkit_common.sources.load import load_data
from toolkit_common.synthetic.make import make_data
from toolkit_common.synthetic.pad_ufes_20 import BLOCK

REAL = Path(__file__).parents[4] / "shared" / "data" / "pad-ufes-20-sample"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "set"
    make_data("pad-ufes-20", out, rows=250, seed=0, layout="parts", pool=None)
    return out


@pytest.fixture(scope="module")
def table(made: Path) -> pd.DataFrame:
    return pd.read_csv(made / "metadata.csv", dtype=str, keep_default_na=False)


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real sample is not at {REAL}")
def test_cells_are_spelled_as_in_the_real_file(table: pd.DataFrame) -> None:
    real = pd.read_csv(REAL / "metadata_all_rows.csv", dtype=str, keep_default_na=False)
    assert list(table) == list(real)
    few = [name for name in real if real[name].nunique() < 30]
    assert len(few) == 20  # all but ids, age and diameters
    for name in few:
        assert set(table[name]) <= set(real[name]) | {"BRASIL"}, name
    patterns = {"patient_id": r"PAT_\d+", "lesion_id": r"\d+", "age": r"\d+",
                "img_id": r"PAT_\d+_\d+_\d+\.png", "diameter_1": r"(\d+\.\d+)?"}  # fmt: skip
    for name, pattern in patterns.items():
        for rows in (table, real):
            assert rows[name].str.fullmatch(pattern).all(), name


@pytest.mark.slow
def test_the_clinical_block_is_empty_for_patients_without_cancer(table: pd.DataFrame) -> None:
    assert list(table) == list(pd.read_csv(FOLDER / "metadata.csv"))
    is_empty = table["smoke"] == ""
    assert 0.2 < is_empty.mean() < 0.5
    assert (table.loc[is_empty, list(BLOCK)] == "").all(axis=None)
    assert set(table["diagnostic"][is_empty]) == {"ACK", "NEV", "SEK"}
    assert ((table["background_father"] == "") & ~is_empty).any()


def test_a_lesion_number_belongs_to_two_patients(table: pd.DataFrame) -> None:
    assert table.groupby("lesion_id")["patient_id"].nunique().max() == 2
    pair = table.groupby(["patient_id", "lesion_id"])["diagnostic"].nunique()
    assert pair.max() == 1
    assert table.groupby("lesion_id")["diagnostic"].nunique().max() == 2


def test_the_other_quirks_are_there(table: pd.DataFrame, made: Path) -> None:
    assert {"BRASIL", "BRAZIL", "UNK"} <= set(table["background_father"])
    assert {"True", "False", "UNK"} == set(table["grew"])
    ages = table.groupby("patient_id")["age"].nunique()
    assert ages.max() == 2
    others = table.groupby("patient_id")[["gender", "smoke", "fitspatrick", "has_piped_water"]]
    assert others.nunique().max(axis=None) == 1
    cancer = table["diagnostic"].isin(["BCC", "MEL", "SCC"])
    assert (table["biopsed"][cancer] == "True").all()
    assert (table["biopsed"][~cancer] == "False").any()
    modes = set()
    for path in list((made / "images").rglob("*.png"))[:40]:
        with Image.open(path) as image:
            modes.add(image.mode)
    assert modes == {"RGB", "RGBA"}


def test_pictures_carry_the_diameter(made: Path) -> None:
    data = load_data(f"pad-ufes-20:{made}")
    known = data.table["diameter_1"].notna().to_numpy()
    area = []
    for place in np.flatnonzero(known)[:60]:
        with Image.open(data.images[int(place)]["image"]["path"]) as image:
            pixels = np.asarray(image.convert("RGB"), float)
        skin, middle = np.median(pixels[:8], axis=(0, 1)), pixels[53:59, 53:59].mean((0, 1))
        lesion = (pixels - skin) @ (middle - skin) / ((middle - skin) ** 2).sum()
        area.append(lesion.sum())
    sizes = data.table[["diameter_1", "diameter_2"]][known][:60].prod(axis=1)
    assert np.corrcoef(area, sizes)[0, 1] > 0.8
