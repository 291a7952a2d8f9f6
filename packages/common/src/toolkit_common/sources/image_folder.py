"""A folder of images: `ROOT/CLASS/image.jpg`, or `ROOT/SPLIT/CLASS/image.jpg`.

Which folders are taken for splits and classes, and what is passed over, is said in the data set's
`choices`; what could be either is asked for.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from toolkit_common.data.dataset import SPLITS, ImageData, build_image_data
from toolkit_common.data.sheet import Sheet
from toolkit_common.errors import InputError
from toolkit_common.ids import refuse_options, split_options
from toolkit_common.images.walk import Walked, count_endings, has_image_suffix, is_image, walk
from toolkit_common.printable import counted, one_line
from toolkit_common.split_names import SPLIT_NAMES, guess_split, looks_like_split

OPTIONS = (*SPLITS, "classes")
MASKS = re.compile(r"masks?|segmentations?|annotations?|ground[ _-]?truths?|gt", re.IGNORECASE)
MASK_OF = re.compile(r"(.+)_(mask|segmentation|superpixels)(_\d+)?", re.IGNORECASE)
MOST_NAMED = 12  # classes, in a line


@dataclass(frozen=True)
class _Folder:
    """An image folder as it lies on disk.

    Attributes:
        root: The folder.
        own: Names of the folders in it.
        walked: What is below it.
        splits: Its folders that are splits -> which.
        classes: Folders that the user named as classes; none for all.
    """

    root: Path
    own: tuple[str, ...]
    walked: Walked
    splits: Mapping[str, str]
    classes: tuple[str, ...]

    @cached_property
    def images(self) -> list[tuple[str, ...]]:
        """The images below it, as parts of their paths."""
        return [path.relative_to(self.root).parts for path in self.walked.files if is_image(path)]

    @cached_property
    def stems(self) -> set[tuple[str, ...]]:
        """The images without their endings."""
        return {(*parts[:-1], Path(parts[-1]).stem) for parts in self.images}

    def of_class(self, parts: tuple[str, ...]) -> tuple[str, ...]:
        """Return an image's path from the folder of its class on."""
        return parts[1:] if parts[0] in self.splits else parts


def load_imagefolder(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read an image folder.

    `?train=`, `?val=` and `?test=` name folders of splits that are called otherwise, `?classes=`
    those of classes; several are separated by commas.

    Raises:
        InputError: If the folder is missing or empty, has no class folders, a split has no images,
            or folders could be splits or classes.
    """
    refuse_options(identifier, options, OPTIONS)
    root = Path(name).expanduser()
    if not root.is_dir():
        raise InputError(f"no folder at {root}")
    folder = _look_into(root, options)
    _refuse_unclear(folder, identifier)
    passed: Counter[str] = Counter()
    images = []
    for parts in folder.images:
        why = _why_not(folder, parts)
        if why is None:
            images.append(parts)
        else:
            passed[why] += 1
    for split in folder.splits or [""]:
        if not any(parts[0] == split or not split for parts in images):
            raise _no_images(root / split)
    frame = _rows(folder, images)
    classes = tuple(sorted(frame["label"].unique()))
    counts = frame["label"].value_counts()
    frame["label"] = frame["label"].map({label: code for code, label in enumerate(classes)})
    sheet = Sheet(title=one_line(root.name))
    data = build_image_data(identifier, frame, sheet, class_names=classes)
    chosen = _describe(folder, [(item, int(counts[item])) for item in classes], "split" in frame)
    return replace(data, choices=(chosen, *_passed_over(folder, passed)))


def _look_into(root: Path, options: Mapping[str, str]) -> _Folder:
    walked = walk(root)  # first: it says which folder cannot be read
    own = sorted(item.name for item in root.iterdir() if item.is_dir() and item.name[0] != ".")
    given = {key: value.split(",") for key, value in options.items()}
    for name in (item for names in given.values() for item in names):
        if name not in own:
            raise InputError(f"{root} has no folder {name!r}; it has: {', '.join(own) or 'none'}")
    classes = tuple(given.pop("classes", ()))
    if classes and given:
        raise InputError(
            f"folders in {root} are classes= or splits ({', '.join(given)}=), not both"
        )
    splits = {name: SPLIT_NAMES[name.lower()] for name in own if name.lower() in SPLIT_NAMES}
    splits |= {name: split for split, names in given.items() for name in names}
    # Classes that the user names may be called as splits are: a train is a vehicle too.
    splits = {} if classes else {name: splits[name] for name in sorted(splits)}
    return _Folder(root, tuple(own), walked, splits, classes)


def _refuse_unclear(folder: _Folder, identifier: str) -> None:
    """Refuse folders that are called nearly as splits are: as classes they would be no answer."""
    unclear = [name for name in folder.own if name not in folder.splits and looks_like_split(name)]
    if not unclear or folder.classes:
        return
    mark = "&" if split_options(identifier)[1] else "?"
    splits = "&".join(f"{guess_split(name) or 'test'}={name}" for name in unclear)
    raise InputError(
        f"{folder.root}: {', '.join(map(repr, unclear))} could be splits or classes: call splits "
        f"train, val and test, or name them: {mark}{splits} (or val=); or name all classes: "
        f"{mark}classes={','.join(unclear)}"
    )


def _why_not(folder: _Folder, parts: tuple[str, ...]) -> str | None:
    """Say where an image lies that is none of a class; None if it is one."""
    if folder.splits and parts[0] not in folder.splits:
        return f"beside the splits in {one_line(parts[0])!r}" if parts[1:] else "beside the splits"
    below = folder.of_class(parts)
    if len(below) < 2:
        return "beside the folders of classes"
    if folder.classes and below[0] not in folder.classes:
        return f"in {one_line(below[0])!r}, which ?classes= does not name"
    masks = [name for name in below[:-1] if MASKS.fullmatch(name) and name not in folder.classes]
    if masks:
        return f"in folders called {masks[0]!r}, as masks are (?classes= makes it a class)"
    mask = MASK_OF.fullmatch(Path(parts[-1]).stem)
    if mask and (*parts[:-1], mask.group(1)) in folder.stems:
        return f"called as masks of others are (X_{mask.group(2)} beside X)"
    return None


def _rows(folder: _Folder, images: Sequence[tuple[str, ...]]) -> pd.DataFrame:
    """Return the rows of images; splits are outside the classes, or inside each of them.

    Raises:
        InputError: If some images lie in folders of splits inside their classes and others not.
    """
    below = [folder.of_class(parts) for parts in images]
    inside = [parts[1].lower() in SPLIT_NAMES for parts in below if len(parts) > 2]
    frame = pd.DataFrame({
        "image": [str(folder.root.joinpath(*parts)) for parts in images],
        "label": [one_line(parts[0]) for parts in below],
        "image_id": [one_line("/".join(parts)) for parts in images],
    })  # fmt: skip
    if folder.splits:
        return frame.assign(split=[folder.splits[parts[0]] for parts in images])
    if sum(inside) == len(images):
        return frame.assign(split=[SPLIT_NAMES[parts[1].lower()] for parts in below])
    if any(inside):
        raise InputError(
            f"{folder.root}: {sum(inside)} of {len(images)} images lie in folders of splits inside "
            "their classes, as in CLASS/train, and others do not: move all into SPLIT/CLASS folders"
        )
    return frame


def _no_images(place: Path) -> InputError:
    return InputError(
        f"{place} has no images in class folders: expected {place}/CLASS/IMAGE, an image by its "
        "ending (.jpg, .png, .tif, ...) or its content"
    )


def _describe(folder: _Folder, counts: Sequence[tuple[str, int]], is_split: bool) -> str:
    """Say which folders are classes and splits."""
    shown = [f"{name} {count:,}" for name, count in counts[:MOST_NAMED]]
    more = f", ... ({len(counts):,} in all)" if len(counts) > MOST_NAMED else ""
    line = f"folders are classes: {', '.join(shown)}{more}"
    if folder.splits:
        named = [name if name == split else f"{split} ({one_line(name)})"
                 for name, split in folder.splits.items()]  # fmt: skip
        return f"{line}; and splits: {', '.join(named)}"
    return f"{line}; splits are the folders inside them" if is_split else line


def _passed_over(folder: _Folder, passed: "Counter[str]") -> list[str]:
    """Say what is read though its ending is unknown, and count what is not read."""
    images = set(folder.images)
    files = {path: path.relative_to(folder.root).parts in images for path in folder.walked.files}
    by_content = [path for path, is_read in files.items() if is_read and not has_image_suffix(path)]
    rest = [path for path, is_read in files.items() if not is_read]
    lines = []
    if by_content:
        lines.append(f"read by their content: {count_endings(by_content)}")
    phrases = [f"{counted(count, 'image')} {where}" for where, count in passed.items()]
    phrases += folder.walked.passed_over(folder.root)
    if rest:
        phrases.append(f"{len(rest):,} not images ({count_endings(rest)})")
    empty = [one_line(name) for name in folder.own if not any(parts[0] == name for parts in images)]
    if empty:
        phrases.append(f"folders without an image: {', '.join(empty)}")
    if phrases:
        lines.append(f"passed over in {one_line(folder.root.name)}: {'; '.join(phrases)}")
    return lines
