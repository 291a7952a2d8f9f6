"""PH2: 200 dermoscopic images of common nevi, atypical nevi and melanomas, with masks.

Source: Mendonca et al., EMBC 2013, doi 10.1109/EMBC.2013.6610779. Layout: `PH2_dataset.txt` (text
between pipes) or `PH2_dataset.xlsx` (a spreadsheet under a preamble), the text read where both are
there, unless it is the short one of public copies; images in `PH2 Dataset
images/IMD003/IMD003_Dermoscopic_Image/IMD003.bmp`, masks beside them. No age, sex, site or patient:
the test case for extrapolated metadata. `?criteria=inputs`: see `folder.py`. Traps:
docs/datasets.md.
"""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from toolkit_common.data.cells import MISSING
from toolkit_common.data.dataset import ImageData
from toolkit_common.data.sheet import ANSWER_SEPARATOR, Column, Sheet
from toolkit_common.errors import InputError
from toolkit_common.extras import require
from toolkit_common.outside import is_of_machine, reason_of
from toolkit_common.sources.lesions.build import malignancy
from toolkit_common.sources.lesions.folder import (
    CRITERIA_OPTION,
    add_images,
    find_images,
    finish,
    missing_table,
    place_criteria,
    read_request,
)

TEXT, SPREADSHEET = "PH2_dataset.txt", "PH2_dataset.xlsx"
COPY = "PH2_simple_dataset.csv"  # of a public copy
DIAGNOSES = ("common nevus", "atypical nevus", "melanoma")
COLORS = ("white", "red", "light-brown", "dark-brown", "blue-gray", "black")
DIAGNOSIS_CODES = {str(code): name for code, name in enumerate(DIAGNOSES)}  # of the text
COLOR_CODES = {str(code): name for code, name in enumerate(COLORS, start=1)}
CRITERIA = {  # header of both files -> what its cells may be, besides empty (docs/datasets.md)
    "asymmetry": ("0", "1", "2"),
    "pigment network": ("T", "AT"),
    "dots/globules": ("A", "T", "AT"),
    "streaks": ("A", "P"),
    "regression areas": ("A", "P"),
    "blue-whitish veil": ("A", "P"),
}
HISTOLOGY = "histological diagnosis"
MARK = "X"  # in a cell of the spreadsheet: this one
CRITERIA_COLUMNS = (
    *(Column(re.sub(r"\W", "_", name), "lesion", "categorical") for name in CRITERIA),
    Column("colors", "lesion", "multi"),
)
COLUMNS = ("image_id", "diagnosis", "histological_diagnosis",
           *(column.name for column in CRITERIA_COLUMNS))  # fmt: skip
PUBLISHED = Sheet(
    title="PH2",
    source="Mendonca et al., PH2 - a dermoscopic image database for research and benchmarking, "
    "EMBC 2013, doi 10.1109/EMBC.2013.6610779, www.fc.up.pt/addi/ph2 database.html",
    licence="research and education, see the Readme of the download",
    labels=("diagnosis", "malignant"),
    counts={"images": 200, "common nevus": 80, "atypical nevus": 80, "melanoma": 40},
    classes={name: name for name in DIAGNOSES},
    binary=malignancy({"melanoma"}),
    leaks={"histological_diagnosis": "filled where the lesion was cut out: it tells the diagnosis"},
)
SHEET = place_criteria(PUBLISHED, CRITERIA_COLUMNS)

Cells = Sequence[str | None]


def load_ph2(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Read either table and the images, never the masks.

    Raises:
        InputError: If the table or images are missing, a row does not fit, or an option is unknown.
    """
    request = read_request(identifier, name, options, own=CRITERIA_OPTION)
    text, spreadsheet = request.root / TEXT, request.root / SPREADSHEET
    if not text.is_file() and not spreadsheet.is_file():
        copy = request.root / COPY
        if copy.is_file():
            raise InputError(
                f"{copy} is a copy with names and diagnoses alone: write csv:{copy}, or put {TEXT} "
                f"or {SPREADSHEET} beside it"
            )
        raise missing_table(request, f"{TEXT} or {SPREADSHEET}", SHEET)
    frame, path, choices = _read_either(text, spreadsheet)
    frame["lesion_id"] = frame["image_id"]
    places = find_images(request.root, frame["image_id"])
    hint = f"unpack 'PH2 Dataset images' into {request.root}"
    frame, notes = add_images(frame, places, request, hint=hint)
    sheet = place_criteria(PUBLISHED, CRITERIA_COLUMNS, request)
    data = finish(frame, sheet, request, path=path, notes=notes)
    return replace(data, choices=choices)


def _read_either(text: Path, spreadsheet: Path) -> tuple[pd.DataFrame, Path, tuple[str, ...]]:
    """Read the text, or the spreadsheet where the text is not there or not the published one."""
    if not text.is_file():
        return read_spreadsheet(spreadsheet), spreadsheet, ()
    try:
        return read_text_table(text), text, ()
    except InputError as error:
        # Copies circulate whose text has names and diagnoses alone, beside the whole spreadsheet.
        if not spreadsheet.is_file():
            raise InputError(
                f"{error}; put {SPREADSHEET}, which has all columns, beside it"
            ) from None
        line = f"{spreadsheet.name} is read, as {text.name} is not the published table ({error})"
        return read_spreadsheet(spreadsheet), spreadsheet, (line,)


def read_text_table(path: Path) -> pd.DataFrame:
    """Read `PH2_dataset.txt`: lines that start with a pipe; all others are legends.

    Returns:
        A row an image, as `read_spreadsheet` gives it: `image_id`, `diagnosis`,
        `histological_diagnosis`, the criteria with the codes of both files (`0`, `T`, `AT`, ...),
        and `colors`, names joined by `;`.

    Raises:
        InputError: If it is not UTF-8, has no such table, or a line of it does not fit.
    """
    try:
        # Not splitlines(): it breaks at characters that may stand within a cell.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text: save it as UTF-8") from None
    rows = {
        f"{path}: line {number}": [_known(cell) for cell in line.strip().split("|")]
        for number, line in enumerate(lines, start=1)
        if line.lstrip().startswith("|")
    }
    records = []
    for where, row in _records(rows, ("name", "clinical diagnosis", "colors"), path):
        codes = re.split(r"[\s,;]+", row["colors"] or "")
        colors = [_decode(code, COLOR_CODES, f"{where}: color") for code in codes if code]
        place = f"{where}: clinical diagnosis"
        diagnosis = _decode(row["clinical diagnosis"], DIAGNOSIS_CODES, place)
        records.append(_record(row, where, key="name", diagnosis=diagnosis, colors=colors))
    return pd.DataFrame(records, columns=list(COLUMNS), dtype=object)


def read_spreadsheet(path: Path) -> pd.DataFrame:
    """Read `PH2_dataset.xlsx`: the rows that have a name, under the one that says `Image Name`.

    Raises:
        InputError: If it is no spreadsheet, has no such table, or a row of it does not fit.
    """
    require("openpyxl", extra="lesions", purpose=f"reading {path.name}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of styles that openpyxl does not know
            sheet = pd.read_excel(path, header=None, dtype=object, engine="openpyxl")
    except Exception as error:  # zip, zlib, XML and openpyxl raise many kinds on damaged files
        if is_of_machine(error):
            raise
        raise InputError(f"{path} cannot be read as a spreadsheet: {reason_of(error)}") from None
    rows = {
        f"{path}: row {number}": [_known(cell) for cell in row]
        for number, row in enumerate(sheet.itertuples(index=False), start=1)
    }
    records = []
    for where, row in _records(rows, ("image name", *DIAGNOSES, *COLORS), path):
        if row["image name"] is None:
            continue
        marked = [name for name, cell in row.items() if (cell or "").upper() == MARK]
        diagnoses = [name for name in DIAGNOSES if name in marked]
        if len(diagnoses) != 1:
            got = " and ".join(diagnoses) or "none"
            raise InputError(f"{where}: one diagnosis must be marked with {MARK}, got {got}")
        answer = diagnoses[0]
        records.append(_record(row, where, key="image name", diagnosis=answer, colors=marked))
    return pd.DataFrame(records, columns=list(COLUMNS), dtype=object)


def _known(cell: object) -> str | None:
    """A cell's text without the space around it, None if it is empty; 2.0 is 2."""
    if cell is None or cell != cell:
        return None
    text = f"{cell:g}" if isinstance(cell, float) else " ".join(str(cell).split())
    return None if text in MISSING else text


def _records(
    rows: Mapping[str, Cells], expected: Sequence[str], path: Path
) -> Iterator[tuple[str, dict[str, str | None]]]:
    """Yield place and cells of the rows under the header, whose first expected name is the key."""
    header: list[str] = []
    for where, cells in rows.items():
        if not header:
            # Headers explain their codes in brackets.
            names = [re.sub(r"\(.*\)", "", cell or "").strip().lower() for cell in cells]
            header = names if expected[0] in names else []
            # Once the key was found: legends above it are no header.
            missing = [name for name in (HISTOLOGY, *CRITERIA, *expected[1:]) if name not in names]
            if header and missing:
                raise InputError(f"{path} has no column {', '.join(map(repr, missing))}")
        elif len(cells) != len(header):
            raise InputError(f"{where} has {len(cells)} cells, the header has {len(header)}")
        else:
            yield where, dict(zip(header, cells, strict=True))
    if not header:
        raise InputError(f"{path} holds no table: expected a header with {expected[0]!r}")


def _record(
    row: Mapping[str, str | None], where: str, *, key: str, diagnosis: str, colors: list[str]
) -> dict[str, str | None]:
    if row[key] is None:
        raise InputError(f"{where} has no name")
    for criterion, codes in CRITERIA.items():
        if row[criterion] not in (None, *codes):
            raise InputError(f"{where}: {criterion} {row[criterion]!r} is none of "
                             f"{', '.join(codes)}")  # fmt: skip
    # Colours stand in one order in both files.
    joined = ANSWER_SEPARATOR.join(color for color in COLORS if color in colors) or None
    criteria = [row[criterion] for criterion in CRITERIA]
    return dict(zip(COLUMNS, [row[key], diagnosis, row[HISTOLOGY], *criteria, joined], strict=True))


def _decode(code: str | None, names: Mapping[str, str], where: str) -> str:
    if code is None or code not in names:
        raise InputError(f"{where} {code!r} is none of {', '.join(names)}")
    return names[code]
