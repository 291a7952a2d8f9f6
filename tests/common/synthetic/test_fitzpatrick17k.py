"""Synthetic Fitzpatrick17k has the real table, and lacks some images as every copy does."""

from pathlib import Path

import pandas as pd
import pytest

from toolkit_common.sources.load import load_data
from toolkit_common.synthetic.make import make_data


@pytest.mark.slow
def test_the_table_is_the_real_one_and_some_images_are_absent(tmp_path: Path) -> None:
    make_data("fitzpatrick17k", tmp_path / "set", rows=40, seed=0, layout=None, pool=None)
    table = pd.read_csv(tmp_path / "set" / "fitzpatrick17k.csv")
    assert list(table) == ["md5hash", "fitzpatrick_scale", "fitzpatrick_centaur", "label",
                           "nine_partition_label", "three_partition_label", "qc", "url",
                           "url_alphanum"]  # fmt: skip
    assert table["md5hash"].str.fullmatch("[0-9a-f]{32}").all()
    assert -1 in set(table["fitzpatrick_scale"])
    data = load_data(f"fitzpatrick17k:{tmp_path / 'set'}")
    assert len(data) == len([*(tmp_path / "set" / "images").iterdir()]) < 40
