"""Which token stores lie in a folder: of whose features, how large, when last read, whether whole.

A store's key is a hash, so every run that reads or makes one notes beside its shards whose tokens
they are (`names.json`); nothing else depends on that file.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit_common.features.shards import SHARDS, checksum, shard_checksum
from toolkit_common.features.store import INDEX, LAYOUT, read_index
from toolkit_common.runs.files import read_json, write_json
from toolkit_common.runs.locks import is_shared, share_folder

NAMES = "names.json"


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A token store.

    Attributes:
        path: Its folder, named after its key.
        backbones: Ids of the encoder, as runs have named it; none where none was noted.
        data: Ids of the data sets whose images it holds, as runs have named them.
        spec: What determines its contents; empty while it is unfinished.
        num_bytes: On disk.
        made: When it was finished, or begun; seconds since 1970.
        used: When a run last opened it.
        is_whole: Whether its last file is there.
        is_in_use: Whether a process is reading or making it.
    """

    path: Path
    backbones: tuple[str, ...]
    data: tuple[str, ...]
    spec: dict[str, Any]
    num_bytes: int
    made: float
    used: float
    is_whole: bool
    is_in_use: bool

    @property
    def state(self) -> str:
        """In a word or two."""
        whole = "whole" if self.is_whole else "unfinished"
        return f"{whole}, in use" if self.is_in_use else whole

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "store": self.path.name,
            "path": str(self.path),
            "backbones": list(self.backbones),
            "data": list(self.data),
            "num_images": self.spec.get("num_images"),
            "layers": self.spec.get("layers"),
            "dtype": self.spec.get("dtype"),
            "num_bytes": self.num_bytes,
            "made": round(self.made),
            "used": round(self.used),
            "is_whole": self.is_whole,
            "is_in_use": self.is_in_use,
        }


def open_for_use(folder: Path, *, backbone: str, data: str) -> None:
    """Keep a store from being removed while this process lives, and note whose tokens it holds.

    Raises:
        InputError: If it is being removed.
    """
    share_folder(folder)
    try:
        known = _names(folder)
        names = {
            "backbones": sorted({*_texts(known.get("backbones")), backbone}),
            "data": sorted({*_texts(known.get("data")), data}),
            "used": time.time(),
        }
        write_json(folder / NAMES, names)
    except OSError:  # a cache that is shared, and ours to read alone
        return


def list_stores(root: Path) -> list[Stored]:
    """Return the token stores in a folder, the last used first."""
    folders = [path for path in root.iterdir() if is_store(path)] if root.is_dir() else []
    return sorted(map(_look_at, folders), key=lambda item: -item.used)


def is_store(folder: Path) -> bool:
    """Tell whether a folder is a token store, finished or not."""
    return folder.is_dir() and (folder / LAYOUT).is_file()


def find_damage(stored: Stored) -> Iterator[str]:
    """Yield what is wrong with a store: shards that are gone, or not as they were written."""
    listed: dict[str, str] = {}
    if stored.is_whole:
        try:
            listed = dict(read_index(stored.path).shards)
        except (OSError, ValueError) as error:
            yield f"{INDEX} cannot be read ({type(error).__name__})"
            return
    else:
        for path in sorted(stored.path.glob(SHARDS)):
            own = shard_checksum(path)
            if own is not None:  # else it was cut short, and is written again
                listed[path.name] = own
    for name, expected in listed.items():
        path = stored.path / name
        if not path.is_file():
            yield f"{name} is gone"
        elif checksum(path) != expected:
            yield f"{name} is not as it was written (its checksum differs)"


def _look_at(folder: Path) -> Stored:
    index, names = _read(folder / INDEX), _names(folder)
    is_whole, used = (folder / INDEX).is_file(), names.get("used")
    made = (folder / (INDEX if is_whole else LAYOUT)).stat().st_mtime
    spec = index.get("spec", {})
    return Stored(
        path=folder,
        backbones=_texts(names.get("backbones")),
        data=_texts(names.get("data")),
        spec=spec if isinstance(spec, dict) else {},
        num_bytes=sum(item.stat().st_size for item in folder.rglob("*") if item.is_file()),
        made=made,
        used=max(made, used if isinstance(used, float) else made),  # noted before it is finished
        is_whole=is_whole,
        is_in_use=is_shared(folder),
    )


def _texts(values: Any) -> tuple[str, ...]:
    listed = values if isinstance(values, list) else ()
    return tuple(value for value in listed if isinstance(value, str))


def _names(folder: Path) -> dict[str, Any]:
    return _read(folder / NAMES)


def _read(path: Path) -> dict[str, Any]:
    """Return a file's values, none where it is absent or damaged."""
    try:
        values = read_json(path)
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
