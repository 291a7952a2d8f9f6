"""Tests mirror the rooms: `packages/P/src/toolkit_P/a/b.py` is tested in `tests/P/a/test_b.py`.

A module without a test of its name is listed with what tests it instead: the list may only become
shorter.
"""

import ast
from pathlib import Path

import pytest

from helpers.repository import NAMES, PACKAGES, ROOT, assert_only_known, modules

ALIKE = ("toolkit_probing/probes/",)  # every file is held against its literal form, by one test
KNOWN_UNTESTED: dict[str, str] = {}


def place_of_test(path: str) -> Path:
    """Return where the test of a module at `packages/P/src/toolkit_P/...` lies."""
    _, name, _, _, *rooms, file = path.split("/")
    return ROOT / "tests" / name / Path(*rooms) / f"test_{file.replace('__init__', 'init')}"


def has_code(tree: ast.Module) -> bool:
    """Return whether a module defines a function or a class that does more than hold fields."""
    return any(isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) for node in ast.walk(tree))


def untested() -> set[str]:
    """Return the modules with code that have no test of their name, from their package on."""
    paths = [path for path, tree in modules().items() if has_code(tree)]
    names = {path.split("/src/")[1] for path in paths if not place_of_test(path).is_file()}
    return {name for name in names if not name.startswith(ALIKE)}


@pytest.mark.slow
def test_every_module_with_code_has_a_test_of_its_name() -> None:
    rule = "a module with functions has a test of its name"
    assert_only_known(untested(), KNOWN_UNTESTED, rule=rule)
    assert [path for path in KNOWN_UNTESTED.values() if not (ROOT / "tests" / path).is_file()] == []


def test_every_folder_of_tests_mirrors_a_room() -> None:
    files = [path for name in NAMES for path in (ROOT / "tests" / name).rglob("test_*.py")]
    folders = {path.parent.relative_to(ROOT / "tests") for path in files}
    rooms = {name: PACKAGES[name] for name in NAMES}
    lost = [
        folder.as_posix()
        for folder in folders
        if not rooms[folder.parts[0]].joinpath(*folder.parts[1:]).is_dir()
    ]
    assert lost == []


def test_the_place_of_a_test_is_that_of_its_module() -> None:
    place = place_of_test("packages/common/src/toolkit_common/runs/locks.py")
    assert place == ROOT / "tests/common/runs/test_locks.py"
    top = place_of_test("packages/common/src/toolkit_common/__init__.py")
    assert top == ROOT / "tests/common/test_init.py"
    assert has_code(ast.parse("class A:\n    def f(self): ..."))
    assert not has_code(ast.parse("class A:\n    x: int = 1\nB = A()"))
