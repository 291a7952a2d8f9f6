"""The exported folder: the files it is made of, what they know, and what they must not."""

import getpass
import json
from pathlib import Path
from typing import Any

import pytest

from helpers.slimp_run import pretrain, table_rows, write_table
from helpers.tiny_encoders import write_timm
from toolkit_common.backbones.load import load_backbone
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError
from toolkit_common.runs.files import sha256_of
from toolkit_common.seen.check import check_seen, mark
from toolkit_common.seen.record import KINDS, Contents, read_seen
from toolkit_common.seen.secret import keyed_digests, make_secret
from toolkit_common.sharing.share import share_encoder
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
    files = {"config.json", "schema.json", "slimp.safetensors"}
    assert set(provenance(run)["files"]) == files
    load_slimp(run)
    (run / "DONE").unlink()  # as where the disk was full after the export
    described = provenance(run)
    assert provenance(pretrain(data_id, run, "--resume")) == described


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


def contents(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def unusual_table(home: Path) -> tuple[str, set[str]]:
    """Write a table whose every id, word and number stands nowhere else; returns what they are."""
    words = {",p": ",Zqpatient-", "arm": "qelbow", "leg": "qknee", "back": "qback",
             "female": "qfem", ",male": ",qmale", ",a,": ",qla_a,", ",b,": ",qla_b,"}  # fmt: skip
    rows = []
    for number, row in enumerate(table_rows()):
        changed = row
        for old, new in words.items():
            changed = changed.replace(old, new)
        cells = changed.split(",")
        cells[0] = f"zqimage{number}.png"
        cells[4], cells[6] = f"{float(cells[4]) + 0.001937:.6f}", f"{int(cells[6])}.731"
        rows.append(",".join(cells))
    data_id = write_table(home / "table.csv", rows)
    for number in range(30):
        (home / f"{number}.png").rename(home / f"zqimage{number}.png")
    values = {cell for row in rows for cell in row.split(",")}
    return data_id, values - {"train", "val", "test"}


@pytest.mark.slow
def test_a_folder_to_publish_holds_no_id_value_user_or_place(tmp_path: Path) -> None:
    home = tmp_path / "home/qqsomebody"
    home.mkdir(parents=True)
    data_id, values = unusual_table(home)
    rows = [f"zqimage{row}.png,{('train', 'val', 'test')[row // 10]}" for row in range(30)]
    (home / "qsplits.csv").write_text("\n".join(["image_id,split", *rows]))
    (home / "qcard.yaml").write_text(
        f"data: {data_id}\nsource: Ours, notes at {home}/notes.txt\n"
        f"licence: see {home}/qagreed/terms.pdf\n"
    )
    start = write_timm(home / "qstart", "test_vit")
    run = pretrain(str(home / "qcard.yaml"), home / "run", "--bank",
                   "--splits", str(home / "qsplits.csv"), "--backbone", start,
                   "--no-random-init", "--watch-every", "2", "--watch-label", "label",
                   "--lesion-sampling", "positives", "--positives", "label=qla_a")  # fmt: skip
    share_encoder(run, tmp_path / "out")
    content = contents(tmp_path / "out")
    places = {str(tmp_path), *tmp_path.parts[2:], "qqsomebody", "qstart", "qsplits", "/home",
              "qcard", "qagreed", "table.csv", "size_mm", f"{getpass.getuser()}@"}  # fmt: skip
    digests = [value for item in read_seen(run) for kind in KINDS for value in item.of(kind)]
    hashes = {sha256_of(path)[:12] for path in home.glob("*.*")} | {f"{v:016x}" for v in digests}
    assert [word for word in values | places | hashes if word.encode() in content] == []
    assert [value for value in digests if value.tobytes() in content] == []
    assert b"Ours, notes at [...]" in content  # a text stays, its places go
    # As there is what could be given away.
    assert {"qelbow", "qla_a"} <= {word for word in values if word.encode() in contents(run)}


@pytest.mark.slow
def test_a_published_encoder_is_marked_and_continued_with_doubt(
    data_id: str, tmp_path: Path
) -> None:
    first = pretrain(data_id, tmp_path / "first")
    share_encoder(first, tmp_path / "out")
    data = load_data(data_id)
    for backbone in (str(tmp_path / "out"), f"timm:local-dir:{tmp_path / 'out'}"):
        verdict = check_seen(backbone, data, make_splits(data), settings=None, allow_seen=False)
        assert verdict.status == "unknown"
        assert mark("0.7", verdict.status, between=" ") == "0.7 SEEN?"
    again = pretrain(data_id, tmp_path / "again", "--backbone", str(tmp_path / "out"),
                     "--no-random-init")  # fmt: skip
    verdict = check_seen(str(again), data, make_splits(data), settings=None, allow_seen=False)
    assert verdict.status == "unknown"
    with pytest.raises(InputError, match="is no export of toolkit pretrain slimp: it has no slimp"):
        load_slimp(tmp_path / "out")
