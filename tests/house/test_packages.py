"""Three packages, one direction: who imports whom, and what stays lazy."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.repository import PACKAGES, docstrings, modules

ALLOWED: dict[str, set[str]] = {
    "toolkit_common": set(),
    "toolkit_probing": {"toolkit_common"},
    "toolkit_slimp": {"toolkit_common"},
}
GUARDED = {"timm", "open_clip", "torchvision", "peft"}


def imported(node: ast.AST) -> set[str]:
    """Return the top-level packages that one statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return {str(node.module).partition(".")[0]}
    return set()


def named(tree: ast.AST) -> set[str]:
    """Return our packages that a string names: `import_module("toolkit_slimp.run")`, "a:b"."""
    constants = {node for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    texts = [str(node.value) for node in constants - docstrings(tree)]
    return {package for package in ALLOWED if any(package in text for text in texts)}


def reached(tree: ast.Module) -> set[str]:
    """Return which of our packages a module imports or names in a string."""
    return named(tree).union(*(imported(node) for node in ast.walk(tree))) & set(ALLOWED)


@pytest.mark.slow
def test_a_package_reaches_only_the_common_one() -> None:
    extra = {}
    for path, tree in modules().items():
        own = path.split("/")[3]
        extra[path] = reached(tree) - {own} - ALLOWED[own]
    assert {path: names for path, names in extra.items() if names} == {}
    assert len(extra) > 50


@pytest.mark.parametrize(
    "source",
    [
        "import toolkit_slimp.run",
        "def a():\n    from toolkit_slimp import run",
        "importlib.import_module('toolkit_slimp.run')",
        "point = f'toolkit_slimp.{name}:app'",
    ],
)
def test_every_way_to_reach_a_package_is_seen(source: str) -> None:
    assert reached(ast.parse(source)) == {"toolkit_slimp"}
    assert reached(ast.parse('"""Unlike toolkit_slimp."""')) == set()


@pytest.mark.slow
def test_imports_are_absolute() -> None:
    relative = [
        f"{path}:{node.lineno}"
        for path, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def unguarded(scope: ast.AST, *, prepared: bool = False) -> Iterator[int]:
    """Yield the lines that import a guarded package before `prepare()` was called.

    A function sees what its module has prepared at import, but not what other functions did.
    """
    inner = []
    for node in statements(scope):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inner.append(node)
        elif calls_prepare(node):
            prepared = True
        elif imported(node) & GUARDED and not prepared:
            yield node.lineno
    for function in inner:
        yield from unguarded(function, prepared=prepared)


def statements(scope: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements of a scope in reading order, without entering functions."""
    for child in ast.iter_child_nodes(scope):
        if isinstance(child, ast.stmt):
            yield child
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from statements(child)


def calls_prepare(node: ast.stmt) -> bool:
    value = getattr(node, "value", None)
    return isinstance(value, ast.Call) and getattr(value.func, "id", None) == "prepare"


@pytest.mark.slow
def test_torchvision_is_prepared_before_it_is_imported() -> None:
    early = [f"{path}:{line}" for path, tree in modules().items() for line in unguarded(tree)]
    assert early == []


def test_the_check_of_prepare_finds_what_it_looks_for() -> None:
    source = """
prepare()
import timm
def a():
    import timm
"""
    assert list(unguarded(ast.parse(source))) == []
    assert list(unguarded(ast.parse(source.replace("prepare()", "pass")))) == [3, 5]
    late = "def a():\n  if b:\n    from torchvision.ops import nms\n  x = prepare()"
    assert list(unguarded(ast.parse(late))) == [3]


@pytest.mark.parametrize("folder", PACKAGES.values(), ids=PACKAGES)
def test_every_folder_is_a_package_and_says_it_is_typed(folder: Path) -> None:
    folders = {path.parent for path in folder.rglob("*.py")}
    assert [path for path in folders if not (path / "__init__.py").exists()] == []
    assert (folder / "py.typed").exists()
