"""Finds the images that a table names: as it writes them, else by their names below its folder."""

from pathlib import Path

import pandas as pd

from toolkit_common.images.walk import has_image_suffix
from toolkit_common.sources.lesions.folder import find_images


def with_slashes(cell: str) -> str:
    r"""Return a path as it is written here: `images\a.jpg` of Windows is `images/a.jpg`."""
    return cell.replace("\\", "/")


def find_places(cells: "pd.Series[str]", folder: Path) -> tuple["pd.Series[str]", list[str]]:
    """Return where the images are, and what was found otherwise than written.

    A cell is a path (relative to the table, or absolute), or the name of an image anywhere below
    the table's folder, with an ending or without, as ids of archives are. What is nowhere keeps
    the path that its cell gives: reading it names the file.

    Args:
        cells: Images as the table names them.
        folder: The table's.

    Raises:
        InputError: If two different pictures below the folder have the name of one cell.
    """
    written = {cell: folder / with_slashes(cell) for cell in cells.unique()}
    names = {cell: _name(path) for cell, path in written.items() if not path.is_file()}
    below = find_images(folder, names.values()) if names else {}
    found = {cell: below[name] for cell, name in names.items() if name in below}
    places = cells.map({cell: str(path) for cell, path in {**written, **found}.items()})
    if not found:
        return places, []
    cell, path = next(iter(found.items()))
    return places, [
        f"{len(found):,} of {len(written):,} images are found by their names (first: {cell} is "
        f"{path.relative_to(folder)})"
    ]


def _name(path: Path) -> str:
    return path.stem if has_image_suffix(path) else path.name
