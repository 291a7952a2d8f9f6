"""What may be said in public of how an encoder was trained.

A list of what is kept, not of what goes: a key that a later version adds stays at home until
somebody has thought about it. Kept are methods, readers of data, licences, sources, counts and
settings of closed kinds. Ids, hashes, paths, names of columns and values of tables are not.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolkit_common.backbones.named.licences import UNKNOWN, weights_licence
from toolkit_common.ids import split_options
from toolkit_common.printable import shortened

PUBLISHED = re.compile(r"random|(timm|open_clip):(hf-hub:)?[A-Za-z0-9_][A-Za-z0-9_./@-]*")
DATA = re.compile(r"[a-z0-9-]+(:[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?)?")  # a reader, or `hf:ORG/NAME`
WORD = re.compile(r"[a-z0-9_.+-]{1,40}")
# Where something lies on a machine, whose last name may be a person's: all of it goes. Addresses of
# the web stay, as does `and/or`. Names with spaces are told within quotes, by a shell's `\ `, and
# where the word after the space goes on with a slash.
QUOTES = r"""'"\u00ab\u00bb\u2018-\u201f"""
PART = rf"[^\s,;|<>()\[\]{{}}{QUOTES}]"
ROOT = r"(?:[\w.-]+@[\w.-]+:|~[\w.-]*|\$\w+|\.{1,2}|[A-Za-z]:)?[/\\]"
PLACED = re.compile(
    rf"(?P<address>https?://{PART}+)|(?<=[{QUOTES}])(?:[\w.+-]+:)?{ROOT}[^{QUOTES}]+(?=[{QUOTES}])"
    rf"|[\w.+-]+://{PART}*|file:{PART}+"
    rf"|(?<![\w/\\]){ROOT}(?:\\ |{PART})+(?: \w[\w.-]*[/\\]{PART}*)*"
)
CUT, MOST = "[...]", 10_000  # characters of a text, of which 200 are shown
PUBLIC = ("hf", "torchvision")  # sources of data that everybody finds under their name
A_FILE = "weights of a file"
COUNTED = {"images": "train_images", "patients": "train_patients", "groups": "train_groups"}


@dataclass(frozen=True)
class Generation:
    """One training among those behind an encoder.

    Attributes:
        method: How it was trained.
        data: The reader of its data, and a public name where the data have one.
        data_licence: Of the data.
        data_source: Who made them.
        start: Its first weights.
        start_licence: Of those.
        steps: Updates; None where it is not said.
        train: What learned.
    """

    method: str
    data: str
    data_licence: str
    data_source: str
    start: str
    start_licence: str
    steps: int | None
    train: str


def generations(provenance: Mapping[str, Any]) -> list[Generation]:
    """Return the trainings behind an encoder, the oldest first."""
    lineage = provenance.get("lineage", ())
    steps = [step for step in lineage if isinstance(step, Mapping)]
    listed = [_generation(step) for step in [*steps, provenance]]
    # The first weights of each later one are those of the one before it.
    return [listed[0], *(_continued(item) for item in listed[1:])]


def public_provenance(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a provenance may be published, in the form in which exports are read."""
    *before, own = [_described(item) for item in generations(provenance)]
    return {
        **own,
        "protocol": public_protocol(provenance),
        "counts": _counts(provenance),
        "lineage": before,
    }


def public_protocol(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a training that are numbers, switches, or words of a closed list."""
    given = provenance.get("protocol")
    if isinstance(given, Mapping):
        return {str(key): value for key, value in given.items() if _is_plain(value, words=True)}
    # Of exports of before, of which nobody has said which words are of a closed list.
    settings = provenance.get("settings")
    listed = settings.items() if isinstance(settings, Mapping) else ()
    return {str(key): value for key, value in listed if _is_plain(value, words=False)}


def licences(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return the licence of everything that an encoder was made of: weights, then data."""
    listed: dict[str, str] = {}
    for number, item in enumerate(generations(provenance)):
        if number == 0:
            listed[f"first weights ({item.start})"] = item.start_licence
        listed[f"data of training {number + 1} ({item.data})"] = item.data_licence
    return listed


def sources(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return who made the data of each training, as it will be read; of what is known."""
    return {
        f"data of training {number + 1} ({item.data})": item.data_source
        for number, item in enumerate(generations(provenance))
        if item.data_source != UNKNOWN
    }


def public_data(identifier: str) -> str:
    """Return a data set's id without the place where it lies and what was chosen of it."""
    place = split_options(identifier)[0]
    source, _, name = place.partition(":")
    # Others than the Hub's and torchvision's name a place; a reader that is not plain is a place.
    name = place if source in PUBLIC and not Path(name).exists() else source
    return name if DATA.fullmatch(name) else "own"


def cut_places(text: str) -> str:
    """Return a text in which what lies somewhere on a machine is `[...]`."""
    return PLACED.sub(lambda match: match["address"] or CUT, text[:MOST])


def _generation(step: Mapping[str, Any]) -> Generation:
    start, data = _text(step, "start"), _text(step, "data")
    is_published = PUBLISHED.fullmatch(split_options(start)[0]) and "weights=" not in start
    said = _text(step, "start_licence")
    steps = step.get("steps")
    return Generation(
        method=_text(step, "method"),
        data=public_data(data),
        data_licence=_text(step, "data_licence"),
        data_source=_text(step, "data_source"),
        start=split_options(start)[0] if is_published else A_FILE,
        start_licence=weights_licence(start) if said == UNKNOWN and is_published else said,
        steps=steps if isinstance(steps, int) else None,
        train=_text(step, "train"),
    )


def _continued(item: Generation) -> Generation:
    return replace(item, start="the training before", start_licence="as above")


def _described(item: Generation) -> dict[str, Any]:
    """Return a training as exports have it, without what is not known."""
    return {key: value for key, value in vars(item).items() if value not in (UNKNOWN, None, "")}


def _counts(provenance: Mapping[str, Any]) -> dict[str, int]:
    """Return how many images and people the last training has seen."""
    try:
        counts = provenance["seen"]["records"][-1]["counts"]
        return {name: int(counts[kind]) for kind, name in COUNTED.items() if kind in counts}
    except (KeyError, IndexError, TypeError, ValueError):
        return {}


def _text(step: Mapping[str, Any], key: str) -> str:
    """Return a text as it stands within a line, `unknown` where there is none."""
    value = step.get(key)
    if not isinstance(value, str) or not value.strip():
        return UNKNOWN
    return shortened(cut_places(value))


def _is_plain(value: Any, *, words: bool) -> bool:
    is_word = words and isinstance(value, str) and WORD.fullmatch(value) is not None
    return is_word or isinstance(value, (bool, int, float))
