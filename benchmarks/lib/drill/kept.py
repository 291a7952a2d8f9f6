"""What a command has left, but for when and where: two runs of one command leave the same."""

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import safe_open

TIMES = {  # what tells of a moment, a duration or a place, in results and logs
    "time", "seconds", "started", "lesions_per_s", "data_wait", "was_cached", "place", "cost",
    "took", "wall_s", "peak_memory", "relative_error",
}  # fmt: skip
PASSED_OVER = {  # files that say when and where, or are pictures of what others say
    "log.txt", "run.json", "DONE", "manifest.json", "summary.md", "report.html", "names.json",
    "config.yaml", ".lock", ".in-use",
}  # fmt: skip


def contents(place: Path) -> dict[str, str]:
    """Return what each file of a folder holds, or a file alone, as a hash by name."""
    if place.is_file():
        return {place.suffix: _digest(place, place)}
    files = (path for path in sorted(place.rglob("*")) if path.is_file())
    return {
        path.relative_to(place).as_posix(): _digest(path, place)
        for path in files
        if path.name not in PASSED_OVER
        and path.suffix != ".log"
        and "checkpoints" not in path.relative_to(place).parts
    }


def leftovers(place: Path) -> list[Path]:
    """Return files that were begun and have neither been finished nor removed."""
    return sorted(place.rglob(".*.tmp")) if place.is_dir() else []


def _digest(path: Path, place: Path) -> str:
    digest = hashlib.sha256()
    for part in _parts(path):
        digest.update(part.replace(str(place.parent).encode(), b""))
    return digest.hexdigest()


def _parts(path: Path) -> Iterator[bytes]:
    if path.suffix == ".safetensors":
        yield from _tensors(path)
    elif path.suffix == ".json":
        yield _plain(json.loads(path.read_text(encoding="utf-8")))
    elif path.suffix == ".jsonl":
        for line in path.read_text(encoding="utf-8").splitlines():
            yield _plain(json.loads(line))
    elif path.suffix == ".parquet":
        import pandas as pd

        yield pd.read_parquet(path).to_csv().encode()
    else:
        yield path.read_bytes()


def _tensors(path: Path) -> Iterator[bytes]:
    with safe_open(path, framework="numpy") as file:
        yield json.dumps(file.metadata(), sort_keys=True).encode()
        for name in sorted(file.keys()):
            tensor = file.get_tensor(name)
            yield f"{name} {tensor.dtype} {tensor.shape}".encode()
            yield tensor.tobytes()


def _plain(value: Any) -> bytes:
    return json.dumps(_timeless(value), sort_keys=True).encode()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _timeless(item)
            for key, item in value.items()
            if key not in TIMES and not key.endswith(("_s", "_seconds"))
        }
    if isinstance(value, list):
        return [_timeless(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
