"""Says what an extraction will cost before it begins, and where its tokens go.

`disk` keeps them for the next probe, `memory` for this run only, `online` keeps nothing and runs
the encoder again every epoch.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toolkit_common.errors import InputError
from toolkit_common.features.codec import StoreDtype
from toolkit_common.printable import counted

Place = Literal["disk", "memory", "online"]
PlaceChoice = Literal["auto", "disk", "memory", "online"]

SHARE_OF_FREE = 0.5  # of the free disk or memory that a plan may take unasked
GIB = 1 << 30


@dataclass(frozen=True)
class Plan:
    """Where tokens go and what it costs.

    Attributes:
        place: `disk`, `memory` or `online`.
        in_memory: Whether tokens are held in memory while training.
        num_bytes: Size of all tokens.
        reason: Why this place, for humans.
    """

    place: Place
    in_memory: bool
    num_bytes: int
    reason: str


def plan_extraction(
    num_bytes: int,
    *,
    choice: PlaceChoice = "auto",
    folder: Path,
    num_processes: int = 1,
    written: int = 0,
    free_memory: int | None = None,
    free_disk: int | None = None,
) -> Plan:
    """Choose where the tokens go.

    Args:
        num_bytes: Size of all tokens.
        choice: What the user requested.
        folder: Where stores lie.
        num_processes: Several processes share tokens through the disk.
        written: Bytes of theirs on the disk, of a pass that was cut short: they were free before.
        free_memory: Bytes; those of the system by default.
        free_disk: Bytes; those of the system by default.
    """
    memory = int(SHARE_OF_FREE * (available_memory() if free_memory is None else free_memory))
    free_disk = _available_disk(folder) if free_disk is None else free_disk
    disk = int(SHARE_OF_FREE * (free_disk + written))
    # Each process copies the tokens into a memory of its own; the disk they share.
    fits_memory, fits_disk = num_bytes * num_processes <= memory, num_bytes <= disk
    # What the user requests is done, whether it fits or not.
    if choice == "disk":
        return Plan("disk", fits_memory, num_bytes, "requested")
    # Of several processes each would hold all: they share the disk instead.
    if choice == "memory" and num_processes == 1:
        return Plan("memory", True, num_bytes, "requested")
    if choice == "online":
        return Plan("online", False, 0, "requested")
    # Disk before memory: only there does it serve the next run.
    if fits_disk:
        reason = f"fits {size(disk)}, half of the free disk, and serves the next probe"
        return Plan("disk", fits_memory, num_bytes, reason)
    if fits_memory and num_processes == 1:
        reason = f"fits {size(memory)}, half of the free memory, but not half of the free disk"
        return Plan("memory", True, num_bytes, reason)
    reason = f"{size(num_bytes)} fit neither {size(disk)} of disk nor {size(memory)} of memory"
    return Plan("online", False, 0, reason)


def refuse_no_room(
    place: Place,
    num_bytes: int,
    *,
    folder: Path,
    written: int = 0,
    free: int | None = None,
) -> None:
    """Refuse tokens for which there is no room, before the encoder runs for them.

    Args:
        place: Where they are to go.
        num_bytes: Size of all of them.
        folder: Where stores lie.
        written: As of `plan_extraction`.
        free: Bytes that the place has; those of the system by default.

    Raises:
        InputError: If so.
    """
    if place == "online":
        return
    on_disk = place == "disk"
    if free is None:
        free = _available_disk(folder) if on_disk else available_memory()
    missing = num_bytes - (written if on_disk else 0)
    if missing > free:
        where = f"the disk of {folder}" if on_disk else "memory"
        others = "another --store-dir, --store memory" if on_disk else "--store disk"
        raise InputError(
            f"tokens of {size(missing)} do not fit {where}, which has {size(free)} free: free "
            f"some, or choose {others} or online, or --store-dtype int8"
        )


def price_places(
    plan: Plan, num_bytes: int, *, seconds: float, online_seconds: float, folder: Path
) -> list[str]:
    """Return what each place would cost, a line each, the chosen one marked.

    Args:
        plan: What was chosen.
        num_bytes: Size of all tokens.
        seconds: Of the extraction.
        online_seconds: Of the encoder over a whole run that keeps nothing.
        folder: Where stores lie.
    """
    kept, once = size(num_bytes), f"encoder runs {duration(seconds)}"
    prices = {
        "disk": f"{kept} of {size(_available_disk(folder))} free, {once}, serves later probes",
        "memory": f"{kept} of {size(available_memory())} free, {once}, serves this run",
        "online": f"keeps nothing, encoder runs {duration(online_seconds)}",
    }
    return [
        f"  {'->' if place == plan.place else '  '} {place:<6}  {price}"
        for place, price in prices.items()
    ]


def price_dtypes(
    sizes: Mapping[StoreDtype, int], chosen: StoreDtype, *, folder: Path, num_processes: int = 1
) -> str:
    """Return in one line what tokens would take in each dtype, and which to choose if one fits.

    Args:
        sizes: Bytes of all tokens by dtype, the best first.
        chosen: The dtype of the plan.
        folder: Where stores lie.
        num_processes: As of `plan_extraction`.
    """
    plans = {
        dtype: plan_extraction(num_bytes, folder=folder, num_processes=num_processes)
        for dtype, num_bytes in sizes.items()
    }
    prices = [f"{dtype} {size(sizes[dtype])} {_fit(plan)}" for dtype, plan in plans.items()]
    line = f"  as {', '.join(prices)}"
    fitting = [dtype for dtype, plan in plans.items() if plan.place != "online"]
    if chosen in fitting or not fitting:
        return line
    return f"{line}: --store-dtype {fitting[0]} keeps them"


def price_views(missing: int, views: int, *, num_bytes: int, seconds: float) -> str:
    """Return in one line what several stored crops of the training images cost together.

    Args:
        missing: How many are still to be extracted.
        views: How many there are to be.
        num_bytes: Size of one.
        seconds: Of the extraction of one.
    """
    stored = f" ({views - missing} of {views} are stored)" if missing < views else ""
    crops = counted(missing, "crop")
    return (
        f"features: {crops} of every training image{stored} = {missing} x {size(num_bytes)} = "
        f"{size(missing * num_bytes)}, about {missing} x {duration(seconds)} = "
        f"{duration(missing * seconds)} to extract (change with --views, --store-dtype)"
    )


def available_memory() -> int:
    """Return the bytes of memory that can be had without swapping."""
    import psutil

    return int(psutil.virtual_memory().available)


def size(num_bytes: float) -> str:
    """Format a number of bytes for humans."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if num_bytes < 999.5:  # from there on three digits would become 1e+03
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.3g} TiB"


def duration(seconds: float) -> str:
    """Format seconds for humans."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _fit(plan: Plan) -> str:
    """Say where tokens fit."""
    if plan.place == "disk":
        return "fits disk and memory" if plan.in_memory else "fits the disk"
    return "fits memory" if plan.place == "memory" else "fits neither disk nor memory"


def _available_disk(folder: Path) -> int:
    # The cache may not be made yet, and the system tells of existing paths alone.
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
