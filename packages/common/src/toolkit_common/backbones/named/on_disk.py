"""Which weights are on this machine: looked for where libraries keep them, nothing is fetched."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolkit_common.backbones.named.alias import HUB
from toolkit_common.errors import InputError
from toolkit_common.torchvision_ops import prepare

# Of a repository of the Hub; safetensors before what has to be unpickled.
HUB_FILES = ("model.safetensors", "open_clip_model.safetensors", "open_clip_pytorch_model.bin",
             "pytorch_model.bin")  # fmt: skip


def locate(weights: str, needs: str = "") -> Path:
    """Return the file that `weights=` names: a path, or `hf-hub:ORG/REPO[/FILE]` of the cache.

    Args:
        weights: What the id says.
        needs: How to come by it, for the message.

    Raises:
        InputError: If it is not on this machine.
    """
    if weights.startswith(HUB):
        repository, file = split_hub(weights.removeprefix(HUB))
        found = in_hub_cache(repository, file)
        if found is None:
            raise InputError(
                f"no weights of {weights} in the Hub's cache on this machine: hf download "
                f"{repository}{f' {file}' if file else ''}, or give a file with weights=FILE"
            )
        return found
    path = Path(weights).expanduser()
    if not path.is_file() and needs:
        raise InputError(
            f"no weights at {weights}: {needs}; then give it with ?weights=FILE, or for good as "
            "`NAME: {weights: FILE}` in encoders.yaml (docs/encoders.md)"
        )
    return path


def split_hub(name: str) -> tuple[str, str]:
    """Return repository and file of `ORG/REPO/FILE`, the file empty where none is named.

    Raises:
        InputError: If it is no `ORG/REPO`.
    """
    parts = name.split("/", 2)
    if len(parts) < 2 or not all(parts):
        raise InputError(f"weights of the Hub are {HUB}ORG/REPO[/FILE], got {HUB}{name}")
    return "/".join(parts[:2]), parts[2] if len(parts) > 2 else ""


def in_hub_cache(repository: str, file: str = "") -> Path | None:
    """Return a weights file of a repository that the Hub's cache holds."""
    from huggingface_hub import try_to_load_from_cache

    names: Sequence[str] = (file,) if file else HUB_FILES
    cached = (try_to_load_from_cache(repository, name) for name in names)
    return next((Path(path) for path in cached if isinstance(path, str)), None)


def weights_of_timm(name: str) -> Path | None:
    """Return the file in which a timm model's published weights lie here."""
    prepare()
    import timm

    if name.startswith(HUB):
        return in_hub_cache(name.removeprefix(HUB))
    config: Any = timm.get_pretrained_cfg(name)
    if config is None:
        return None
    if config.hf_hub_id:
        return in_hub_cache(config.hf_hub_id, config.hf_hub_filename or "")
    return _downloaded(config.url, "torch")


def weights_of_open_clip(name: str) -> Path | None:
    """Return the file in which an open_clip model's published weights lie here."""
    prepare()
    import open_clip

    if name.startswith(HUB):
        return in_hub_cache(name.removeprefix(HUB))
    model, _, tag = name.partition("@")
    config = open_clip.get_pretrained_cfg(model, tag) if tag else {}
    repository, _, file = (config.get("hf_hub") or "").rpartition("/")
    cached = in_hub_cache(repository, file) if repository else None
    return cached or _downloaded(config.get("url", ""), "clip")


def _downloaded(url: str, library: str) -> Path | None:
    """Return the file that a library without the Hub keeps of an address."""
    import torch

    folders = {
        "torch": Path(torch.hub.get_dir()) / "checkpoints",
        "clip": Path("~/.cache/clip").expanduser(),
    }
    file = folders[library] / url.rpartition("/")[2]
    return file if url and file.is_file() else None
