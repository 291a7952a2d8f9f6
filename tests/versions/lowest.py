"""Prints constraints by which pip installs the lowest versions that the packages support.

Each is the lower bound of a range in `packages/*/pyproject.toml`, so that nobody keeps a list; the
tools of the tests are as in `constraints.txt`, and what only other packages need is as they want
it. Needs the standard library alone: it runs before anything is installed.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"[\w.-]+")
RANGE = re.compile(r"([\w.-]+)(?:\[[\w,-]+\])?\s*>=\s*([\w.]+)")


def lowest() -> dict[str, str]:
    """Return the lower bounds of all ranges by name, the highest where a name has several."""
    bounds: dict[str, str] = {}
    for requirement in _requirements():
        if (match := RANGE.match(requirement)) is not None:
            name = plain(match[1])
            bounds[name] = max(bounds.get(name, "0"), match[2], key=_as_numbers)
    return bounds


def tools() -> dict[str, str]:
    """Return what `constraints.txt` pins of `requirements-dev.txt`."""
    wanted = {plain(name) for name in _names(ROOT / "requirements-dev.txt")}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines)
    return {plain(name): pin for name, pin in pins.items() if plain(name) in wanted}


def plain(name: str) -> str:
    """Return a package's name as PyPI compares them."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _requirements() -> Iterator[str]:
    for path in sorted(ROOT.glob("packages/*/pyproject.toml")):
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        yield from project["dependencies"]
        for group in project["optional-dependencies"].values():
            yield from group


def _names(path: Path) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if (match := NAME.match(line)) is not None:
            yield match[0]


def _as_numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


if __name__ == "__main__":
    pins = sorted((lowest() | tools()).items())
    sys.stdout.write("".join(f"{name}=={version}\n" for name, version in pins))
