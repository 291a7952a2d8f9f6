"""`toolkit cache`: what the toolkit keeps to save computing it again, and what of it can go."""

import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit_common.cli.app import plugin_group
from toolkit_common.errors import InputError
from toolkit_common.printable import counted, placeless_id

if TYPE_CHECKING:
    from toolkit_common.features.inventory import Stored

UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
SHRUNK = "shrunk images"
AUDITS, VERDICTS = "audits", "verdicts of audits"  # toolkit_common.audit.records
KEY_SHOWN = 8  # of 32 digits: enough to name a store

app = typer.Typer(
    cls=plugin_group("cache"),  # which shows examples
    add_completion=False,
    no_args_is_help=True,
    help="List, check and remove what is kept to save computing it again: token stores.",
)

Patterns = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATTERN]...",
        help="Stores by key (its beginning), encoder or data: a part of it, or a pattern with * "
        "(any case).",
        show_default="all",
    ),
]
StoreDir = Annotated[
    Path | None,
    typer.Option(
        "--store-dir",
        help="Folder of token stores, as given to toolkit probe.",
        show_default="features in the cache",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass(frozen=True)
class Kept:
    """A file or folder that the cache holds beside token stores.

    Attributes:
        path: Where.
        kind: What it is, as far as it is known.
        num_bytes: On disk.
        made: When it was written last; seconds since 1970.
    """

    path: Path
    kind: str
    num_bytes: int
    made: float

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        values = {"path": str(self.path), "kind": self.kind, "num_bytes": self.num_bytes}
        return {**values, "made": round(self.made)}


@app.callback()
def _cache() -> None: ...


@app.command()
def ls(patterns: Patterns = None, *, store_dir: StoreDir = None, as_json: AsJson = False) -> None:
    """List token stores by encoder and data, with size, age and last use, and what else is there.

    Examples:
        toolkit cache ls
        toolkit cache ls dinov2 --json
    """
    from toolkit_common.features.planner import size

    stores = _select(_stores(store_dir), patterns or ())
    others = _others(store_dir) if not patterns else []
    if as_json:
        _print_json(
            {
                "folder": str(_root(store_dir)),
                "stores": [item.to_json() for item in stores],
                "others": [item.to_json() for item in others],
            }
        )
        return
    _print(f"cache: {_root(store_dir)} ({_why(store_dir)})")
    if stores:
        _print(_table(stores))
    total = sum(item.num_bytes for item in stores)
    count = counted(len(stores), "token store")
    _print(f"{count}, {size(total)}" if stores else "no token store")
    for other in others:
        _print(f"{other.kind}: {other.path}, {size(other.num_bytes)}, {age(other.made)} old")


@app.command()
def rm(
    patterns: Patterns = None,
    *,
    older_than: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="Only what was last used longer ago: 12h, 30d, 8w."),
    ] = None,
    store_dir: StoreDir = None,
    yes: Yes = False,
) -> None:
    """Remove token stores and shrunk images; never what a running process reads.

    What is removed is computed again when a run needs it.

    Examples:
        toolkit cache rm 6cf6b44f
        toolkit cache rm --older-than 30d --yes
        toolkit cache rm '*'
    """
    from toolkit_common.features.planner import size
    from toolkit_common.runs.locks import removing

    if not patterns and older_than is None:
        raise InputError(
            "name what is to go: a key, a part of an encoder's or data set's name, '*' for all, or "
            "--older-than 30d; toolkit cache ls lists what there is"
        )
    before = time.time() - (0 if older_than is None else parse_age(older_than))
    stores = [item for item in _select(_stores(store_dir), patterns or ()) if item.used <= before]
    shrunk = [
        item
        for item in _others(store_dir)
        if item.kind == SHRUNK and item.made <= before and _fits([item.path.name], patterns or ())
    ]
    freed = size(sum(item.num_bytes for item in stores) + sum(item.num_bytes for item in shrunk))
    if not stores and not shrunk:
        raise InputError("nothing in the cache fits: toolkit cache ls lists what there is")
    if busy := [item for item in stores if item.is_in_use]:
        raise InputError(
            f"store {busy[0].path.name[:KEY_SHOWN]} ({_named(busy[0])}) is in use by a running "
            "process: wait for it, or end it; nothing was removed"
        )
    for item in stores:
        _print(f"{item.path.name[:KEY_SHOWN]}  {size(item.num_bytes)}  {_named(item)}")
    for other in shrunk:
        _print(f"{SHRUNK}: {other.path.name}  {size(other.num_bytes)}")
    confirm(f"remove these, {freed}?", yes=yes)
    for item in stores:
        with removing(item.path):
            remove_folder(item.path)
    for other in shrunk:
        with removing(other.path.parent):
            other.path.unlink()
    _print(f"removed {len(stores) + len(shrunk)}, {freed}")


@app.command()
def verify(
    patterns: Patterns = None, *, store_dir: StoreDir = None, as_json: AsJson = False
) -> None:
    """Read every shard and compare it with its checksum; exits with code 1 if one is broken.

    Examples:
        toolkit cache verify
        toolkit cache verify 6cf6b44f
    """
    from toolkit_common.features.inventory import find_damage

    stores = _select(_stores(store_dir), patterns or ())
    found = []
    for item in stores:
        damage = list(find_damage(item))
        found.append({"store": item.path.name, "is_whole": item.is_whole, "damage": damage})
        if as_json:
            continue
        key = item.path.name[:KEY_SHOWN]
        for line in damage:
            _print(f"BROKEN  {key}  {_named(item)}: {line}")
        if not damage and not item.is_whole:
            _print(f"part    {key}  {_named(item)}: what is there is sound; a run goes on with it")
        elif not damage:
            _print(f"ok      {key}  {_named(item)}")
    broken = [item for item in found if item["damage"]]
    if as_json:
        _print_json(found)
    elif broken:
        keys = " ".join(str(item["store"])[:KEY_SHOWN] for item in broken)
        _print(f"{len(broken)} of {len(found)} are broken: toolkit cache rm {keys}")
    else:
        _print(f"{len(found)} of {len(found)} are sound")
    if broken:
        raise typer.Exit(1)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is removed.

    Raises:
        InputError: If nobody is there to be asked.
        Exit: If the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError(
            f"{question} There is no terminal to answer on: add --yes; nothing was removed"
        )
    if not typer.confirm(question):
        typer.echo("nothing was removed")
        raise typer.Exit


def remove_folder(folder: Path) -> None:
    """Remove a folder so that others see it whole or not at all."""
    # Renamed first: a run that looks for it meets no half of it.
    doomed = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    folder.rename(doomed)
    shutil.rmtree(doomed)


def age(since: float) -> str:
    """Return how long ago something was, in the largest unit that fits: `3 d`."""
    seconds = max(0.0, time.time() - since)
    for unit in ("d", "h", "min"):
        if seconds >= UNITS[unit]:
            return f"{seconds // UNITS[unit]:.0f} {unit}"
    return f"{seconds:.0f} s"


def parse_age(text: str) -> float:
    """Return the seconds of `12h`, `30d`, `8w`.

    Raises:
        InputError: If it is none such.
    """
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = text[len(number) :].strip()
    try:
        count = float(number)
    except ValueError:
        count = -1.0
    if unit not in UNITS or not 0 <= count < float("inf"):
        raise InputError(
            f"--older-than {text}: give a number and one of {', '.join(UNITS)}, such as 30d"
        )
    return count * UNITS[unit]


def _root(store_dir: Path | None) -> Path:
    from toolkit_common.runs.files import cache_folder

    return cache_folder() if store_dir is None else store_dir


def _why(store_dir: Path | None) -> str:
    if store_dir is not None:
        return "--store-dir"
    for name in ("TOOLKIT_CACHE", "XDG_CACHE_HOME"):
        if os.environ.get(name):
            return f"by ${name}"
    return "the system's place; $TOOLKIT_CACHE chooses another"


def _stores(store_dir: Path | None) -> "list[Stored]":
    from toolkit_common.features.inventory import list_stores

    return list_stores(_root(None) / "features" if store_dir is None else store_dir)


def _others(store_dir: Path | None) -> list[Kept]:
    """Return what the cache holds beside token stores."""
    from toolkit_common.features.inventory import is_store

    root = _root(store_dir)
    if not root.is_dir():
        return []
    folders = (root, root / "features", root / "images") if store_dir is None else (root,)
    known = {root / "features", root / "images"} if store_dir is None else set()
    found = []
    for folder in (folder for folder in folders if folder.is_dir()):
        for path in sorted(folder.iterdir()):
            if path in known or is_store(path) or path.name == ".in-use":
                continue
            is_shrunk = store_dir is None and folder.name == "images" and path.suffix == ".hdf5"
            kind = SHRUNK if is_shrunk else _kind(path)
            found.append(Kept(path, kind, _bytes(path), path.lstat().st_mtime))
    return found


def _kind(path: Path) -> str:
    if path.name.startswith(".") and path.name.endswith(".tmp"):
        return "left by a process that was killed, or is being written"
    return VERDICTS if path.name == AUDITS else "not of the toolkit"


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    return sum(item.lstat().st_size for item in files if item.is_symlink() or item.is_file())


def _select(stores: "Sequence[Stored]", patterns: Sequence[str]) -> "list[Stored]":
    return [
        item for item in stores if _fits([item.path.name, *item.backbones, *item.data], patterns)
    ]


def _fits(names: Sequence[str], patterns: Sequence[str]) -> bool:
    """Tell whether a name holds, or matches, one of the patterns; all do without any."""
    lowered = [name.lower() for name in names]
    wanted = [p.lower() if any(mark in p for mark in "*?[") else f"*{p.lower()}*" for p in patterns]
    return not wanted or any(fnmatchcase(name, pattern) for name in lowered for pattern in wanted)


def _named(item: "Stored") -> str:
    if not item.backbones:
        return "made before names were kept"
    return f"{', '.join(item.backbones)} on {', '.join(item.data)}"


def _table(stores: "Sequence[Stored]") -> Any:
    from toolkit_common.console import Ids, plain_table
    from toolkit_common.features.planner import size

    table = plain_table()
    table.add_column("store", no_wrap=True)
    table.add_column("encoder, data", overflow="fold")
    for heading in ("images", "size", "age", "used"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("state")
    for item in stores:
        ids = [placeless_id(name) for name in [*item.backbones, *item.data]]
        who = Ids(ids) if ids else _named(item)
        dtype = f"\n{item.spec['dtype']}" if "dtype" in item.spec else ""
        table.add_row(
            item.path.name[:KEY_SHOWN],
            who,
            f"{item.spec.get('num_images', '?')}{dtype}",
            size(item.num_bytes),
            age(item.made),
            age(item.used),
            item.state,
        )
    return table


def _print(what: Any) -> None:
    from toolkit_common.console import result_console

    # Names of the user's files may hold brackets.
    result_console(as_json=False).print(what, soft_wrap=isinstance(what, str), markup=False)


def _print_json(values: Any) -> None:
    typer.echo(json.dumps(values, indent=2))
