"""Image classification data sets of torchvision that lie on disk; nothing is downloaded."""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from toolkit_common.data.dataset import ImageData, build_image_data
from toolkit_common.data.sheet import Sheet
from toolkit_common.errors import InputError
from toolkit_common.ids import refuse_options
from toolkit_common.images.open import torchvision_data_set, torchvision_path
from toolkit_common.registry import did_you_mean
from toolkit_common.torchvision_ops import prepare

# Our names of the splits -> theirs, the first that a data set knows.
SPLITS = {
    "train": ("train", "trainval", "train-standard"),
    "val": ("val", "valid"),
    "test": ("test",),
}


def load_torchvision(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read a torchvision data set that lies on disk: `torchvision:CIFAR10?root=PATH`.

    Raises:
        InputError: If the name is unknown, its files are not under the root, or its images do not
            have one class each.
    """
    prepare()
    from torchvision import datasets

    refuse_options(identifier, options, ("root",))
    known = [item for item in datasets.__all__ if _needs_only_a_root(getattr(datasets, item))]
    if name not in known:
        raise InputError(f"unknown torchvision data set {name!r}{did_you_mean(name, known)}")
    # Absolute, as it stands in the path of every image, which other processes open.
    root = str(Path(options.get("root", "data")).expanduser().absolute())
    parts = _open_splits(name, root, inspect.signature(getattr(datasets, name)).parameters)
    if not parts:
        raise InputError(
            f"torchvision:{name} has no train, val or test split: export it to folders"
        )
    frames = []
    for (ours, theirs), part in parts.items():
        labels = _labels_of(part, name)
        where = torchvision_path(name, root, theirs)
        frame = pd.DataFrame({"label": labels})
        frame["image"] = [f"{where}#{index}" for index in range(len(labels))]
        frame["image_id"] = [f"{ours}/{index}" if ours else str(index) for index in frame.index]
        frames.append(frame.assign(split=ours) if ours else frame)
    table = pd.concat(frames, ignore_index=True)
    first = next(iter(parts.values()))
    classes = getattr(first, "classes", None) or getattr(first, "categories", None)
    if not classes:
        classes = sorted(label for label in table["label"].unique() if label >= 0)
        codes = {label: code for code, label in enumerate(classes)}
        table["label"] = table["label"].map(lambda label: codes.get(label, -1))
    names = tuple(map(str, classes))
    data = build_image_data(identifier, table, Sheet(title=name), class_names=names)
    unlabelled = int((table["label"] < 0).sum())
    line = f"{unlabelled:,} of {len(table):,} images have no label (-1)"
    return replace(data, choices=(line,)) if unlabelled else data


def _needs_only_a_root(factory: Any) -> bool:
    if not isinstance(factory, type):
        return False
    parameters = inspect.signature(factory).parameters
    named = [item for item in parameters.values() if item.kind is not item.VAR_KEYWORD]
    # Whatever wants more than a root cannot be named by an id.
    return [item.name for item in named if item.default is item.empty] == ["root"]


def _open_splits(name: str, root: str, accepted: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """Open the splits there are, by our name and theirs; both empty for a data set without."""
    if "split" in accepted:
        wanted = [(ours, theirs) for ours, names in SPLITS.items() for theirs in names]
    elif "train" in accepted:
        wanted = [("train", "train"), ("test", "test")]
    else:
        wanted = [("", "")]
    parts: dict[tuple[str, str], Any] = {}
    for ours, theirs in wanted:
        # Of several names of a split the first that is there.
        if any(ours == taken for taken, _ in parts):
            continue
        try:
            parts[ours, theirs] = torchvision_data_set(name, root, theirs)
        except ValueError:
            continue  # this data set has no such split
        except (RuntimeError, OSError) as error:
            raise InputError(
                f"torchvision:{name} is not under {root}: put its files there "
                f"(torchvision says: {str(error).splitlines()[0]}), or name the place with ?root="
            ) from error
    return parts


def _labels_of(part: Any, name: str) -> list[int]:
    for attribute in ("targets", "labels", "_labels", "y"):
        if hasattr(part, attribute):
            labels = getattr(part, attribute)
            break
    else:
        labels = (part[index][1] for index in range(len(part)))
    try:
        return [int(label) for label in labels]
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"torchvision:{name} does not have one class for each image") from error
