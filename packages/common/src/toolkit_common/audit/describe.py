"""What `toolkit data describe` shows: rows, groups, labels, missing values, notes, examples."""

from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from rich.table import Table

from toolkit_common.console import PrintableConsole
from toolkit_common.data.dataset import SPLITS, ImageData, Labels
from toolkit_common.data.labels import describe_label_map, label_map
from toolkit_common.data.sheet import Sheet
from toolkit_common.data.splits import make_splits
from toolkit_common.errors import InputError
from toolkit_common.images.open import BadImageError, open_image

TILE = 112  # pixels
MARGIN = 4
HEADING = 16
PER_CLASS = 8
MAX_CLASSES = 20
NO_LABEL = "without label"


def describe_data(data: ImageData) -> dict[str, Any]:
    """Return what is known about a data set, JSON-able."""
    table, sheet = data.table, data.sheet
    described: dict[str, Any] = {
        "id": data.id,
        "title": sheet.title,
        "source": sheet.source,
        "doi": sheet.doi,
        "licence": sheet.licence,
        "images": len(data),
        "choices": list(data.choices),
        "notes": list(sheet.notes),
        "labels": {name: _counts(data, name) for name in sheet.labels if name in table},
        "label_problems": _label_problems(data),
        "unread": dict(sheet.unread),
        "label_map": label_map(table, sheet),
        **({sheet.binary.either_name: sorted(sheet.binary.either)} if sheet.binary.name else {}),
        "columns": _columns(data),
    }
    sizes = list(table["group"].value_counts()) if data.groups is not None else []
    if sizes:  # rows without group are a problem of the splits
        described["groups"] = {
            "count": len(sizes),
            "images_per_group": {"median": float(np.median(sizes)), "max": int(max(sizes))},
        }
        described["grouped_by"] = _grouped_by(data)
    if {"patient_id", "lesion_id"} <= set(table):
        described["patients"] = _patients(data)
    try:
        splits = make_splits(data)
        described["splits"] = {name: len(splits[name]) for name in SPLITS}
        described["splits"]["origin"] = splits.origin
    except InputError as error:
        described["splits"] = {"problem": str(error)}
    return described


def _columns(data: ImageData) -> dict[str, dict[str, Any]]:
    """Return what is known of each metadata column."""
    columns = (column for column in data.sheet.columns if column.name in data.table)
    return {
        column.name: {
            "level": column.level,
            "kind": column.kind,
            "unit": column.unit,
            "missing": float(data.table[column.name].isna().mean()),
            "distinct": int(data.table[column.name].nunique()),
        }
        for column in columns
    }


def _grouped_by(data: ImageData) -> str | None:
    """Return the key that the groups are of, None where it is no column of the rows."""
    groups = data.table["group"]
    keys = (key for key in ("patient_id", "lesion_id") if key in data.table)
    return next((key for key in keys if data.table[key].equals(groups)), None)


def _patients(data: ImageData) -> dict[str, Any]:
    """Patients, lesions, and how many patients have how many lesions; lesions without id apart."""
    known = data.table.dropna(subset=["patient_id", "lesion_id"])
    lesions = known.groupby("patient_id")["lesion_id"].nunique()
    spread = lesions.value_counts().sort_index()
    return {
        "count": int(data.table["patient_id"].nunique()),
        "lesions": int(known[["patient_id", "lesion_id"]].drop_duplicates().shape[0]),
        "images_without_lesion_id": int(data.table["lesion_id"].isna().sum()),
        "patients_by_lesions": {str(lesion): int(count) for lesion, count in spread.items()},
    }


def _counts(data: ImageData, name: str) -> dict[str, int]:
    """Images of each class, the most frequent first; `None` for rows without."""
    names = getattr(data.rows.features[name], "names", None)
    values = data.table[name].map(dict(enumerate(names)) if names else str, na_action="ignore")
    counts = values.astype(object).where(values.notna(), None).value_counts(dropna=False)
    return {str(value): int(count) for value, count in counts.items()}


def _label_problems(data: ImageData) -> list[str]:
    """Return why labels cannot be predicted."""
    problems = []
    for name in (item for item in data.sheet.labels if item in data.table):
        try:
            data.labels(name)
        except InputError as error:
            problems.append(str(error))
    return problems


def _describe_groups(groups: dict[str, Any], key: str | None) -> str:
    sizes = groups["images_per_group"]
    each = f"median {sizes['median']:g}, at most {sizes['max']:,} images each"
    name = {"patient_id": " by patient", "lesion_id": " by lesion"}.get(key or "", "")
    return f" in {groups['count']:,} groups{name} ({each})"


def print_description(described: dict[str, Any], sheet: Sheet) -> None:
    """Print a data set's description for humans."""
    # Words of the user's files are no markup, whatever brackets and colons they hold.
    out = PrintableConsole(highlight=False, markup=False, emoji=False)
    out.print(f"{described['title']} ({described['id']}), licence {described['licence']}")
    if described["source"]:
        doi = f", doi {described['doi']}" if described["doi"] else ""
        out.print(f"{described['source']}{doi}", soft_wrap=True)
    groups = described.get("groups")
    grouped = _describe_groups(groups, described["grouped_by"]) if groups else ""
    out.print(f"{described['images']:,} images{grouped}")
    patients = described.get("patients")
    if patients:
        spread = ", ".join(
            f"{count:,} with {lesions}"
            for lesions, count in patients["patients_by_lesions"].items()
        )
        out.print(
            f"{patients['count']:,} patients, {patients['lesions']:,} lesions (patients: {spread})",
            soft_wrap=True,
        )
    splits = ", ".join(f"{name} {value}" for name, value in described["splits"].items())
    out.print(f"splits: {splits}", soft_wrap=True)
    for name, counts in described["labels"].items():
        shown = [f"{value} {count:,}" for value, count in counts.items()][:MAX_CLASSES]
        more = f" and {len(counts) - MAX_CLASSES} more" if len(counts) > MAX_CLASSES else ""
        out.print(f"label {name}: {', '.join(shown)}{more}", soft_wrap=True)
    for problem in described["label_problems"]:
        out.print(f"no label to predict: {problem}", soft_wrap=True)
    if described["label_map"]:
        line = describe_label_map(described["label_map"], sheet.binary)
        out.print(line, soft_wrap=True)
    if described["columns"]:
        table = Table("column", "level", "kind", "missing", "distinct")
        for name, facts in described["columns"].items():
            missing = f"{facts['missing']:.1%}"
            table.add_row(name, facts["level"], facts["kind"], missing, str(facts["distinct"]))
        out.print(table)
    for note in described["notes"]:
        out.print(f"note: {note}", soft_wrap=True)


def draw_contact_sheet(
    data: ImageData, labels: Labels | None, *, per_class: int = PER_CLASS, seed: int = 0
) -> Image.Image:
    """Draw random images of each class, of different groups where there are enough.

    The first `MAX_CLASSES` are shown; without labels all images make one row.
    """
    if labels is None:
        labels = Labels("", (NO_LABEL,), np.zeros(len(data), np.int64))
    classes = labels.classes[:MAX_CLASSES]
    height = HEADING + TILE + MARGIN
    size = (per_class * (TILE + MARGIN) + MARGIN, len(classes) * height + MARGIN)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for code, name in enumerate(classes):
        rows = np.flatnonzero(labels.targets == code)
        top = code * height + MARGIN
        draw.text((MARGIN, top), f"{name}: {len(rows):,} images", fill="black")
        for at, row in enumerate(_choose(rows, data.groups, per_class, seed=seed)):
            place = (MARGIN + at * (TILE + MARGIN), top + HEADING)
            sheet.paste(_tile(data, int(row)), place)
    return sheet


def _choose(rows: np.ndarray, groups: np.ndarray | None, count: int, *, seed: int) -> np.ndarray:
    mixed = np.random.default_rng(seed).permutation(rows)
    if groups is None:
        return mixed[:count]
    # One of each group first: images of one patient say little new.
    first = np.sort(np.unique(groups[mixed].astype(str), return_index=True)[1])
    others = np.setdiff1d(np.arange(len(mixed)), first)
    return mixed[np.concatenate([first, others])[:count]]


def _tile(data: ImageData, row: int) -> Image.Image:
    """Return an image whole, shrunk or enlarged into a square; a broken one is gray."""
    tile = Image.new("RGB", (TILE, TILE), "gray")
    try:
        image = open_image(data.images[row]["image"])
    except BadImageError:
        return tile
    scale = TILE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    tile.paste(image.resize((width, height)), ((TILE - width) // 2, (TILE - height) // 2))
    return tile
