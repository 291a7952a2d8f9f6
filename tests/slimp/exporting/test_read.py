"""An export read back: the model built again, metadata encoders row by row."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from helpers.slimp_run import pretrain, table_rows, write_table
from toolkit_common.backbones.exported import sealed
from toolkit_common.backbones.metadata import load_metadata_encoders
from toolkit_common.errors import InputError
from toolkit_common.runs.files import write_json
from toolkit_common.sources.load import load_data
from toolkit_slimp.exporting.read import SlimpMetadataEncoders, load_slimp
from toolkit_slimp.metadata.table import encode_table


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("slimp")
    data = write_table(root / "table.csv", table_rows())
    pretrain(data, root / "run")
    return root


@pytest.fixture
def table(root) -> pd.DataFrame:
    return load_data(f"csv:{root / 'table.csv'}").table


@pytest.fixture
def encoders(root) -> SlimpMetadataEncoders:
    actual = load_metadata_encoders(root / "run")
    assert isinstance(actual, SlimpMetadataEncoders)
    return actual


@pytest.mark.slow
def test_they_say_what_the_trained_model_says(root, encoders, table):
    assert encoders.columns == {"lesion": ("size_mm", "site"), "patient": ("age", "sex")}
    model, schema = load_slimp(root / "run")
    encoded = encode_table(load_data(f"csv:{root / 'table.csv'}"), schema)
    with torch.no_grad():
        lesions, patients = (
            model.lesion_encoder(encoded.lesions),
            model.patient_encoder(encoded.patients),
        )
    torch.testing.assert_close(encoders.encode(table, "lesion").vectors, lesions)
    torch.testing.assert_close(encoders.encode(table, "patient").vectors, patients)


def test_rows_keep_their_vectors_in_any_order_and_company(encoders, table):
    whole = encoders.encode(table, "lesion").vectors
    order = np.random.default_rng(0).permutation(len(table))[:20]
    actual = encoders.encode(table.iloc[order], "lesion").vectors
    torch.testing.assert_close(actual, whole[torch.from_numpy(order)])
    assert not torch.allclose(actual, whole[:20])


def test_a_patient_s_known_value_counts_for_all_its_lesions(encoders, table):
    holes = table["age"].mask(np.arange(len(table)) % 2 == 1)
    actual = encoders.encode(table.assign(age=holes), "patient").vectors
    assert torch.equal(actual, encoders.encode(table, "patient").vectors)


def test_columns_may_stand_in_any_order_and_have_strangers_between(encoders, table):
    other = table[list(table.columns[::-1])].assign(stranger="x")
    expected, actual = (encoders.encode(item, "patient").vectors for item in (table, other))
    assert torch.equal(actual, expected)


def test_lesions_of_one_patient_share_its_vector(encoders, table):
    vectors = encoders.encode(table, "patient").vectors
    for rows in table.groupby("group").indices.values():
        torch.testing.assert_close(vectors[rows], vectors[rows[:1]].expand(len(rows), -1))
    assert len(torch.unique(vectors.round(decimals=4), dim=0)) == 15


def test_absent_columns_and_words_never_seen_are_missing(encoders, table):
    empty = encoders.encode(table.assign(site=None), "lesion")
    absent = encoders.encode(table.drop(columns="site"), "lesion")
    strange = encoders.encode(table.assign(site="moon"), "lesion")
    assert torch.equal(absent.vectors, empty.vectors)
    assert torch.equal(strange.vectors, empty.vectors)
    assert (empty.unseen, absent.unseen) == ({}, {})
    assert strange.unseen == {"site": len(table)}
    assert not torch.allclose(empty.vectors, encoders.encode(table, "lesion").vectors)


def test_a_value_that_cannot_be_is_named(encoders, table):
    with pytest.raises(InputError, match="'size_mm' is numeric in the schema: 'big' is no number"):
        encoders.encode(table.assign(size_mm="big"), "lesion")


@pytest.mark.slow
def test_encoders_that_no_loss_has_trained_are_left_out(root, tmp_path):
    data, kept = f"csv:{root / 'table.csv'}", ("size_mm", "site")
    for name, columns in {
        "lesion-only": {"lesion": kept, "patient": ()},
        "simclr": {"lesion": (), "patient": ()},
    }.items():
        run = pretrain(data, tmp_path / name, "--ablation", name)
        assert load_metadata_encoders(run).columns == columns


@pytest.mark.slow
def test_nothing_of_them_is_trained_and_their_digests_differ(root, encoders, tmp_path):
    again = load_metadata_encoders(root / "run")
    assert again.digest == encoders.digest
    data = f"csv:{root / 'table.csv'}"
    other = load_metadata_encoders(pretrain(data, tmp_path / "other", "--seed", "1"))
    assert other.digest != encoders.digest
    assert not encoders.encode(load_data(data).table, "lesion").vectors.requires_grad


def test_loading_leaves_the_global_random_streams_alone(root):
    folder = root / "run/encoder"
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    load_slimp(folder)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.slow
def test_a_damaged_or_foreign_folder_is_refused(root, tmp_path):
    folder = Path(shutil.copytree(root / "run/encoder", tmp_path / "encoder"))
    schema = folder / "schema.json"
    schema.write_text(schema.read_text() + " ")
    with pytest.raises(InputError, match=r"schema\.json is missing or damaged"):
        load_slimp(folder)
    description = json.loads((folder / "encoder.json").read_text())
    description["provenance"]["method"] = "another"
    write_json(folder / "encoder.json", sealed(description))
    with pytest.raises(InputError, match=r"no export of toolkit pretrain slimp"):
        load_slimp(folder)


def test_exports_of_before_some_settings_went_are_read_if_nothing_else_is_meant(root, tmp_path):
    folder = Path(shutil.copytree(root / "run/encoder", tmp_path / "encoder"))
    description = json.loads((folder / "encoder.json").read_text())
    stored = description["provenance"]["settings"]
    stored |= {"metadata_numbers": "linear", "metadata_missing": "mask"}
    stored |= {"metadata_block_dropout": 0.1, "bank_size": 100}  # of training alone
    del stored["bank"]
    write_json(folder / "encoder.json", sealed(description))
    expected, actual = (load_slimp(place)[0].state_dict() for place in (root / "run", folder))
    assert all(torch.equal(expected[key], actual[key]) for key in expected)
    stored["metadata_numbers"] = "periodic"
    write_json(folder / "encoder.json", sealed(description))
    with pytest.raises(InputError, match=r"metadata_numbers is gone, .*periodic"):
        load_slimp(folder)
