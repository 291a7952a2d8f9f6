"""`toolkit probe --metadata`: a file of extrapolated metadata in place of a data set's own."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import assert_bad_input
from helpers.extrapolated_file import FACTS, told_of, write_told
from helpers.slimp_run import pretrain, table_rows, write_table
from toolkit_common.data.extrapolated import Extrapolated
from toolkit_common.sources.load import load_data

pytestmark = pytest.mark.slow

BARE = "image,label,group,split"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SLIMP run, and a data set of images and labels alone, with a file for it."""
    root = tmp_path_factory.mktemp("told")
    pretrain(write_table(root / "table.csv", table_rows()), root / "run")
    rows = [",".join(row.split(",")[:4]) for row in table_rows()]
    bare = write_table(root / "bare.csv", rows, BARE)
    write_told(root / "f.parquet", told_of(load_data(bare)))
    return root


@pytest.fixture
def probe(run_cli, root, tmp_path):
    def run(*args, inputs="image+meta", metadata=root / "f.parquet", backbone=root / "run"):
        return run_cli(
            "probe", "--data", f"csv:{root / 'bare.csv'}", "--method", "knn", "--set", "knn.k=3",
            "--inputs", inputs, "--output", tmp_path / "probe", "--overwrite",
            *(("--backbone", backbone) if backbone else ()),
            *(("--metadata", metadata) if metadata else ()), *args,
        )  # fmt: skip

    return run


def changed(root: Path, path: Path, **columns: Any) -> Path:
    item = told_of(load_data(f"csv:{root / 'bare.csv'}"))
    return write_told(path, replace(item, rows=item.rows.assign(**columns)))


def test_images_without_metadata_are_probed_with_those_of_others(probe, tmp_path):
    result = probe("--json")
    assert result.exit_code == 0, result.output
    results = json.loads(result.stdout)
    (row,) = results["rows"]
    assert (row["inputs"], row["source"]) == ("image+extrapolated", "cls+meta")
    assert results["inputs"]["read"] == "image+extrapolated"
    facts = results["inputs"]["metadata"]
    assert facts["columns"] == {"lesion": ["size_mm", "site"]}
    assert facts["absent"] == ["age", "sex"]
    assert facts["extrapolated"]["reference"] == "elsewhere"
    baselines = {item["name"]: item["inputs"] for item in results["baselines"]}
    assert baselines == {
        "baseline-extrapolated-missingness": "extrapolated metadata alone",
        "baseline-extrapolated-metadata": "extrapolated metadata alone",
    }
    assert any(note.startswith("METADATA ARE EXTRAPOLATED") for note in results["notes"])
    assert (tmp_path / "probe/predictions/baseline-extrapolated-metadata.parquet").exists()


def test_metadata_alone_are_read_too_and_shown_as_what_they_are(probe):
    result = probe(inputs="meta")
    assert result.exit_code == 0, result.output
    assert "extrapolated" in result.stdout
    assert "of 30 images have no such lesion" in result.stdout
    rows = json.loads(probe("--json", inputs="lesion").stdout)["rows"]
    assert rows[0]["inputs"] == "extrapolated lesion"


@pytest.mark.parametrize("backbone", ["timm:test_vit?image_size=32", None])
def test_any_encoder_has_them_beside_its_images(probe, backbone):
    options = ["--random-init"] if backbone else []
    result = probe(*options, "--json", backbone=backbone)
    assert result.exit_code == 0, result.output
    assert "numbers are standardised, words one-hot" in result.stderr
    assert json.loads(result.stdout)["rows"][0]["inputs"] == "image+extrapolated"


def test_an_encoder_says_which_columns_it_has_no_input_for(probe, root, tmp_path):
    item = told_of(load_data(f"csv:{root / 'bare.csv'}"))
    size = item.columns[0]
    other = Extrapolated(
        item.rows.rename(columns={"site": "shade"}), (size, replace(size, name="shade",
        kind="categorical")), FACTS,
    )  # fmt: skip
    result = probe(metadata=write_told(tmp_path / "other.parquet", other))
    assert result.exit_code == 0, result.output
    assert "the encoder has no input for shade: not read" in result.stderr
    assert "other.parquet has no site, age, sex: read as missing" in result.stderr


def test_other_values_give_other_figures(probe, root, tmp_path):
    first = json.loads(probe("--json", inputs="meta").stdout)["rows"][0]
    labels = load_data(f"csv:{root / 'bare.csv'}").labels().targets
    path = changed(root, tmp_path / "telling.parquet", size_mm=labels * 5.0)
    other = json.loads(probe("--json", inputs="meta", metadata=path).stdout)["rows"][0]
    assert other["metrics"]["top1"]["mean"] == 1.0 != first["metrics"]["top1"]["mean"]


def test_a_file_that_lacks_a_row_is_refused(probe, root, tmp_path):
    item = told_of(load_data(f"csv:{root / 'bare.csv'}"))
    path = write_told(tmp_path / "part.parquet", replace(item, rows=item.rows[3:]))
    assert_bad_input(probe(metadata=path), "no row for 3 of 30 images", "toolkit extrapolate")
    assert not (tmp_path / "probe").exists()


def test_a_file_of_other_images_is_refused(probe, root, tmp_path):
    path = changed(root, tmp_path / "others.parquet", content="0" * 16)
    assert_bad_input(probe(metadata=path), "other images than", "another file here")


def test_a_file_without_any_value_is_refused(probe, root, tmp_path):
    path = changed(root, tmp_path / "none.parquet", abstained=True)
    assert_bad_input(probe(metadata=path), "no value of any of the 30 images", "lower --threshold")


def test_the_note_names_no_column_that_is_not_read(probe, root, tmp_path):
    item = told_of(load_data(f"csv:{root / 'bare.csv'}"))
    label = replace(item.columns[1], name="label")
    other = Extrapolated(item.rows.assign(label=item.rows["site"]), (*item.columns, label), FACTS)
    result = probe("--json", metadata=write_told(tmp_path / "with-label.parquet", other))
    assert result.exit_code == 0, result.output
    (note,) = (n for n in json.loads(result.stdout)["notes"] if n.startswith("METADATA ARE EXTR"))
    assert note.startswith("METADATA ARE EXTRAPOLATED: size_mm, site are those")


def test_who_extrapolated_must_not_have_seen_whom_is_judged_on(probe, root, tmp_path):
    data = load_data(f"csv:{root / 'bare.csv'}")
    seen = (data.table["split"] == "test").to_numpy() & (np.arange(30) % 2 == 0)
    path = changed(root, tmp_path / "seen.parquet", seen=seen)
    refused = probe(metadata=path)
    assert_bad_input(refused, "pre-trained on", f"{seen.sum()} of 6 test images", "--allow-seen")
    results = json.loads(probe("--allow-seen", "--json", metadata=path).stdout)
    assert {row["seen"] for row in [*results["rows"], *results["baselines"]]} == {"seen"}
    # Training rows that it has seen are no harm.
    train = (data.table["split"] == "train").to_numpy()
    path = changed(root, tmp_path / "train.parquet", seen=train)
    assert json.loads(probe("--json", metadata=path).stdout)["rows"][0]["seen"] == "unseen"


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"inputs": "image"}, ["--metadata", "would not be read", "--inputs image+meta"]),
        ({"metadata": "gone.parquet"}, ["gone.parquet does not exist"]),
        ({"metadata": None, "inputs": "meta"}, ["has no column to read"]),
    ],
)
def test_what_makes_no_sense_is_refused(probe, tmp_path, given, parts):
    assert_bad_input(probe(**given), *parts)
    assert not (tmp_path / "probe").exists()
