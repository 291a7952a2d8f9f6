"""Walks a folder for images: links are followed, and nothing is passed over uncounted.

An image is known by the ending of its name, or by its first bytes where the ending says nothing.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from toolkit_common.errors import InputError
from toolkit_common.foreign.values import is_endless
from toolkit_common.outside import reason_of
from toolkit_common.printable import one_line

IMAGE_SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".j2k", ".jpf", ".jpx", ".jpc", ".png", ".apng",
    ".bmp", ".dib", ".tif", ".tiff", ".webp", ".avif", ".avifs", ".gif", ".ppm", ".pgm", ".pbm",
    ".pnm", ".pfm", ".tga",
))  # fmt: skip
# Formats whose first bytes are unmistakable: what has another ending, or none, is known by them.
BY_CONTENT = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP")
# All that is decoded, in the order in which Pillow asks who knows a file: pixels alone, nothing
# that starts another program (EPS: Ghostscript) or draws from instructions.
FORMATS = ("BMP", "DIB", "GIF", "JPEG", "PPM", "PNG", "AVIF", "JPEG2000", "MPO", "TGA", "TIFF",
           "WEBP")  # fmt: skip
MOST_ENDINGS = 4  # in a message


@dataclass
class Walked:
    """What lies below a folder; links to folders are followed, each once on a way down.

    Attributes:
        files: Files, in the order of their paths.
        hidden: Names that begin with a dot; hidden folders are not entered.
        dangling: Links that lead nowhere.
        loops: Links to a folder that they lie in.
        others: Pipes, sockets and devices.
        nameless: Files whose names are no UTF-8 text, which no table can hold.
    """

    files: list[Path] = field(default_factory=list)
    hidden: list[Path] = field(default_factory=list)
    dangling: list[Path] = field(default_factory=list)
    loops: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    nameless: list[Path] = field(default_factory=list)

    def passed_over(self, root: Path) -> list[str]:
        """Count all but the files, a phrase a kind; of hidden names those that end as images do."""
        kinds = (
            (self.dangling, "dangling link", "dangling links"),
            (self.loops, "link into a folder that it lies in", "links into folders they lie in"),
            (self.others, "pipe, socket or device", "pipes, sockets or devices"),
            (self.nameless, "file whose name is no UTF-8 text", "files whose names are no UTF-8"),
            ([path for path in self.hidden if has_image_suffix(path)],
             "hidden image", "hidden images"),
        )  # fmt: skip
        return [count_paths(paths, one, many, root=root) for paths, one, many in kinds if paths]


def walk(root: Path) -> Walked:
    """List what lies below a folder.

    Raises:
        InputError: If a folder cannot be read.
    """
    walked = Walked()
    _enter(root, (), walked)
    return walked


def list_folder(folder: Path) -> list["os.DirEntry[str]"]:
    """Return what lies in a folder, in the order of names.

    Raises:
        InputError: If it cannot be read.
    """
    try:
        return sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {reason_of(error)}") from error


def find_files(root: Path) -> list[Path]:
    """Return the files below a folder but hidden ones, in the order of their paths.

    None where there is no such folder.
    """
    return walk(root).files if root.is_dir() else []


def has_image_suffix(path: Path) -> bool:
    """Whether a file's name ends as those of images do."""
    return path.suffix.lower() in IMAGE_SUFFIXES


@cache
def known_formats() -> tuple[str, ...]:
    """Return the formats that are decoded, as far as this Pillow was built with them."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def is_image(path: Path) -> bool:
    """Whether a file is an image: by its ending, else by its first bytes."""
    if has_image_suffix(path):
        return True
    try:
        if is_endless(path):
            return False
        with Image.open(path, formats=[name for name in BY_CONTENT if name in known_formats()]):
            return True
    # Whatever a decoder says of bytes that were never meant for it.
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return False


def count_paths(paths: Sequence[Path], one: str, many: str, *, root: Path) -> str:
    """Return `2 dangling links (first: a/b.jpg)`."""
    first = one_line(str(paths[0].relative_to(root)))
    return f"{len(paths):,} {one if len(paths) == 1 else many} (first: {first})"


def count_endings(paths: Sequence[Path]) -> str:
    """Return `.txt 3, .csv 1`, the most frequent first."""
    counts = Counter(one_line(path.suffix.lower()) or "no ending" for path in paths).most_common()
    shown = [f"{ending} {count:,}" for ending, count in counts[:MOST_ENDINGS]]
    return ", ".join(shown + (["..."] if len(counts) > MOST_ENDINGS else []))


def _enter(folder: Path, above: tuple[tuple[int, int], ...], walked: Walked) -> None:
    entries, status = list_folder(folder), folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        walked.loops.append(folder)
        return
    for entry in entries:
        path = folder / entry.name
        kind = _kind(entry)
        if kind == "folder":
            _enter(path, (*above, here), walked)
        else:
            getattr(walked, kind).append(path)


def _kind(entry: "os.DirEntry[str]") -> str:
    """Return the list of `Walked` that an entry belongs to, or `folder`."""
    if entry.name.startswith("."):
        return "hidden"
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            is_text = entry.name.encode(errors="ignore").decode() == entry.name
            return "files" if is_text else "nameless"
        entry.stat()  # of what a link leads to
    except OSError:  # a link to nothing, or to itself
        return "dangling"
    return "others"
