"""What a path that is no data set's id most likely means: the id that reads it."""

from pathlib import Path

from toolkit_common.errors import InputError
from toolkit_common.registry import did_you_mean

TABLES = (".csv", ".tsv", ".tab", ".txt", ".xlsx", ".parquet")
# A file that only the folder of a source holds -> the source.
MARKS = {
    "train-metadata.csv": "slice-3d",
    "HAM10000_metadata.csv": "ham10000",
    "HAM10000_metadata": "ham10000",
    "HAM10000_metadata.tab": "ham10000",
    "PH2_dataset.txt": "ph2",
    "PH2_dataset.xlsx": "ph2",
    "meta/meta.csv": "derm7pt",
    "release_v0/meta/meta.csv": "derm7pt",
    "SupplementaryData.csv": "hiba",
    "dataset_dict.json": "hf",
    "dataset_info.json": "hf",
}
COLUMNS = {"biopsed": "pad-ufes-20", "isic_id": "isic"}  # of metadata.csv


def unknown_source(place: str, sources: tuple[str, ...]) -> InputError:
    """Return the error about an id whose source is unknown: it may be a path without one.

    Args:
        place: The id without its options.
        sources: Those that there are.
    """
    better = suggest_id(place)
    if better is not None:
        kind = "folder" if Path(place).expanduser().is_dir() else "file"
        return InputError(f"{place!r} is a {kind}, not the id of a data set: write {better}")
    source = place.partition(":")[0]
    absent = "; no file or folder is called so" if "/" in place or "." in place else ""
    return InputError(f"unknown data set {source!r}{absent}{did_you_mean(source, sources)}")


def refuse_other_kind(source: str, place: str) -> None:
    """Refuse a folder where a table is read, and the other way around.

    Raises:
        InputError: If it is so; the message names the id that reads it.
    """
    path = Path(place).expanduser()
    is_wrong = path.is_dir() if source == "csv" else source == "imagefolder" and path.is_file()
    if is_wrong:
        better = suggest_id(place)
        hint = f": write {better}" if better else ""
        raise InputError(
            f"{source} reads a {'file' if path.is_dir() else 'folder'}, and {place} is a "
            f"{'folder' if path.is_dir() else 'file'}{hint}"
        )


def suggest_id(place: str) -> str | None:
    """Return the id that reads a place on disk; None where there is nothing, or nobody knows."""
    path = Path(place).expanduser()
    if path.is_file():
        return f"csv:{place}" if path.suffix.lower() in TABLES else None
    if not place or not path.is_dir():  # an empty path is this folder
        return None
    for name, source in MARKS.items():
        if (path / name).exists():
            return f"{source}:{place}"
    names = _header(path / "metadata.csv")
    for column, source in COLUMNS.items():
        if column in names:
            return f"{source}:{place}"
    own = sorted(path.iterdir())
    if any(item.suffix == ".parquet" for item in own):
        return f"hf:{place}"
    # Images beside a table, or below it, are those of its rows.
    tables = [item.name for item in own if item.suffix.lower() in (".csv", ".tsv")]
    return f"csv:{place.rstrip('/')}/{tables[0]}" if len(tables) == 1 else f"imagefolder:{place}"


def _header(path: Path) -> list[str]:
    """Return the columns of a table, none where it is not there."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return [name.strip(' "\n') for name in file.readline().split(",")]
