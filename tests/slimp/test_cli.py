"""`toolkit data schema` writes a data set's schema; `pretrain slimp` reads its own options."""

import json

import pytest

from conftest import assert_bad_input
from toolkit_common.data.splits import make_splits
from toolkit_common.sources.load import load_data
from toolkit_slimp.metadata.infer import infer_schema


@pytest.mark.slow
def test_the_command_writes_the_schema_that_pretraining_infers(run_cli, tmp_path):
    result = run_cli("data", "schema", "lesions")
    assert result.exit_code == 0, result.output
    data = load_data("lesions")
    expected = infer_schema(data, make_splits(data).train)
    assert (tmp_path / "schema.json").read_text() == expected.to_json()
    assert "age" in result.stdout
    following = "next: toolkit pretrain slimp --data lesions --schema schema.json"
    assert following in " ".join(result.stderr.split())


@pytest.mark.slow
def test_the_command_keeps_an_edited_schema_unless_it_may_overwrite(run_cli, tmp_path):
    path = tmp_path / "own.json"
    path.write_text("edited")
    arguments = ["data", "schema", "lesions", "--output", path]
    assert_bad_input(run_cli(*arguments), f"{path} exists", "--overwrite")
    assert path.read_text() == "edited"
    assert run_cli(*arguments, "--overwrite").exit_code == 0
    assert json.loads(path.read_text())["version"] == 1


def test_the_command_refuses_a_place_that_is_no_file_for_it(run_cli, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for options in ([], ["--overwrite"]):
        result = run_cli("data", "schema", "lesions", "-o", folder, *options)
        assert_bad_input(result, f"{folder} is a folder", "--output")
    below = folder / "file"
    below.write_text("text")
    result = run_cli("data", "schema", "lesions", "-o", below / "schema.json")
    assert_bad_input(result, f"--output in {below} cannot be made: {below} is a file")
    assert below.read_text() == "text"
    assert [path.name for path in folder.iterdir()] == ["file"]


@pytest.mark.slow
def test_the_command_prints_json_and_writes_nothing(run_cli, tmp_path):
    result = run_cli("data", "schema", "lesions", "--json")
    assert json.loads(result.stdout)["columns"]
    assert not (tmp_path / "schema.json").exists()


def test_data_without_metadata_have_no_schema(run_cli):
    assert_bad_input(run_cli("data", "schema", "digits"), "'digits' has no metadata columns")


@pytest.mark.slow
def test_the_first_command_a_newcomer_types_works_offline(run_cli):
    result = run_cli("pretrain", "slimp", "--epochs", "1", "--set", "patients_per_batch=120")
    assert result.exit_code == 0, result.output
    assert "runs/slimp-1" in result.stdout
