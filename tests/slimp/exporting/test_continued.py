"""The run that another continues is whole and SLIMP's, or refused in one line."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from helpers.slimp_run import pretrain, table_rows, write_table
from helpers.tiny_encoders import export
from toolkit_common.backbones.exported import sealed
from toolkit_common.errors import InputError
from toolkit_common.runs.files import write_json
from toolkit_slimp.exporting.continued import load_parent


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("slimp")
    return pretrain(write_table(root / "table.csv", table_rows()), root / "run")


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


@pytest.mark.slow
def test_a_run_its_encoder_folder_and_a_moved_copy_are_the_same(run, copy):
    digests = {load_parent(place).digest for place in (run, run / "encoder", copy)}
    assert len(digests) == 1
    parent = load_parent(copy)
    assert parent.trained == ("lesion", "patient")
    assert [column.name for column in parent.schema.columns] == ["size_mm", "site", "age", "sex"]


@pytest.mark.slow
def test_an_export_of_before_says_what_it_trained_by_its_losses(copy):
    path = copy / "encoder/encoder.json"
    described = json.loads(path.read_text())
    del described["provenance"]["trained_levels"]
    described["provenance"]["settings"]["lesion_weight"] = 1.0
    write_json(path, sealed(described))
    assert load_parent(copy).trained == ("lesion",)


def edit(path: Path, change) -> None:
    described = json.loads(path.read_text())
    change(described)
    write_json(path, sealed(described))  # whole by its checksum: only a hand can make it


def cut_schema(folder: Path) -> None:
    (folder / "encoder/schema.json").write_text("{}")


def wrong_shapes(folder: Path) -> None:
    """Give the weights of another model."""
    from toolkit_common.runs.files import sha256_of

    path = folder / "encoder/slimp.safetensors"
    save_file({name: value[:1] for name, value in load_file(path).items()}, path)
    sums = {"slimp.safetensors": sha256_of(path)}
    change = lambda item: item["provenance"]["files"].update(sums)  # noqa: E731
    edit(folder / "encoder/encoder.json", change)


DAMAGE = {
    "not done": (lambda copy: (copy / "DONE").unlink(), "is not done, so that .* --resume"),
    "no encoder": (lambda copy: shutil.rmtree(copy / "encoder"), "no run of toolkit pretrain"),
    "schema": (cut_schema, r"schema\.json is missing or damaged"),
    "weights": (lambda copy: (copy / "encoder/encoder.safetensors").unlink(), "has no encoder.saf"),
    "shapes": (wrong_shapes, r"does not fit its description: .*size mismatch"),
    "settings": (
        lambda copy: edit(
            copy / "encoder/encoder.json", lambda item: item["provenance"].pop("settings")
        ),
        "is no export of toolkit pretrain slimp: it has no settings",
    ),
    "description": (
        lambda copy: (copy / "encoder/encoder.json").write_text("{"), r"encoder\.json is damaged"
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_broken_is_refused_in_one_line(copy, name):
    act, message = DAMAGE[name]
    act(copy)
    with pytest.raises(InputError, match=message) as caught:
        load_parent(copy)
    assert "\n" not in str(caught.value)


def test_what_is_no_run_of_slimp_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no run to continue at .*nowhere"):
        load_parent(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"is no run of toolkit pretrain slimp.* no encoder\.json"):
        load_parent(tmp_path)
    foreign = export(tmp_path / "foreign")
    with pytest.raises(InputError, match="foreign is no export of toolkit pretrain slimp"):
        load_parent(foreign)
