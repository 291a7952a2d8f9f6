"""A folder to publish: timm and we read it to the bit; refused where it would say too much."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from helpers.seen_rows import export_seen, patients, record_of
from helpers.small_data import noise
from helpers.tiny_encoders import export, write_open_clip, write_timm
from toolkit_common.backbones.from_timm import timm
from toolkit_common.backbones.load import load_backbone
from toolkit_common.cli.app import app
from toolkit_common.errors import InputError
from toolkit_common.seen.record import NO_KEY, read_seen
from toolkit_common.sharing.share import share_encoder

FILES = ("README.md", "config.json", "encoder.json", "model.safetensors")


def provenance(folder: Path) -> dict[str, Any]:
    described: dict[str, Any] = json.loads((folder / "encoder.json").read_text())
    return described["provenance"]


@pytest.mark.slow
@pytest.mark.parametrize("text", ["timm:test_vit?image_size=64", "timm:test_resnet", "own"])
def test_timm_and_the_toolkit_read_equal_features(text: str, tmp_path: Path) -> None:
    text = write_timm(tmp_path / "own", "test_vit2", seed=5) if text == "own" else text
    before = load_backbone(str(export(tmp_path / "encoder", text, seed=3)))
    shared = share_encoder(tmp_path / "encoder", tmp_path / "out")
    again, image = load_backbone(str(tmp_path / "out")), noise((120, 90))
    assert again.fingerprint() == before.fingerprint() == shared.fingerprint
    model = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    with torch.inference_mode():
        features = model.forward_features(transform(image).unsqueeze(0))
    tokens = before.tokens(image)
    if features.ndim == 4:
        expected = tokens.patches.transpose(1, 2).reshape(features.shape)
    else:
        expected = torch.cat([tokens.prefix, tokens.patches], dim=1)
    torch.testing.assert_close(features.clone(), expected)
    assert torch.equal(again.tokens(image).patches, tokens.patches)


@pytest.mark.slow
def test_a_copy_of_a_copy_is_the_same_encoder_and_needs_neither(tmp_path: Path) -> None:
    own = write_timm(tmp_path / "somebody", "test_vit", url="/home/somebody/x", seed=2)
    export(tmp_path / "encoder", own)
    first = share_encoder(tmp_path / "encoder", tmp_path / "first")
    second = share_encoder(tmp_path / "first", tmp_path / "second")
    assert first.fingerprint == second.fingerprint
    (tmp_path / "somebody").rename(tmp_path / "gone")
    (tmp_path / "first").rename(tmp_path / "moved")
    assert load_backbone(str(tmp_path / "second")).fingerprint() == first.fingerprint
    for path in (tmp_path / "second").rglob("*"):
        assert path.is_dir() or b"somebody" not in path.read_bytes()


@pytest.mark.slow
def test_what_timm_has_not_is_published_for_the_toolkit_alone(tmp_path: Path) -> None:
    export(tmp_path / "encoder", write_open_clip(tmp_path / "vit", "vit"))
    shared = share_encoder(tmp_path / "encoder", tmp_path / "out")
    assert not shared.has_timm
    assert "timm cannot build it" in (tmp_path / "out/README.md").read_text()
    assert load_backbone(str(tmp_path / "out")).info.receipt.loaded == 1.0


def test_hashes_of_whom_it_has_seen_go_only_where_they_are_wanted(tmp_path: Path) -> None:
    export_seen(tmp_path / "e", record_of(patients()), method="SLIMP", data="csv")
    assert share_encoder(tmp_path / "e", tmp_path / "without").files == FILES
    assert [record.key_id for record in read_seen(tmp_path / "without")] == [NO_KEY]
    shared = share_encoder(tmp_path / "e", tmp_path / "with", keep_hashes=True)
    assert shared.files == (*FILES, "seen.safetensors")
    (kept,), (own,) = read_seen(tmp_path / "with"), read_seen(tmp_path / "e")
    assert kept.to_json() == own.to_json()


def test_plain_hashes_are_never_published(tmp_path: Path) -> None:
    export_seen(tmp_path / "e", groups_seen=["0123456789ab"])
    with pytest.raises(InputError, match=r"holds plain hashes of patients, .* never published"):
        share_encoder(tmp_path / "e", tmp_path / "out", keep_hashes=True)
    assert not (tmp_path / "out").exists()
    share_encoder(tmp_path / "e", tmp_path / "out")
    assert "0123456789ab" not in (tmp_path / "out/encoder.json").read_text()


def test_hashes_that_are_not_there_are_not_promised(tmp_path: Path) -> None:
    export(tmp_path / "encoder")
    with pytest.raises(InputError, match="holds no hashes of whom it has seen: leave them out"):
        share_encoder(tmp_path / "encoder", tmp_path / "out", keep_hashes=True)


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    export(tmp_path / "encoder")
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=f"{tmp_path / 'out'} exists: .* goes to a new folder"):
        share_encoder(tmp_path / "encoder", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_run_that_is_not_done_is_refused(tmp_path: Path) -> None:
    export(tmp_path / "run/encoder")
    (tmp_path / "run/run.json").write_text('{"kind": "pretrain-slimp"}')
    with pytest.raises(InputError, match=f"the run {tmp_path / 'run'} is not done"):
        share_encoder(tmp_path / "run", tmp_path / "out")


def test_a_probe_run_has_no_encoder_to_publish(tmp_path: Path) -> None:
    (tmp_path / "heads").mkdir()
    with pytest.raises(InputError, match=r"is a probe run: give the pre-training .*--onnx FILE"):
        share_encoder(tmp_path, tmp_path / "out")


def test_the_licence_of_every_ancestor_is_there_or_called_unknown(tmp_path: Path) -> None:
    first = {"method": "SLIMP", "data": "slice-3d", "data_licence": "CC-BY-NC 4.0", "steps": 7,
             "start": "timm:vit_base_patch16_224.mae"}  # fmt: skip
    export_seen(tmp_path / "e", lineage=[first], method="SLIMP", data="hf:ORG/NAME",
                start="encoder")  # fmt: skip
    shared = share_encoder(tmp_path / "e", tmp_path / "out")
    assert shared.licences == {
        "first weights (timm:vit_base_patch16_224.mae)": "cc-by-nc-4.0",
        "data of training 1 (slice-3d)": "CC-BY-NC 4.0",
        "data of training 2 (hf:ORG/NAME)": "unknown",
    }
    assert shared.unknown == ("data of training 2 (hf:ORG/NAME)",)
    card = (tmp_path / "out/README.md").read_text()
    for text in (
        "| first weights (timm:vit\\_base\\_patch16\\_224.mae) | cc-by-nc-4.0 |",
        "| data of training 1 (slice-3d) | CC-BY-NC 4.0 |",
        "**A licence above is unknown**",
        "1. SLIMP on slice-3d, from timm:vit\\_base\\_patch16\\_224.mae, 7 updates",
        "2. SLIMP on hf:ORG/NAME, from the training before",
    ):
        assert text in card


def test_the_command_says_what_it_wrote_and_what_is_not_known(tmp_path: Path) -> None:
    export_seen(tmp_path / "e", record_of(patients()), data="csv")
    result = CliRunner().invoke(
        app, ["export", "--from", str(tmp_path / "e"), str(tmp_path / "out"), "--json"]
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["files"] == list(FILES)
    for text in ("timm and the toolkit read it", "figures elsewhere say SEEN?", "licence unknown"):
        assert text in " ".join(result.stderr.split())
