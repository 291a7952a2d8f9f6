"""The exported folder: the files it is made of, what they know, and what they must not."""

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.slimp_run import pretrain, table_rows, write_table
from helpers.tiny_encoders import write_timm
from toolkit_common.backbones.load import load_backbone
from toolkit_common.data.splits import make_splits
from toolkit_common.seen.record import Contents, read_seen
from toolkit_common.seen.secret import keyed_digests, make_secret
from toolkit_common.sources.load import load_data
from toolkit_slimp.exporting.read import load_slimp

WEIGHTS = {"encoder.safetensors", "slimp.safetensors", "seen.safetensors"}
EXPORTED = WEIGHTS | {"config.json", "encoder.json", "schema.json"}


@pytest.fixture
def data_id(tmp_path: Path) -> str:
    return write_table(tmp_path / "table.csv", table_rows())


def provenance(run: Path) -> dict[str, Any]:
    described: dict[str, Any] = json.loads((run / "encoder/encoder.json").read_text())
    return described["provenance"]


@pytest.mark.slow
def test_without_a_bank_the_model_is_there_all_the_same(data_id: str, tmp_path: Path) -> None:
    run = pretrain(data_id, tmp_path / "run")
    assert {path.name for path in (run / "encoder").iterdir()} == EXPORTED
    assert set(provenance(run)["files"]) == {"schema.json", "slimp.safetensors"}
    load_slimp(run)


@pytest.mark.slow
def test_it_knows_its_training_patients_and_images(data_id: str, tmp_path: Path) -> None:
    (record,) = read_seen(pretrain(data_id, tmp_path / "run"))
    data = load_data(data_id)
    train = make_splits(data).train
    assert data.groups is not None
    for kind, names in {"groups": data.groups[train], "images": Contents(data).of(train)}.items():
        assert set(record.of(kind)) == set(keyed_digests(make_secret(), kind, names))
    assert (record.data, record.num_images) == ("csv", len(data))


@pytest.mark.slow
def test_nothing_in_it_leads_to_a_person_or_a_place(tmp_path: Path) -> None:
    folder = tmp_path / "home/somebody"
    folder.mkdir(parents=True)
    rows = [row.replace(",p", ",Smith-") for row in table_rows()]
    data_id = write_table(folder / "table.csv", rows)
    (folder / "splits.csv").write_text(
        "image_id,split\n"
        + "".join(f"{row}.png,{('train', 'val', 'test')[row // 10]}\n" for row in range(30))
    )
    start = write_timm(folder / "start", "test_vit")
    run = pretrain(data_id, folder / "run", "--bank", "--splits", str(folder / "splits.csv"),
                   "--backbone", start, "--no-random-init")  # fmt: skip
    words = [
        str(tmp_path),
        "somebody",
        "Smith-",
        "pretrain slimp",
        "/home",
    ]
    for path in (item for item in (run / "encoder").rglob("*") if item.is_file()):
        content = path.read_bytes()
        assert [word for word in words if word.encode() in content] == [], path
    assert provenance(run)["start"] == "start"
    moved = (run / "encoder").rename(tmp_path / "moved")
    for item in sorted((folder / "start").iterdir()):
        item.unlink()
    assert load_backbone(str(moved)).info.receipt.loaded == 1.0


@pytest.mark.slow
def test_a_run_that_continues_another_inherits_patients_licence_and_lineage(
    data_id: str, tmp_path: Path
) -> None:
    first = pretrain(data_id, tmp_path / "first", "--folds", "5", "--fold", "1")
    second = pretrain(data_id, tmp_path / "second", "--backbone", str(first), "--no-random-init")
    (old,) = read_seen(first)
    inherited, own = read_seen(second)
    assert inherited.to_json() == old.to_json()
    assert set(inherited.of("groups")) == set(old.of("groups")) != set(own.of("groups"))
    (step,) = provenance(second)["lineage"]
    assert (step["method"], step["data"], step["data_licence"]) == ("SLIMP", "csv", "unknown")
    fingerprint = load_backbone(str(second)).fingerprint()
    first.rename(tmp_path / "gone")
    assert load_backbone(str(second)).fingerprint() == fingerprint
