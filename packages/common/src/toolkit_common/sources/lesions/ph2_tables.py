"""The two tables of PH2, text between pipes and a spreadsheet under a preamble, as one form.

Columns: `image_id`, `diagnosis`, `histological_diagnosis`, the criteria with the codes of both
files (`0`, `T`, `AT`, ...), and `colors`, names joined by `;`.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from toolkit_common.data.sheet import ANSWER_SEPARATOR
from toolkit_common.data.tables import MISSING
from toolkit_common.errors import InputError

DIAGNOSES = ("common nevus", "atypical nevus", "melanoma")  # 0, 1, 2 in the text
COLORS = ("white", "red", "light-brown", "dark-brown", "blue-gray", "black")  # 1 to 6 in the text
CRITERIA = {  # header of both files -> column
    "asymmetry": "asymmetry",
    "pigment network": "pigment_network",
    "dots/globules": "dots_globules",
    "streaks": "streaks",
    "regression areas": "regression_areas",
    "blue-whitish veil": "blue_whitish_veil",
}
CODES = {  # column -> what its cells may be, besides empty (docs/datasets.md)
    "asymmetry": ("0", "1", "2"),
    "pigment_network": ("T", "AT"),
    "dots_globules": ("A", "T", "AT"),
    "streaks": ("A", "P"),
    "regression_areas": ("A", "P"),
    "blue_whitish_veil": ("A", "P"),
}
HISTOLOGY = "histological diagnosis"
MARK = "X"  # in a cell of the spreadsheet: this one
COLUMNS = ("image_id", "diagnosis", "histological_diagnosis", *CRITERIA.values(), "colors")

Cells = Sequence[str | None]


def read_text_table(path: Path) -> pd.DataFrame:
    """Read `PH2_dataset.txt`: lines that start with a pipe; all others are legends.

    Raises:
        InputError: If it is not UTF-8, has no such table, or a line of it does not fit.
    """
    try:
        # Not splitlines(): it breaks at characters that may stand within a cell.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text: save it as UTF-8") from None
    rows = {
        number: [_known(cell) for cell in line.strip().split("|")]
        for number, line in enumerate(lines, start=1)
        if line.lstrip().startswith("|")
    }
    header = _take_header(rows, "name", ("clinical diagnosis", "colors"), path=path)
    records = []
    for number, cells in rows.items():
        where = f"{path}: line {number}"
        record = _pair(header, cells, where)
        code, colors = record["clinical diagnosis"], record["colors"] or ""
        records.append({
            **_common(record, "name", where),
            "diagnosis": _decode(code, DIAGNOSES, 0, f"{where}: clinical diagnosis"),
            "colors": [_decode(item, COLORS, 1, f"{where}: color")
                       for item in re.split(r"[\s,;]+", colors) if item],
        })  # fmt: skip
    return _frame(records)


def read_spreadsheet(path: Path) -> pd.DataFrame:
    """Read `PH2_dataset.xlsx`: the rows that have a name, under the one that says `Image Name`.

    Raises:
        InputError: If it is no spreadsheet, has no such table, or a row of it does not fit.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of styles that openpyxl does not know
            found = pd.read_excel(path, header=None, dtype=object, engine="openpyxl")
    except Exception as error:  # zip, zlib, XML and openpyxl raise many kinds on damaged files
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path} cannot be read as a spreadsheet: {reason}") from None
    rows = {
        number: [_known(cell) for cell in row]
        for number, row in enumerate(found.itertuples(index=False), start=1)
    }
    header = _take_header(rows, "image name", (*DIAGNOSES, *COLORS), path=path)
    records = []
    for number, cells in rows.items():
        where = f"{path}: row {number}"
        record = _pair(header, cells, where)
        if record["image name"] is None:
            continue
        marked = [name for name in DIAGNOSES if _is_marked(record[name])]
        if len(marked) != 1:
            told = " and ".join(marked) or "none"
            raise InputError(f"{where}: one diagnosis must be marked with {MARK}, got {told}")
        records.append({
            **_common(record, "image name", where),
            "diagnosis": marked[0],
            "colors": [name for name in COLORS if _is_marked(record[name])],
        })  # fmt: skip
    return _frame(records)


def _known(cell: object) -> str | None:
    """A cell's text without the space around it, None if it is empty; 2.0 is 2."""
    if cell is None or cell != cell:
        return None
    text = f"{cell:g}" if isinstance(cell, float) else " ".join(str(cell).split())
    return None if text in MISSING else text


def _take_header(
    rows: dict[int, list[str | None]], key: str, others: tuple[str, ...], *, path: Path
) -> list[str]:
    """Remove all up to the header from `rows`; return its names, lower case, without `(A/P)`."""
    for number in list(rows):
        names = [re.sub(r"\(.*\)", "", cell or "").strip().lower() for cell in rows.pop(number)]
        if key in names:
            missing = [name for name in (HISTOLOGY, *CRITERIA, *others) if name not in names]
            if missing:
                raise InputError(f"{path} has no column {', '.join(map(repr, missing))}")
            return names
    raise InputError(f"{path} holds no table: expected a header with {key!r}")


def _pair(header: Sequence[str], cells: Cells, where: str) -> dict[str, str | None]:
    if len(cells) != len(header):
        raise InputError(f"{where} has {len(cells)} cells, the header has {len(header)}")
    return dict(zip(header, cells, strict=True))


def _common(record: Mapping[str, str | None], key: str, where: str) -> dict[str, object]:
    if record[key] is None:
        raise InputError(f"{where} has no name")
    criteria = {column: record[name] for name, column in CRITERIA.items()}
    for name, column in CRITERIA.items():
        if criteria[column] not in (None, *CODES[column]):
            raise InputError(
                f"{where}: {name} {criteria[column]!r} is none of {', '.join(CODES[column])}"
            )
    return {"image_id": record[key], "histological_diagnosis": record[HISTOLOGY], **criteria}


def _decode(code: str | None, names: Sequence[str], first: int, where: str) -> str:
    known = {str(number): name for number, name in enumerate(names, start=first)}
    if code not in known:
        raise InputError(f"{where} {code!r} is none of {', '.join(known)}")
    return known[code]


def _is_marked(cell: str | None) -> bool:
    return cell is not None and cell.upper() == MARK


def _frame(records: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    frame = pd.DataFrame(records, columns=list(COLUMNS), dtype=object)
    # Colours stand in one order in both files.
    frame["colors"] = [
        ANSWER_SEPARATOR.join(name for name in COLORS if name in colors) or None
        for colors in frame["colors"]
    ]
    return frame
