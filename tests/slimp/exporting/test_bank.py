"""The reference bank: what the model says of the training lesions."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from helpers.slimp_run import pretrain, table_rows, write_table
from toolkit_common.backbones.exported import sealed
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError
from toolkit_common.features.encode import encode_images
from toolkit_common.runs.files import sha256_of, write_json
from toolkit_common.seen.identities import identities
from toolkit_common.seen.record import Contents
from toolkit_common.seen.secret import keyed_digests, make_secret
from toolkit_common.sources.load import load_data
from toolkit_slimp.exporting.bank import ROWS, TENSORS, choose_bank_rows, read_bank
from toolkit_slimp.exporting.read import load_slimp
from toolkit_slimp.metadata.table import encode_table


@pytest.fixture
def data_id(tmp_path) -> str:
    return write_table(tmp_path / "table.csv", table_rows())


def export(data: str, place: Path, *options: str) -> Path:
    return pretrain(data, place / "run", "--bank", *options) / "encoder"


@pytest.mark.slow
def test_the_model_built_again_says_what_the_bank_says(data_id, tmp_path):
    folder = export(data_id, tmp_path, "--phenotype", "attention", "--learn-temperature")
    model, schema = load_slimp(folder.parent)
    # As the toolkit reads it: which type text has in pandas depends on how Arrow was asked.
    tensors, rows = load_file(folder / TENSORS), read_bank(folder)[1]
    data = load_data(data_id)
    splits = make_splits(data)
    train = np.concatenate([splits.train, splits.val])
    assert list(rows["split"]) == ["train"] * len(splits.train) + ["val"] * len(splits.val)
    table = encode_table(data, schema)
    index = torch.from_numpy(train)
    with torch.no_grad():
        images = encode_images(model, data, train, device=torch.device("cpu"))
        expected = {
            "images": images,
            "embeddings": F.normalize(model.project_image(images), dim=1),
            "lesions": model.lesion_encoder(table.lesions.take(index)),
            "patients": model.patient_encoder(table.patients.take(index)),
        }
    assert set(tensors) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(tensors[name], value, rtol=1e-5, atol=1e-6)
    assert data.groups is not None
    names = data.groups[train]
    assert list(rows["group_hash"]) == list(keyed_digests(make_secret(), "bank group", names))
    assert rows["image_hash"].nunique() == len(train)
    expected_identities = identities(Contents(data), train, secret=make_secret())
    for own, expected_own in zip(rows["identities"], expected_identities, strict=True):
        np.testing.assert_array_equal(own, expected_own)
    raw = data.table.iloc[train].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows[["size_mm", "age"]], raw[["size_mm", "age"]])
    assert not set(rows.columns) & {"image_id", "group", "label"}


@pytest.mark.slow
def test_the_bank_is_bounded(data_id, tmp_path):
    folder = export(data_id, tmp_path, "--bank-size", "5")
    tensors, rows = load_file(folder / TENSORS), pd.read_parquet(folder / ROWS)
    assert {len(value) for value in tensors.values()} == {10}
    assert list(rows["split"]) == ["train"] * 5 + ["val"] * 5


def test_rows_are_drawn_once_each_and_stay_in_order():
    rows_of_ten = np.arange(10, 20)
    chosen = choose_bank_rows(rows_of_ten, 4, seed=0)
    assert len(set(chosen)) == 4
    assert set(chosen) <= set(rows_of_ten)
    assert list(chosen) == sorted(chosen)
    assert list(choose_bank_rows(rows_of_ten, 10, seed=0)) == list(rows_of_ten)


@pytest.mark.slow
def test_a_bank_without_held_out_lesions_is_refused(data_id, tmp_path):
    folder = export(data_id, tmp_path)
    images, rows = read_bank(folder)
    assert len(images) == len(rows)
    rows.drop(columns=["split", "identities"]).to_parquet(folder / ROWS)
    description = json.loads((folder / "encoder.json").read_text())
    description["provenance"]["files"][ROWS] = sha256_of(folder / ROWS)
    write_json(folder / "encoder.json", sealed(description))
    with pytest.raises(InputError, match="no held-out lesions"):
        read_bank(folder)
