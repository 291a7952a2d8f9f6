"""The exported folder: the model built again, the reference bank, checksums."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from toolkit_common.audit.overlaps import hash_group
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError
from toolkit_common.sources.load import load_data
from toolkit_slimp.exporting.bank import ROWS, TENSORS, choose_bank_rows, read_bank
from toolkit_slimp.exporting.write import load_slimp
from toolkit_slimp.metadata.table import encode_table
from toolkit_slimp.watching.held_out import encode_images


@pytest.fixture
def data_id(tmp_path) -> str:
    """12 patients with two lesions each."""
    draws = np.random.default_rng(0)
    lines = ["image,label,group,size_mm,age"]
    for number in range(24):
        pixels = draws.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        size, patient = draws.uniform(1, 9), number // 2
        lines.append(f"{number}.png,{'ab'[number % 2]},p{patient},{size:.2f},{30 + patient}")
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return f"csv:{tmp_path / 'table.csv'}"


@pytest.fixture
def export(run_cli, data_id, tmp_path):
    def run(*args):
        result = run_cli(
            "pretrain", "slimp", "--data", data_id, "--output", tmp_path / "run", "--random-init",
            "--backbone", "timm:test_vit?image_size=32", "--epochs", "1", "--metadata-dim", "8",
            "--metadata-heads", "2", "--embed-dim", "4", "--patients-per-batch", "4", *args,
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        return tmp_path / "run/encoder"

    return run


def test_loading_leaves_the_global_random_streams_alone(export):
    folder = export()
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    load_slimp(folder)
    assert torch.equal(torch.rand(2), expected)


def test_the_model_built_again_says_what_the_bank_says(export, data_id):
    folder = export("--phenotype", "attention", "--learn-temperature")
    model, schema = load_slimp(folder.parent)
    tensors, rows = read_bank(folder)
    data = load_data(data_id)
    train = make_splits(data, seed=0).train
    table = encode_table(data, schema)
    index = torch.from_numpy(train)
    with torch.no_grad():
        images = torch.cat(list(encode_images(model, data, train, torch.device("cpu"))))
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
    assert list(rows["group_hash"]) == [hash_group(group) for group in data.groups[train]]
    raw = data.table.iloc[train].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows[["size_mm", "age"]], raw[["size_mm", "age"]])
    assert not set(rows.columns) & {"image_id", "group", "label"}


def test_the_bank_is_bounded_and_can_be_left_out(export):
    folder = export("--bank-size", "5")
    tensors, rows = read_bank(folder)
    assert {len(value) for value in tensors.values()} == {5}
    assert len(rows) == 5
    rows_of_ten = np.arange(10, 20)
    chosen = choose_bank_rows(rows_of_ten, 4, seed=0)
    assert len(set(chosen)) == 4
    assert set(chosen) <= set(rows_of_ten)
    assert list(chosen) == sorted(chosen)
    assert list(choose_bank_rows(rows_of_ten, 10, seed=0)) == list(rows_of_ten)


def test_without_a_bank_the_model_is_there_all_the_same(export):
    folder = export("--bank-size", "0")
    assert not (folder / TENSORS).exists()
    assert not (folder / ROWS).exists()
    assert set(json.loads((folder / "encoder.json").read_text())["provenance"]["files"]) == {
        "schema.json",
        "slimp.safetensors",
    }
    load_slimp(folder)


def test_a_damaged_or_foreign_folder_is_refused(export):
    folder = export()
    schema = folder / "schema.json"
    schema.write_text(schema.read_text() + " ")
    with pytest.raises(InputError, match=r"schema\.json is missing or damaged"):
        load_slimp(folder)
    description = json.loads((folder / "encoder.json").read_text())
    description["provenance"]["method"] = "another"
    (folder / "encoder.json").write_text(json.dumps(description))
    with pytest.raises(InputError, match=r"no export of toolkit pretrain slimp"):
        load_slimp(folder)
