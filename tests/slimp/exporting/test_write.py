"""The exported folder: the files it is made of."""

import json
from pathlib import Path

import pytest

from helpers.slimp_run import pretrain, table_rows, write_table
from toolkit_slimp.exporting.bank import ROWS, TENSORS
from toolkit_slimp.exporting.read import load_slimp


@pytest.fixture
def data_id(tmp_path) -> str:
    return write_table(tmp_path / "table.csv", table_rows())


def export(data: str, place: Path, *options: str) -> Path:
    return pretrain(data, place / "run", *options) / "encoder"


@pytest.mark.slow
def test_without_a_bank_the_model_is_there_all_the_same(data_id, tmp_path):
    folder = export(data_id, tmp_path, "--bank-size", "0")
    assert not (folder / TENSORS).exists()
    assert not (folder / ROWS).exists()
    assert set(json.loads((folder / "encoder.json").read_text())["provenance"]["files"]) == {
        "schema.json",
        "slimp.safetensors",
    }
    load_slimp(folder)
