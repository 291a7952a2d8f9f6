"""Files as nobody wrote them: cut, with bytes changed, with values of other kinds, bounded."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from toolkit_common.errors import InputError

TOKENS = [b'"', b"{", b"[", b"]", b"}", b",", b":", b"\x00", b"\xff", b"\n", b"1e999", b"NaN",
          b"-1", b"null", b"true", b"9" * 5000, b"[" * 3000, b"\x1b[31m", b"../../x", b"&a *a",
          b"!!int ''", b"\xed\xa0\x80"]  # fmt: skip
VALUES: list[Any] = [None, True, -1, 0, 10**30, 1e308, 0.5, "", "x" * 500, "../x", "a\nb\x1b[31m",
                     [], {}, [[]], {"a": 1}, [None], "\x00", "~nobody/x"]  # fmt: skip


@st.composite
def mutated_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Return a file with a few bytes changed, cut out or put in."""
    out = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(out) - 1, 0)))
        kind = draw(st.sampled_from(["flip", "cut", "insert", "end"]))
        if kind == "flip" and out:
            out[at] = draw(st.integers(0, 255))
        elif kind == "cut":
            del out[at : at + draw(st.integers(1, 20))]
        elif kind == "insert":
            out[at:at] = draw(st.sampled_from(TOKENS))
        else:
            del out[at:]
    return bytes(out)


@st.composite
def mutated_json(draw: st.DrawFn, content: bytes) -> bytes:
    """Return a JSON file in which a value somewhere is another, gone, or there twice."""
    values = json.loads(content)
    place: Any = values
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = draw(st.sampled_from(keys))
        if isinstance(place[key], (dict, list)) and place[key] and draw(st.booleans()):
            place = place[key]
            continue
        kind = draw(st.sampled_from(["change", "remove", "add"]))
        if kind == "change":
            place[key] = draw(st.sampled_from(VALUES))
        elif kind == "remove":
            del place[key]
        elif isinstance(place, dict):
            place[draw(st.sampled_from(["x", "", "__class__", "a.b"]))] = place[key]
        else:
            place.append(place[key])
        break
    return json.dumps(values).encode()


def mutated(content: bytes) -> st.SearchStrategy[bytes]:
    """Return mutations of a file; of JSON, of its values as well."""
    if content[:1] in (b"{", b"["):
        return mutated_bytes(content) | mutated_json(content)
    return mutated_bytes(content)


def reads_or_refuses(read: Callable[[], Any]) -> Any:
    """Read a file: what it gives, or None where it is refused in one line; nothing else."""
    try:
        return read()
    except InputError as error:
        text = str(error)
        assert "\n" not in text, text
        assert "\x1b" not in text, text
        assert len(text) < 1500, text
        return None
