"""What an exported encoder needs of its architecture, as any machine can read it.

Of an architecture that no library knows by name (`timm:local-dir:PATH`, `open_clip:hf-hub:...`) the
configuration is copied, and only what libraries build a model from: nothing of it names a place.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit_common.backbones.contract import ImageEncoder
from toolkit_common.backbones.ids import parse_backbone_id
from toolkit_common.backbones.named.alias import HUB, LOCAL
from toolkit_common.backbones.named.on_disk import in_hub_cache
from toolkit_common.errors import InputError
from toolkit_common.runs.files import read_json, sha256_of, sha256_of_text, write_json

ARCHITECTURE = "architecture"  # folder with the configuration of an architecture of the user's own
CONFIGURATIONS = ("config.json", "open_clip_config.json")
# Top-level keys of both libraries' files that say how a model is built and fed.
BUILDS = ("architecture", "num_classes", "num_features", "global_pool", "model_args",
          "model_cfg", "preprocess_cfg")  # fmt: skip
# Of timm's `pretrained_cfg`; the rest says where weights are from, and of whom.
FED = ("num_classes", "input_size", "test_input_size", "min_input_size", "fixed_input_size",
       "interpolation", "crop_pct", "test_crop_pct", "crop_mode", "mean", "std", "pool_size",
       "classifier", "first_conv", "license")  # fmt: skip
PLACE = re.compile(r"[/~\\]|[A-Za-z]:[/\\]|file:")  # how the name of a place on a machine begins


def without_places(value: Any) -> Any:
    """Return JSON values in which a path is no more than its last name."""
    if isinstance(value, Mapping):
        return {str(key): without_places(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_places(item) for item in value]
    if isinstance(value, str) and PLACE.match(value):
        return re.split(r"[/\\]", value.rstrip("/\\"))[-1]
    return value


def copy_configuration(folder: Path, name: str) -> str | None:
    """Copy the configuration of an architecture that no library knows by name; returns its place.

    Args:
        folder: Of the export.
        name: The architecture, as behind `timm:` or `open_clip:`.

    Returns:
        The folder within `folder`, None where a library knows the name.
    """
    source = configuration_folder(name)
    if source is None:
        return None
    files = [source / file for file in CONFIGURATIONS if (source / file).is_file()]
    # Its name tells two configurations apart, as encoders are compared by it: a copy keeps it.
    is_copy = source.name.startswith(f"{ARCHITECTURE}-")
    digest = sha256_of_text("".join(map(sha256_of, files)))[:8]
    place = source.name if is_copy else f"{ARCHITECTURE}-{digest}"
    for file in files:
        write_json(folder / place / file.name, _of_the_model(file))
    return place


def configuration_folder(name: str) -> Path | None:
    """Return where the configuration of an architecture lies that no library knows by name."""
    if name.startswith(LOCAL):
        return Path(name.removeprefix(LOCAL))
    if not name.startswith(HUB):
        return None
    # The Hub's, too: who reads the export need not reach it.
    cached = (in_hub_cache(name.removeprefix(HUB), file) for file in CONFIGURATIONS)
    return next((path.parent for path in cached if path is not None), None)


def timm_config(architecture: str, encoder: ImageEncoder) -> dict[str, Any] | None:
    """Return what `timm.create_model("local-dir:FOLDER")` reads; None of what is not timm's."""
    parsed = parse_backbone_id(architecture)
    if parsed.source != "timm":
        return None
    name, model_args = parsed.name.partition(".")[0], dict[str, Any]()
    if ":" in parsed.name:
        source = configuration_folder(parsed.name)
        if source is None or not (source / CONFIGURATIONS[0]).is_file():
            return None
        described = _of_the_model(source / CONFIGURATIONS[0])
        name, model_args = described.get("architecture", ""), described.get("model_args") or {}
    preprocess = encoder.preprocess
    height, width = preprocess.image_size
    own: Any = getattr(encoder.model, "pretrained_cfg", {})
    # Convolutions take any size: timm has no argument for it.
    takes_size = parsed.image_size is not None and not encoder.facts.is_convolutional
    return {
        "architecture": name,
        "num_classes": 0,
        "model_args": {**model_args, **({"img_size": parsed.image_size} if takes_size else {})},
        "pretrained_cfg": {
            "num_classes": 0,
            "input_size": [3, height, width],
            # Position tables are then made for that input.
            "fixed_input_size": bool(own.get("fixed_input_size")),
            "interpolation": preprocess.interpolation,
            "crop_pct": preprocess.crop_pct,
            "crop_mode": "squash" if preprocess.resize == "squash" else "center",
            "mean": list(preprocess.mean),
            "std": list(preprocess.std),
        },
    }


def _of_the_model(file: Path) -> dict[str, Any]:
    """Return what a configuration says of the model, without what it says of anything else."""
    content = read_json(file)
    if not isinstance(content, dict):
        raise InputError(f"{file} is no configuration of a model: it holds no JSON object")
    kept = {key: content[key] for key in BUILDS if key in content}
    fed = content.get("pretrained_cfg")
    if isinstance(fed, dict):
        kept["pretrained_cfg"] = {key: fed[key] for key in FED if key in fed}
    elif "architecture" in content and "model_cfg" not in content:  # timm's older, flat file
        kept |= {key: content[key] for key in FED if key in content}
    cleaned: dict[str, Any] = without_places(kept)
    return cleaned
