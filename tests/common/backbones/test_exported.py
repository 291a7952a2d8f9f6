"""The exported encoder: what goes in comes out to the bit, and damage is noticed."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given

from helpers.mutations import mutated, reads_or_refuses
from helpers.properties import few_examples
from helpers.small_data import noise
from helpers.tiny_encoders import export, write_open_clip, write_timm
from toolkit_common.backbones.contract import Card
from toolkit_common.backbones.exported import (
    DESCRIPTION,
    FORMAT,
    TIMM,
    WEIGHTS,
    export_encoder,
    find_export,
    read_description,
    sealed,
)
from toolkit_common.backbones.from_timm import timm
from toolkit_common.backbones.ids import parse_backbone_id
from toolkit_common.backbones.load import build_encoder, build_exported_encoder, load_backbone
from toolkit_common.errors import InputError
from toolkit_common.images.transforms import Preprocess
from toolkit_common.runs.files import read_json, sha256_of, write_json

VIT = "timm:test_vit?image_size=64"
CARD = Card("mean", "all", "SLIMP", "because")


def images() -> torch.Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def edit(folder: Path, **changes: Any) -> None:
    file = folder / DESCRIPTION
    write_json(file, sealed({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize(
    "text", [VIT, "timm:test_resnet?image_size=64", "timm:test_convnext?image_size=64"]
)
def test_an_encoder_comes_back_to_the_bit(text: str, tmp_path: Path) -> None:
    folder = export(tmp_path / "encoder", text, seed=4)
    original = load_backbone(text, random_init=True, seed=4)
    again = load_backbone(str(folder))
    assert torch.equal(again(images()).patches, original(images()).patches)
    assert again.fingerprint() == original.fingerprint()
    assert again.info.receipt.loaded == 1.0
    assert again.info.receipt.source == str(folder / WEIGHTS)


def test_an_open_clip_tower_comes_back_to_the_bit(tmp_path: Path) -> None:
    text = write_open_clip(tmp_path / "vit", "vit")
    folder = export(tmp_path / "encoder", text, seed=4)
    original = load_backbone(text, random_init=True, seed=4)
    again = load_backbone(str(folder))
    assert torch.equal(again(torch.ones(1, 3, 32, 32)).patches,
                       original(torch.ones(1, 3, 32, 32)).patches)  # fmt: skip


def test_a_users_module_comes_back_with_what_it_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "python:helpers.tiny_encoders:build_map"
    encoder, _ = build_encoder(parse_backbone_id(text))
    torch.nn.init.constant_(encoder.model.convolution.weight, 0.25)  # as training would
    export_encoder(tmp_path / "e", encoder, architecture=text, card=CARD, provenance={})
    says = re.escape(f"{tmp_path}/e/encoder.json names Python code to run, {text}: if you trust it")
    with pytest.raises(InputError, match=says):
        load_backbone(str(tmp_path / "e"))
    monkeypatch.setenv("TOOLKIT_TRUSTED", f"other:build, {text.removeprefix('python:')}")
    again = load_backbone(str(tmp_path / "e"))
    assert again.info.receipt.loaded == 1.0
    assert torch.equal(again(torch.ones(1, 3, 224, 224)).patches,
                       encoder(torch.ones(1, 3, 224, 224)).patches)  # fmt: skip
    with pytest.raises(InputError, match="brings its own weights"):  # there is no untrained one
        load_backbone(str(tmp_path / "e"), random_init=True)


@pytest.mark.parametrize("library", ["timm", "open_clip"])
def test_it_needs_nothing_that_it_was_made_of(library: str, tmp_path: Path) -> None:
    text = (
        write_open_clip(tmp_path / "own", "vit")
        if library == "open_clip"
        else write_timm(tmp_path / "own", "test_vit")
    )
    export(tmp_path / "first", text)
    again = export(tmp_path / "second", str(tmp_path / "first"))
    expected = load_backbone(str(tmp_path / "first"))
    shutil.rmtree(tmp_path / "own")
    shutil.rmtree(tmp_path / "first")
    for path in again.rglob("*.json"):
        assert str(tmp_path) not in path.read_text()
    before = load_backbone(str(again)).fingerprint()
    moved = load_backbone(str(again.rename(tmp_path / "moved")))
    assert moved.fingerprint() == before == expected.fingerprint()
    assert moved.info.receipt.loaded == 1.0


def test_the_run_that_holds_it_serves_too(tmp_path: Path) -> None:
    export(tmp_path / "encoder")
    assert find_export(tmp_path) == tmp_path / "encoder"
    assert load_backbone(str(tmp_path)).info.facts.grid == (4, 4)


def test_card_input_and_provenance_are_kept(tmp_path: Path) -> None:
    encoder, _ = build_encoder(parse_backbone_id(VIT), random_init=True)
    encoder.preprocess = Preprocess((64, 64), "squash", 0.9, "bilinear", (0.1, 0.2, 0.3))
    provenance = {"patients": ["a", "b"], "licence": "CC BY 4.0"}
    export_encoder(tmp_path, encoder, architecture=VIT, card=CARD, provenance=provenance)
    info = load_backbone(str(tmp_path)).info
    assert info.preprocess == encoder.preprocess
    sums = {TIMM: sha256_of(tmp_path / TIMM)}
    assert (info.card, info.provenance) == (CARD, {**provenance, "files": sums})
    assert read_description(tmp_path).architecture == VIT


def test_exporting_leaves_the_encoder_as_it_was(tmp_path: Path) -> None:
    encoder, _ = build_encoder(parse_backbone_id(VIT), random_init=True)
    encoder.train()
    export_encoder(tmp_path, encoder, architecture=VIT, card=CARD, provenance={})
    assert encoder.training
    assert all(parameter.requires_grad for parameter in encoder.parameters())


def test_plain_timm_loads_the_weights_alone(tmp_path: Path) -> None:
    folder = export(tmp_path / "encoder", seed=4)
    path = folder / WEIGHTS
    model = timm.create_model("test_vit", num_classes=0, img_size=64, checkpoint_path=path).eval()
    expected = load_backbone(str(folder))(images())
    with torch.no_grad():
        features = model.forward_features(images())
    assert torch.equal(features[:, 1:], expected.patches)


def test_its_untrained_control_has_the_same_shape_and_other_weights(tmp_path: Path) -> None:
    folder = export(tmp_path / "encoder", seed=4)
    trained, control = load_backbone(str(folder)), load_backbone(str(folder), random_init=True)
    assert control.info.receipt.is_random
    assert control.info.facts == trained.info.facts
    assert control.fingerprint() != trained.fingerprint()


@pytest.mark.slow
def test_an_encoder_can_take_other_weights_of_its_architecture(tmp_path: Path) -> None:
    first, second = export(tmp_path / "a", seed=1), export(tmp_path / "b", seed=2)
    mixed = load_backbone(f"{first}?weights={second / WEIGHTS}")
    assert mixed.fingerprint() == load_backbone(str(second)).fingerprint()


# Damage


def test_one_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = export(tmp_path / "encoder") / WEIGHTS
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{path} is damaged: its sha256 differs"):
        load_backbone(str(tmp_path))


def test_a_file_cut_short_is_noticed(tmp_path: Path) -> None:
    path = export(tmp_path / "encoder") / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=f"{path} is damaged: its sha256 differs"):
        load_backbone(str(tmp_path))


@pytest.mark.parametrize("random_init", [False, True])
def test_a_file_that_is_not_needed_is_compared_too(tmp_path: Path, random_init: bool) -> None:
    folder = export(tmp_path / "encoder")
    content = (folder / TIMM).read_text()
    (folder / TIMM).write_text(content.replace("64", "32"))  # as good a file as any
    message = f"{folder / TIMM} is missing or damaged: its sha256 differs from the one in encoder"
    with pytest.raises(InputError, match=message):
        load_backbone(str(folder), random_init=random_init)
    (folder / TIMM).unlink()
    with pytest.raises(InputError, match=message):
        load_backbone(str(folder), random_init=random_init)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"../x": "0"}, r"files lie outside of it, such as '\.\./x'"),
        ({"x": 1}, "files: x: input should be a valid string, got 1"),
        ([], r"files: input should be an object, got \[\]"),
    ],
)
def test_files_that_are_none_are_refused(tmp_path: Path, files: object, message: str) -> None:
    path = export(tmp_path / "encoder") / DESCRIPTION
    described = json.loads(path.read_text())
    described["provenance"]["files"] = files
    path.write_text(json.dumps(sealed(described)))
    with pytest.raises(InputError, match=f"{path} is damaged: {message}"):
        load_backbone(str(tmp_path))


def test_missing_weights_are_named(tmp_path: Path) -> None:
    folder = export(tmp_path / "encoder")
    (folder / WEIGHTS).unlink()
    with pytest.raises(InputError, match=f"{folder} has no {WEIGHTS}"):
        load_backbone(str(folder))


def test_a_folder_that_holds_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=f"{tmp_path} is no exported encoder: .* has {DESCRIPTION}"
    ):
        load_backbone(str(tmp_path))


def test_a_description_without_a_format_is_damaged(tmp_path: Path) -> None:
    folder = export(tmp_path / "encoder")
    (folder / DESCRIPTION).write_text("{}")
    with pytest.raises(InputError, match="is damaged: it has no format"):
        build_exported_encoder(folder, pretrained=True)


@pytest.mark.parametrize("result", [3, None, "1"])
def test_another_format_is_refused(result: object, tmp_path: Path) -> None:
    folder = export(tmp_path / "encoder")
    edit(folder, format=result)
    with pytest.raises(
        InputError, match=f"has encoder format {result!r}, this version reads 1 and {FORMAT}"
    ):
        build_exported_encoder(folder, pretrained=True)


@pytest.mark.parametrize(
    "text", ['{"format": 1}', '{"format": 1, "preprocess": 3}', "[1]", "{", "", '{"format": 1,']
)
def test_a_damaged_description_is_refused(text: str, tmp_path: Path) -> None:
    folder = export(tmp_path / "encoder")
    (folder / DESCRIPTION).write_text(text)
    with pytest.raises(InputError, match=f"{folder / DESCRIPTION} is damaged"):
        load_backbone(str(folder))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("std", [0.0, 0.0, 0.0], r"std is above 0, .* got \(0.0, 0.0, 0.0\)"),
        ("std", [0.1, 0.2], r"std is three finite numbers, got \(0.1, 0.2\)"),
        ("mean", [0.1, 0.2], r"mean is three finite numbers, got \(0.1, 0.2\)"),
        ("image_size", [10**6, 10**6], r"image_size is 1 to 8192 pixels, got \(1000000, 1000000\)"),
        ("image_size", [96, 96], r"its images are \(96, 96\), those of timm:\S+ \(64, 64\)"),
        ("crop_pct", 1e-300, "resized to 1 to 8192 pixels before the crop, got crop_pct 1e-300"),
        ("crop_pct", 0.0, "crop_pct is a share of the resized side, got 0.0"),
        ("interpolation", "magic", "images are resized by .* got 'shortest', 'magic'"),
    ],
)
def test_an_input_that_cannot_be_is_refused_in_one_line(
    key: str, value: object, message: str, tmp_path: Path
) -> None:
    folder = export(tmp_path / "encoder")
    edit(folder, preprocess={**read_json(folder / DESCRIPTION)["preprocess"], key: value})
    with pytest.raises(InputError, match=message) as caught:
        load_backbone(str(folder))
    assert "\n" not in str(caught.value)


def test_an_architecture_that_leads_back_to_itself_is_refused(tmp_path: Path) -> None:
    first, second = export(tmp_path / "a"), export(tmp_path / "b")
    edit(first, architecture=str(second))
    assert load_backbone(str(first)).info.facts == load_backbone(str(second)).info.facts
    for other in (first, second):  # its own, and by way of another one
        edit(second, architecture=str(other))
        with pytest.raises(InputError, match=rf"is damaged: its architecture '{tmp_path}/.' leads"):
            load_backbone(str(first))


@pytest.mark.parametrize("spelled", ["exported:{}", "{}?name=mine", "exported:{}/../{name}"])
def test_a_circle_is_refused_however_it_is_spelled(tmp_path: Path, spelled: str) -> None:
    folder = export(tmp_path / "encoder")
    edit(folder, architecture=spelled.format(folder, name=folder.name))
    with pytest.raises(InputError, match="leads back to itself"):
        load_backbone(str(folder))


def test_an_architecture_of_a_million_pixels_is_refused(tmp_path: Path) -> None:
    folder = export(tmp_path / "encoder")
    edit(folder, architecture="timm:test_vit?image_size=1000000")
    with pytest.raises(InputError, match=r"1 to 8192 pixels, got \(1000000,\)"):
        load_backbone(str(folder))


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["timm:test_vit?image_size=64", "timm:test_resnet?image_size=64", "timm:test_vit2"]
)
def test_plain_timm_builds_the_encoder_and_its_transform(text: str, tmp_path: Path) -> None:
    """The two lines of docs/python.md, and equal features of an image of any size."""
    folder = export(tmp_path / "encoder", text, seed=3)
    model = timm.create_model(
        f"local-dir:{folder}", checkpoint_path=str(folder / "encoder.safetensors")
    )
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    backbone, image = load_backbone(str(folder)), noise((120, 90))
    torch.testing.assert_close(transform(image), backbone.transform(image))
    with torch.inference_mode():
        features = model.eval().forward_features(transform(image).unsqueeze(0))
    tokens = backbone.tokens(image)
    if features.ndim == 4:
        expected = tokens.patches.transpose(1, 2).reshape(features.shape)
    else:
        expected = torch.cat([tokens.prefix, tokens.patches], dim=1)
    torch.testing.assert_close(features.clone(), expected)


def test_what_timm_cannot_build_has_no_configuration_of_timm(tmp_path: Path) -> None:
    folder = export(tmp_path / "encoder", write_open_clip(tmp_path / "own", "vit"))
    assert not (folder / "config.json").exists()


def test_weights_of_another_name_are_refused(tmp_path: Path) -> None:
    folder = export(tmp_path / "encoder")
    edit(folder, weights="../encoder.safetensors")
    with pytest.raises(InputError, match=r"weights: .*, got '\.\./encoder\.safetensors'"):
        load_backbone(str(folder))


def test_a_changed_description_is_noticed_whatever_was_changed(tmp_path: Path) -> None:
    folder = export(tmp_path / "encoder")
    content = read_json(folder / DESCRIPTION)
    content["preprocess"]["mean"][0] += 1e-9
    write_json(folder / DESCRIPTION, content)
    with pytest.raises(InputError, match=r"its sha256 is not that of what it says; export it"):
        read_description(folder)
    write_json(folder / DESCRIPTION, {**content, "format": 1})
    with pytest.raises(InputError, match="its sha256 is not that"):
        read_description(folder)
    # Of format 1 nobody has written one.
    write_json(folder / DESCRIPTION, {key: value for key, value in {**content, "format": 1}.items()
                                      if key not in ("sha256", "weights")})  # fmt: skip
    assert read_description(folder).preprocess.mean[0] == content["preprocess"]["mean"][0]


def test_a_mutated_description_gives_an_error_or_the_same_encoder(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = export(tmp_path_factory.mktemp("e") / "encoder")
    content, expected = (folder / DESCRIPTION).read_bytes(), read_description(folder)

    @few_examples
    @given(mutated(content))
    def check(changed: bytes) -> None:
        (folder / DESCRIPTION).write_bytes(changed)
        read = reads_or_refuses(lambda: read_description(folder))
        assert read is None or read == expected

    check()
