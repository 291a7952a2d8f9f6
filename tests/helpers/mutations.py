"""Files as nobody wrote them: cut, with bytes changed, with values of other kinds, bounded.

A mutation is a function of content and draws, so that hypothesis and `tests/fuzz.py` share it.
"""

import json
import re
from collections.abc import Callable
from io import BytesIO
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from toolkit_common.errors import InputError

TOKENS = [b'"', b"{", b"[", b"]", b"}", b",", b":", b"\x00", b"\xff", b"\n", b"1e999", b"NaN",
          b"-1", b"null", b"true", b"9" * 5000, b"[" * 3000, b"\x1b[31m", b"../../x", b"&a *a",
          b"!!int ''", b"\xed\xa0\x80", b"=", b"?", b"~nobody/"]  # fmt: skip
# What is read may name itself: readers' folders, from where they are read.
FOLDERS = ["exported:slimp/encoder", "exported:slimp", "exported:.", "slimp/encoder", "probe", "."]
VALUES: list[Any] = [None, True, -1, 0, 10**30, 1e308, 0.5, "", "x" * 500, "../x", "a\nb\x1b[31m",
                     [], {}, [[]], {"a": 1}, [None], "\x00", "~nobody/x", 3, [3], "\ud800",
                     "9" * 5000, 1e-300, 5e-324, 1e300, -0.0, 10**400, -(10**4000), *FOLDERS,
                     ]  # fmt: skip
NUMBERS = [-1, 2**62, 0.5, float("nan"), 1e308, 1e300, 1e-300, -0.0]  # of a column
FIELD = re.compile(rb"[^\s,:;=?&\[\]{}\"']+")  # of YAML, of CSV, of an id, of an assignment
WORDS = [b"1e-300", b"1e300", b"-0.0", b"-1", b"0", b"9" * 400, b"-" + b"9" * 4400, b".inf", b"nan",
         b"~", b"null", b"true", b"''", b"[1, 2]", b"{a: 1}", b"2001-01-01", b"0x1f", b"1_000",
         *(name.encode() for name in FOLDERS)]  # fmt: skip
KEYS = ["x", "", "__class__", "a.b", "\x1b[31m"]
LONGEST = 1500  # characters of a message: several values, each cut, and a path
ENDS = 400  # bytes at both ends of a file, where formats say what the rest is
Mutation = Callable[[bytes, Random], bytes]


def change_bytes(content: bytes, draws: Random) -> bytes:
    """Return a file with a few bytes changed, cut out or put in."""
    out = bytearray(content)
    for _ in range(draws.randint(1, 3)):
        at = draws.randint(0, max(len(out) - 1, 0))
        if draws.random() < 0.5:
            at = draws.choice([min(at % ENDS, at), max(len(out) - 1 - at % ENDS, 0)])
        kind = draws.choice(["flip", "flip", "cut", "insert", "insert", "end"])
        if kind == "flip" and out:
            out[at] = draws.randint(0, 255)
        elif kind == "cut":
            del out[at : at + draws.randint(1, 20)]
        elif kind == "insert":
            out[at:at] = draws.choice(TOKENS)
        else:
            del out[at:]
    return bytes(out)


def change_json(content: bytes, draws: Random) -> bytes:
    """Return a JSON file in which a value somewhere is another, gone, or there twice."""
    values = json.loads(content)
    place: Any = values
    while keys := list(place) if isinstance(place, dict) else list(range(len(place))):
        key = draws.choice(keys)
        if isinstance(place[key], (dict, list)) and place[key] and draws.random() < 0.7:
            place = place[key]
            continue
        kind = draws.choice(["change", "change", "remove", "add"])
        if kind == "change":
            place[key] = draws.choice(VALUES)
        elif kind == "remove":
            del place[key]
        elif isinstance(place, dict):
            place[draws.choice(KEYS)] = place[key]
        else:
            place.append(place[key])
        break
    return json.dumps(values).encode()


def change_fields(content: bytes, draws: Random) -> bytes:
    """Return a text in which a field or two are others."""
    out = content
    for _ in range(draws.randint(1, 2)):
        if fields := list(FIELD.finditer(out)):
            start, end = draws.choice(fields).span()
            out = out[:start] + draws.choice(WORDS) + out[end:]
    return out


def change_header(content: bytes, draws: Random) -> bytes:
    """Return a safetensors file whose header says something else of the same tensors."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    facts = header.get("__metadata__", {})
    described = [name for name, text in facts.items() if text[:1] in "{["]
    if described and draws.random() < 0.5:  # JSON within JSON
        name = draws.choice(described)
        facts[name] = change_json(facts[name].encode(), draws).decode()
        changed = json.dumps(header).encode()
    else:
        changed = change_json(content[8:end], draws)
    return len(changed).to_bytes(8, "little") + changed + content[end:]


def change_columns(content: bytes, draws: Random) -> bytes:
    """Return a parquet file of which a column is gone, another's, empty or of other values."""
    table = pq.read_table(BytesIO(content))
    at = draws.randrange(table.num_columns)
    name, count = table.column_names[at], table.num_rows
    kind = draws.choice(["drop", "rename", "null", "words", "values", "rows", "metadata"])
    others: dict[str, list[Any]] = {
        "null": [None] * count,
        "words": ["\x1b[31m\nx"] * count,
        "values": [draws.choice(NUMBERS)] * count,
    }
    if kind == "drop":
        table = table.drop_columns([name])
    elif kind == "rename":
        names = [*table.column_names]
        names[at] = draws.choice(["x", "", "\x1b", *names])
        table = table.rename_columns(names)
    elif kind == "rows":
        table = table.slice(0, draws.randrange(count)) if count else table
    elif kind == "metadata":
        told = {
            key: draws.choice([change_json, change_bytes])(value, draws)
            for key, value in (table.schema.metadata or {}).items()
            if value[:1] == b"{"
        }
        table = table.replace_schema_metadata(told)
    else:
        table = table.set_column(at, name, pa.array(others[kind]))
    file = BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def change(content: bytes, draws: Random) -> bytes:
    """Return a file changed: its bytes, or what stands in it where its format is known."""
    known: Mutation | None = None
    if content[:1] in (b"{", b"["):
        known = change_json
    elif content[:4] == b"PAR1":
        known = change_columns
    elif content[8:9] == b"{":
        known = change_header
    elif _is_text(content):
        known = change_fields
    return (known if known and draws.random() < 0.5 else change_bytes)(content, draws)


def _is_text(content: bytes) -> bool:
    try:
        return "\0" not in content.decode()
    except UnicodeDecodeError:
        return False


def mutated(content: bytes) -> st.SearchStrategy[bytes]:
    """Return mutations of a file: of its bytes, and of what stands in it."""
    return st.randoms(use_true_random=False).map(lambda draws: change(content, draws))


def mutated_bytes(content: bytes) -> st.SearchStrategy[bytes]:
    """Return mutations of a file's bytes alone."""
    return st.randoms(use_true_random=False).map(lambda draws: change_bytes(content, draws))


def check_message(text: str) -> None:
    """Assert that a message is one line that no terminal acts on, and not without end."""
    assert "\n" not in text, text[:LONGEST]
    assert "\x1b" not in text, text[:LONGEST]
    assert len(text) < LONGEST, text[:LONGEST]


def reads_or_refuses(read: Callable[[], Any]) -> Any:
    """Read a file: what it gives, or None where it is refused in one line; nothing else."""
    try:
        return read()
    except InputError as error:
        check_message(str(error))
        return None
