"""Synthetic Derm7pt: the checklist adds up, and the splits share all cases out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from toolkit_common.synthetic.derm7pt import CRITERIA
from toolkit_common.synthetic.make import make_data


@pytest.fixture(scope="module")
def meta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("derm7pt") / "set"
    make_data("derm7pt", out, rows=60, seed=0, layout="bare", pool=None)
    return out / "meta"


@pytest.mark.slow
def test_the_score_is_the_sum_of_the_points(meta: Path) -> None:
    table = pd.read_csv(meta / "meta.csv")
    plain = ["absent", "typical", "regular", "diffuse regular", "arborizing"]
    is_plain = table[list(CRITERIA)].isin(plain)
    assert is_plain.any(axis=None)
    points = pd.Series({"pigment_network": 2, "blue_whitish_veil": 2, "vascular_structures": 2,
                        "streaks": 1, "pigmentation": 1, "dots_and_globules": 1,
                        "regression_structures": 1})  # fmt: skip
    assert (~is_plain * points).sum(axis=1).astype(int).equals(table["seven_point_score"])


def test_every_case_is_in_one_split_and_all_hold_cancer(meta: Path) -> None:
    parts = [pd.read_csv(meta / f"{name}_indexes.csv")["indexes"].to_numpy()
             for name in ("train", "valid", "test")]  # fmt: skip
    assert sorted(np.concatenate(parts)) == list(range(60))
    diagnoses = pd.read_csv(meta / "meta.csv")["diagnosis"]
    assert all(diagnoses[part].str.contains("melanoma|carcinoma").any() for part in parts)
