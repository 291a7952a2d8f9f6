"""From a data set's id to its maker; the folder appears whole or not at all."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from toolkit_common.errors import InputError
from toolkit_common.registry import lookup
from toolkit_common.runs.files import atomic_folder, refuse_unwritable
from toolkit_common.sources.lesions.folder import SYNTHETIC
from toolkit_common.synthetic import (
    derm7pt,
    fitzpatrick17k,
    ham10000,
    isic_challenges,
    isic_exports,
    pad_ufes_20,
    ph2,
    slice_3d,
)
from toolkit_common.synthetic.cohort import Order

Maker = Callable[[Path, Order], None]


def _export(name: str) -> tuple[Maker, tuple[str, ...]]:
    export = isic_exports.EXPORTS[name]
    return partial(isic_exports.make_export, export), tuple(export.layouts)


MAKERS: dict[str, tuple[Maker, tuple[str, ...]]] = {  # the default layout first
    "bcn20000": _export("bcn20000"),
    "derm7pt": (derm7pt.make_derm7pt, tuple(derm7pt.LAYOUTS)),
    "fitzpatrick17k": (fitzpatrick17k.make_fitzpatrick17k, fitzpatrick17k.LAYOUTS),
    "ham10000": (ham10000.make_ham10000, tuple(ham10000.LAYOUTS)),
    "hiba": _export("hiba"),
    "isic": _export("isic"),
    "isic-2018": (isic_challenges.make_isic_2018, isic_challenges.LAYOUTS["isic-2018"]),
    "isic-2019": (isic_challenges.make_isic_2019, isic_challenges.LAYOUTS["isic-2019"]),
    "isic-2020": (isic_challenges.make_isic_2020, isic_challenges.LAYOUTS["isic-2020"]),
    "milk10k": (isic_challenges.make_milk10k, isic_challenges.LAYOUTS["milk10k"]),
    "pad-ufes-20": (pad_ufes_20.make_pad_ufes_20, tuple(pad_ufes_20.LAYOUTS)),
    "ph2": (ph2.make_ph2, tuple(ph2.LAYOUTS)),
    "slice-3d": (slice_3d.make_slice_3d, slice_3d.LAYOUTS),
}
POOLED = ("slice-3d",)  # so large that rows share pictures
FEWEST_ROWS = 10  # and pictures
POOL = 2000  # distinct pictures: up to so many rows share none
TEXT = """# Synthetic data

Written by `toolkit data make {name} --rows {rows} --seed {seed} --layout {layout}`.
No person, lesion or photograph is behind it: pictures are drawn from the numbers beside them, and
shares of classes are not those of the real data set. Figures on it say nothing about medicine.
"""


def make_data(
    name: str, out: Path, *, rows: int, seed: int, layout: str | None, pool: int | None
) -> Order:
    """Write a synthetic data set in the layout of a real one.

    The first layout is the default, and `pool` the number of pictures where rows share them.

    Raises:
        InputError: If the folder exists, or id, layout or numbers are out of range.
    """
    make, layouts = lookup(MAKERS, name, kind="synthetic data set")
    chosen = layout or layouts[0]
    if chosen not in layouts:
        raise InputError(f"layout of {name!r} must be one of {', '.join(layouts)}, got {chosen!r}")
    for option, count in (("rows", rows), ("pool", pool)):
        if count is not None and count < FEWEST_ROWS:
            raise InputError(f"{option} must be at least {FEWEST_ROWS}, got {count}")
    if pool is not None and name not in POOLED:
        raise InputError(
            f"pool is for {', '.join(POOLED)} alone, got {pool}: every image of {name!r} has a "
            "picture of its own"
        )
    if seed < 0:
        raise InputError(f"seed must not be negative, got {seed}")
    if out.exists():
        raise InputError(f"{out} exists: name a new folder")
    refuse_unwritable(out, option="the folder")
    order = Order(rows, seed, chosen, pool or POOL)
    text = TEXT.format(name=name, rows=rows, seed=seed, layout=chosen)
    with atomic_folder(out) as temporary:
        make(temporary, order)
        (temporary / SYNTHETIC).write_text(text, encoding="utf-8")
    return order
