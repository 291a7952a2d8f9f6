"""Short names of rows and runs: in the fewest words that tell them apart where they stand."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from toolkit_common.ids import split_options
from toolkit_common.printable import placeless
from toolkit_probing.heads.inputs import NO_LAYER, WITH_METADATA, describe_place
from toolkit_probing.results.rows import Row

BETWEEN = " \u00b7 "
HEADINGS = {"knn": "k-NN", "ep": "EP"}  # as people write them


def short_names(rows: Sequence[Row]) -> list[str]:
    """Return a name for each row of a run: its method, and what tells it from others of that.

    Options, place and amount of labels stand in it only where they differ; where they do not tell
    rows apart, their full names do.
    """
    amounts = {row.labels for row in rows if not is_baseline(row)}
    named: dict[int, str] = {}
    for method in dict.fromkeys(row.method for row in rows):
        places = [at for at, row in enumerate(rows) if row.method == method]
        own = [_parts(rows[at]) for at in places]
        keys = list(dict.fromkeys(key for parts in own for key in parts))
        told = [key for key in keys if len({parts.get(key) for parts in own}) > 1]
        if len(amounts) > 1 and not is_baseline(rows[places[0]]):
            told = [*(key for key in told if key != "labels"), "labels"]
        for at, parts in zip(places, own, strict=True):
            named[at] = BETWEEN.join([method, *(parts[key] for key in told if key in parts)])
    names = [named[at] for at in range(len(rows))]
    return [
        name if names.count(name) == 1 else row.name for name, row in zip(names, rows, strict=True)
    ]


def method_heading(method: str) -> str:
    """Return what a method is called above its column."""
    return HEADINGS.get(method, method)


def is_baseline(row: Row) -> bool:
    """Whether a row reads no image."""
    return row.name.startswith("baseline-")


def source_of(row: Row) -> str:
    """Return what a row has read: extrapolated metadata are never shown as the true ones."""
    if "extrapolated" not in row.inputs:
        return row.source
    is_alone = row.layer == NO_LAYER
    return row.inputs if is_alone else row.source.replace(WITH_METADATA, "+extrapolated")


def run_names(runs: Sequence[tuple[Path, str]]) -> list[str]:
    """Return what tells runs apart: their encoder, else their folder, else what differs of it.

    Args:
        runs: Folder of each and its encoder, as it is called.
    """
    if len(runs) == 1:
        return [encoder_name(runs[0][1])]
    paths = [path for path, _ in runs]
    ways: Iterable[Callable[[Path, str], str]] = (
        lambda _, encoder: encoder_name(encoder),
        lambda path, _: path.name,
        lambda path, _: "/".join(part for part in path.parts if part not in _shared(paths)),
    )
    for way in ways:
        names = [way(*run) for run in runs]
        if len(set(names)) == len(runs):
            return names
    return [str(path) for path in paths]


def run_places(paths: Sequence[Path]) -> list[str]:
    """Return what folders of runs are called in a file: of absolute ones what tells them apart."""
    names = [placeless(str(path)) for path in paths]
    if len(set(names)) == len(names):
        return names
    return ["/".join(part for part in path.parts if part not in _shared(paths)) for path in paths]


def with_run(name: str, run: str, runs: Sequence[object]) -> str:
    """Return a row's name where rows of several runs stand together, else as it is."""
    return f"{name}{BETWEEN}{run}" if len(runs) > 1 else name


def reads_line(rows: Sequence[Row]) -> str:
    """Return what the methods read of the encoder, and where, as far as names do not say it."""
    layers = {row.layer for row in rows}
    places: dict[str, dict[str, None]] = {}
    for row in rows:
        own = {item.layer for item in rows if item.method == row.method}
        is_named = len(layers) == 1 or len(own) > 1
        source = re.sub(r"^all\b", "cls and patches", source_of(row))
        place = source if is_named else describe_place(row.layer, source)
        places.setdefault(place, {})[row.method] = None
    front = f"read at layer {min(layers)}" if len(layers) == 1 and layers != {NO_LAYER} else "read"
    if len(places) == 1:
        return f"{front}: {next(iter(places))}"
    by = "; ".join(f"{place} by {', '.join(methods)}" for place, methods in places.items())
    return f"{front}: {by}"


def encoder_name(text: str) -> str:
    """Return an encoder's short name, or its id without its source and where its files lie."""
    place = text.partition("?")[0]
    source, colon, name = place.partition(":")
    return name if colon and "/" not in source else Path(place).name or place


def short_data(identifier: str) -> str:
    """Return a data set's id without the folders that it lies in on this machine."""
    place = split_options(identifier)[0]
    source, colon, name = place.partition(":")
    return f"{source}:{name.rstrip('/').rpartition('/')[2] or name}" if colon else place


def _shared(paths: Sequence[Path]) -> set[str]:
    return set.intersection(*(set(path.parts) for path in paths))


def _parts(row: Row) -> dict[str, str]:
    # "num_queries" is "queries" where a number follows.
    options = {
        key: f"{key.removeprefix('num_').replace('_', ' ')} {_value(value)}"
        for key, value in row.options.items()
    }
    tune = {} if row.tune == "none" else {"tune": row.tune}
    layer = {} if row.layer == NO_LAYER else {"layer": f"layer {row.layer}"}
    hidden = f"{100 * row.hidden_metadata:g} % hidden"
    return {
        **options, **tune, "source": source_of(row), **layer, "labels": row.labels,
        "hidden": hidden,
    }  # fmt: skip


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "/".join(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
