"""Weights are found where the libraries keep them, and nothing is fetched."""

from pathlib import Path

import pytest

from toolkit_common.backbones.named.on_disk import (
    in_hub_cache,
    locate,
    split_hub,
    weights_of_open_clip,
    weights_of_timm,
)
from toolkit_common.errors import InputError


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def cache(hub: Path, repository: str, *files: str) -> Path:
    """Lay files out as the Hub's cache does."""
    folder = hub / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text("abc")
    snapshot = folder / "snapshots/abc"
    snapshot.mkdir(parents=True)
    for file in files:
        (snapshot / file).write_text("weights")
    return snapshot


def test_of_a_repository_safetensors_are_taken_first(hub: Path) -> None:
    snapshot = cache(hub, "chanwkim/monet", "pytorch_model.bin", "model.safetensors")
    assert locate("hf-hub:chanwkim/monet") == snapshot / "model.safetensors"
    assert locate("hf-hub:chanwkim/monet/pytorch_model.bin") == snapshot / "pytorch_model.bin"
    assert in_hub_cache("nobody/nothing") is None


def test_what_is_not_there_is_named_with_the_command_that_fetches_it(hub: Path) -> None:
    assert not hub.exists()
    with pytest.raises(InputError, match=r"no weights of hf-hub:a/b .*: hf download a/b, or give"):
        locate("hf-hub:a/b")
    with pytest.raises(InputError, match=r"hf download a/b w\.pt,"):
        locate("hf-hub:a/b/w.pt")
    with pytest.raises(InputError, match=r"no weights at p\.pth: ask them; then give it with"):
        locate("p.pth", "ask them")


def test_a_path_is_left_to_who_reads_it() -> None:
    assert locate("none.pth") == Path("none.pth")


@pytest.mark.parametrize("name", ["a", "a/", "/b"])
def test_a_repository_has_an_owner(name: str) -> None:
    with pytest.raises(InputError, match=rf"hf-hub:ORG/REPO\[/FILE\], got hf-hub:{name}"):
        split_hub(name)


def test_published_weights_are_found_by_the_librarys_name(hub: Path) -> None:
    assert weights_of_timm("vit_base_patch16_224.mae") is None
    assert weights_of_timm("no_such_model") is None
    snapshot = cache(hub, "timm/vit_base_patch16_224.mae", "model.safetensors")
    assert weights_of_timm("vit_base_patch16_224.mae") == snapshot / "model.safetensors"
    assert weights_of_open_clip("ViT-B-16@laion2b_s34b_b88k") is None
    laion = cache(hub, "laion/CLIP-ViT-B-16-laion2B-s34B-b88K", "open_clip_model.safetensors")
    assert (
        weights_of_open_clip("ViT-B-16@laion2b_s34b_b88k") == laion / "open_clip_model.safetensors"
    )
    assert weights_of_open_clip("ViT-B-16") is None


def test_downloads_without_the_hub_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".cache/clip").mkdir(parents=True)
    file = tmp_path / ".cache/clip/rn50-quickgelu-yfcc15m-455df137.pt"
    file.write_text("weights")
    assert weights_of_open_clip("RN50@yfcc15m") == file
