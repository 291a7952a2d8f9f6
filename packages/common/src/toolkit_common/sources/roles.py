"""Which column of a user's own table is what: as the user says, else by its name, which is printed.

A column called patient or lesion id is the group, as images of one person are no independent
evidence of one another.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from toolkit_common.data.tables import require_columns

ROLES = ("image", "split", "image_id", "group", "patient", "lesion")
NONE = "none"  # as in ?group=none
IMAGES = (
    "image", "path", "file", "filename", "file_name", "filepath", "file_path", "image_path",
    "image_file", "image_name", "img", "img_id", "image_id", "isic_id",
)  # fmt: skip
LABELS = (
    "label", "labels", "diagnosis", "diagnostic", "dx", "class", "target", "malignant",
    "benign_malignant", "category",
)  # fmt: skip
ID = "_?(id|no|nr|num|number|code|key)"
OWNERS = {
    "patient": re.compile(f"(patient|patienten|paciente|subject|participant|person)({ID})?"),
    "lesion": re.compile(f"lesion{ID}"),
}


@dataclass(frozen=True)
class Roles:
    """Which column of a table is what.

    Attributes:
        columns: Role -> column.
        labels: Columns that are labels, the default first.
        whole_labels: Those that every row must have: one that is given, or is called so.
        chosen: What was taken by its name alone, in words.
    """

    columns: Mapping[str, str]
    labels: tuple[str, ...]
    whole_labels: tuple[str, ...]
    chosen: tuple[str, ...]


def choose_roles(frame: pd.DataFrame, options: Mapping[str, str], *, path: Path) -> Roles:
    """Return the columns of each role.

    Args:
        frame: The table.
        options: Role -> column, as the user gave it; `group` may be `none`.
        path: The table's file, for messages.

    Raises:
        InputError: If a given column is not there, or no column holds images.
    """
    given = {role: options[role] for role in (*ROLES, "label") if role in options}
    columns = {role: name for role, name in given.items() if name != NONE and role != "label"}
    require_columns(frame, tuple(name for name in given.values() if name != NONE), path=path)
    # Of two columns that differ in case alone the first.
    names = {plain_name(name): str(name) for name in reversed(list(frame.columns))}
    chosen = []
    for role in ("image", "split", "image_id", "group"):
        candidates = IMAGES if role == "image" else (role,)
        name = next((names[item] for item in candidates if item in names), None)
        if role not in given and name is not None:
            columns[role] = name
            chosen += [] if name == role else [f"{role} {name!r}"]
    if "image" not in columns:
        require_columns(frame, ("image",), path=path)
    columns, owner = _add_owners(columns, given, names)
    labels, label = _choose_labels(columns, given, names)
    whole = tuple(name for name in labels if name == given.get("label", "label"))
    return Roles(columns, labels, whole, (*chosen, *owner, *label))


def _add_owners(
    columns: Mapping[str, str], given: Mapping[str, str], names: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Add the patient's and the lesion's column, and the group where there is none."""
    owners = {role: columns[role] for role in OWNERS if role in columns}
    for role, pattern in OWNERS.items():
        own = next((names[item] for item in names if pattern.fullmatch(item)), None)
        taken = [columns.get(other) for other in ("image", "image_id", "split")]
        if role not in given and own is not None and own not in taken:
            owners[role] = own
    added = {**columns, **owners}
    if "group" in given or "group" in columns or not owners:
        return added, []
    owner = next(role for role in OWNERS if role in owners)
    return {**added, "group": owners[owner]}, [
        f"group {owners[owner]!r} (a {owner}'s images stay together; ?group=COLUMN or {NONE})"
    ]


def _choose_labels(
    columns: Mapping[str, str], given: Mapping[str, str], names: Mapping[str, str]
) -> tuple[tuple[str, ...], list[str]]:
    """Return all columns that are called as labels are: none of them is ever an input."""
    own = [names[item] for item in LABELS if item in names and names[item] not in columns.values()]
    labels = tuple(dict.fromkeys([*(given[role] for role in ("label",) if role in given), *own]))
    if "label" in given or labels in ((), ("label",)):
        return labels, []
    others = [f"{item!r}" for item in labels[1:]]
    beside = f" (others, no input either: {', '.join(others)})" if others else ""
    return labels, [f"label {labels[0]!r}{beside}"]


def plain_name(name: str) -> str:
    """Return `Patient ID` and `PatientID` as `patient_id`."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(name))
    return re.sub(r"[\s\-.]+", "_", apart).lower()
