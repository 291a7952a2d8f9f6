"""The sheets' ranges: kept by the data that we make and ship, and told where data break them."""

import numpy as np
import pytest

from toolkit_common.errors import InputError
from toolkit_common.sources.load import load_data
from toolkit_common.synthetic.make import MAKERS, make_data
from toolkit_slimp.metadata.infer import infer_schema
from toolkit_slimp.metadata.table import encode_table


def encode(data):
    return encode_table(data, infer_schema(data, np.arange(len(data))))


def test_the_embedded_lesions_keep_their_ranges():
    data = load_data("lesions")
    assert len(encode(data).lesions) == len(data)


@pytest.mark.parametrize("name", sorted({*MAKERS} - {"ph2"}))  # which has no metadata
def test_synthetic_data_keep_their_ranges(name, tmp_path):
    make_data(name, tmp_path / "set", rows=60, seed=0, layout=None, pool=None)
    data = load_data(f"{name}:{tmp_path / 'set'}")
    assert len(encode(data).lesions) == len(data)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("tbp_lv_areaMM2", "-1", "'tbp_lv_areaMM2': 1 value below 0 mm2, the first -1 of image"),
        ("tbp_lv_Lext", "101", "'tbp_lv_Lext': 1 value above 100, the first 101 of image"),
    ],
)
def test_a_measure_that_cannot_be_is_refused(tmp_path, column, value, message):
    make_data("slice-3d", tmp_path / "set", rows=20, seed=0, layout=None, pool=10)
    path = tmp_path / "set" / "train-metadata.csv"
    header, first, *rest = path.read_text().splitlines()
    cells = first.split(",")
    cells[header.split(",").index(column)] = value
    path.write_text("\n".join([header, ",".join(cells), *rest]) + "\n")
    with pytest.raises(InputError, match=message):
        encode(load_data(f"slice-3d:{tmp_path / 'set'}"))
