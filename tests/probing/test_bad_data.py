"""Data and weights that cannot be probed: one line, exit code 2, nothing half-written."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import assert_bad_input, write_image_folder
from helpers.probe_runs import read_csv, refused


def test_a_missing_folder(probe, tmp_path):
    refused(probe(data="imagefolder:/nowhere"), tmp_path, "no folder at /nowhere")


def test_an_empty_folder(probe, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(probe(data=f"imagefolder:{tmp_path / 'empty'}"), tmp_path, "no images in class folders")


def test_a_class_with_one_image(probe, tmp_path, image_folder):
    (image_folder / "rare").mkdir()
    shutil.copy(image_folder / "dark/000.png", image_folder / "rare")
    refused(probe(), tmp_path, "class 'rare'", "has 1 image")


def test_one_class_only(probe, tmp_path, image_folder):
    shutil.rmtree(image_folder / "light")
    refused(probe(), tmp_path, "only 'dark'", "at least two classes")


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"not an image", None])
def test_a_broken_file_is_named_or_skipped(probe, tmp_path, image_folder, content):
    whole = (image_folder / "dark/000.png").read_bytes()
    bad = image_folder / "dark/broken.png"
    bad.write_bytes(whole[: len(whole) // 2] if content is None else content)
    refused(probe("--method", "linear"), tmp_path, "dark/broken.png", "--bad-files skip")
    assert probe("--method", "linear", "--bad-files", "skip").exit_code == 0
    assert read_csv(tmp_path / "run/bad_files.csv", "image_id") == ["dark/broken.png"]


def write_table(path: Path, header: str, rows: list[str], encoding: str = "utf-8") -> str:
    write_image_folder(path.parent / "pictures", per_class=10)
    path.write_text("\n".join([header, *rows]) + "\n", encoding=encoding)
    return f"csv:{path}"


def picture_rows(separator: str = ",", *extra: str) -> list[str]:
    return [
        separator.join([f"pictures/{name}/{index:03d}.png", name, *extra])
        for name in ("dark", "light")
        for index in range(10)
    ]


@pytest.mark.slow
def test_a_table_with_bom_and_semicolons_is_read(probe, tmp_path):
    data = write_table(tmp_path / "t.csv", "image;label", picture_rows(";"), "utf-8-sig")
    assert probe("--method", "linear", data=data).exit_code == 0


def test_a_table_without_its_columns(probe, tmp_path):
    data = write_table(tmp_path / "t.csv", "picture,label", picture_rows())
    refused(probe(data=data), tmp_path, "no column 'image'", "it has: picture, label")


def test_a_table_with_an_id_twice(probe, tmp_path):
    data = write_table(tmp_path / "t.csv", "image,label", [*picture_rows(), picture_rows()[0]])
    refused(probe(data=data), tmp_path, "pictures/dark/000.png", "occurs 2 times", "rows 1 and 21")


def test_a_table_with_a_missing_label(probe, tmp_path):
    rows = picture_rows()
    rows[3] = rows[3].replace(",dark", ",NaN")
    data = write_table(tmp_path / "t.csv", "image,label", rows)
    refused(probe(data=data), tmp_path, "row 5 has no label")


def test_a_patient_on_both_sides_of_a_given_split(probe, tmp_path):
    rows = [
        f"{row},{'train' if index % 3 else 'test'},patient{index % 4}"
        for index, row in enumerate(picture_rows())
    ]
    data = write_table(tmp_path / "t.csv", "image,label,split,group", rows)
    refused(probe(data=data), tmp_path, "is in train and in test", "patient0")


def test_a_backbone_without_patch_tokens(probe, tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(
        "import torch\ndef build():\n    return torch.nn.Sequential(torch.nn.Flatten())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    result = probe("--backbone", "python:own:build", "--no-random-init")
    refused(
        result, tmp_path, "must return patch tokens (b, n, d)", "got torch.float32 of (1, 150528)"
    )


def test_features_that_are_all_equal_are_said_everywhere(probe, run_cli, tmp_path, monkeypatch):
    (tmp_path / "gives_equal.py").write_text(
        "import torch\nclass Same(torch.nn.Module):\n    def forward(self, images):\n"
        "        return torch.ones(len(images), 4, 32)\n\ndef build():\n    return Same()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for store in ("memory", "online"):
        result = probe(
            "--backbone",
            "python:gives_equal:build",
            "--no-random-init",
            "--store",
            store,
            "--overwrite",
        )
        assert result.exit_code == 0, result.output
        warning = "ALL EQUAL: all 16 images that were compared have the same mean of layer 1, by wh"
        assert warning in result.stderr
        assert warning in result.stdout
    assert warning in run_cli("report", tmp_path / "run", "--format", "md").stdout


def test_weights_that_do_not_fit(probe, tmp_path):
    import timm
    from safetensors.torch import save_file

    save_file(timm.create_model("test_vit3").state_dict(), tmp_path / "w.safetensors")
    backbone = f"timm:test_vit?weights={tmp_path / 'w.safetensors'}"
    result = probe("--backbone", backbone, "--no-random-init")
    refused(result, tmp_path, "of the encoder's weights", "another shape", "--allow-partial")


@pytest.mark.slow
def test_weights_that_cannot_be_had_offline(probe, tmp_path):
    result = probe("--backbone", "timm:vit_small_patch16_224", "--no-random-init")
    refused(result, tmp_path, "no weights for timm:vit_small_patch16_224", "?weights=FILE")


def test_a_hub_data_set_offline(probe, tmp_path):
    refused(probe(data="hf:org/unknown-set"), tmp_path, "cannot load hf:org/unknown-set", "FOLDER")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["CMYK", "L", "P", "RGBA", "I;16"])
def test_images_of_any_mode_are_probed(probe, tmp_path, image_folder, mode):
    for path in sorted(image_folder.rglob("*.png"))[::2]:
        image = Image.open(path)
        if mode == "I;16":
            grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
            Image.fromarray(grey).save(path)
        elif mode == "CMYK":
            path.unlink()
            image.convert("CMYK").save(path.with_suffix(".jpg"))
        else:
            image.convert(mode).save(path)
    assert probe("--method", "linear").exit_code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["timm:vit_bse_patch16_224"], "unknown timm model 'vit_bse_patch16_224'"),
        (["timm:test_vit?weights=absent.pt"], "absent.pt"),
        (["runs/absent"], "runs/absent"),
        (["timm:test_vit", "--random-init", "-m", "ep", "--head", "absent.pth"], "absent.pth"),
    ],
)
def test_names_paths_and_weights_are_refused_before_an_image_is_read(
    options, message, run_cli, image_folder
):
    next(image_folder.rglob("*.png")).write_bytes(b"no image")
    result = run_cli("probe", "--data", f"imagefolder:{image_folder}", "--backbone", *options)
    assert_bad_input(result, message)
    assert "checking images" not in result.stderr
