"""What each package gives at its top: names that are there, listed, typed; instant to import."""

import ast
import subprocess
import sys
from importlib import import_module

import pytest

from helpers.repository import NAMES, PACKAGES, parse

HEAVY = {"torch", "timm", "open_clip", "torchvision", "datasets", "numpy", "pandas", "sklearn"}
EACH = pytest.mark.parametrize("name", NAMES)
AT_THE_TOP = {"typing", "toolkit_common.extras", "toolkit_common.torchvision_ops"}


@EACH
def test_every_listed_name_is_there_and_typed(name: str) -> None:
    """Three lists are one: what exists at run time, `__all__`, what the type checker sees."""
    package = import_module(f"toolkit_{name}")
    (block,) = [node for node in top(name).body if isinstance(node, ast.If)]
    imported = {
        alias.asname or alias.name
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == {*package.__all__}
    assert {*package.__all__, "__version__"} <= {*dir(package)}
    assert all(getattr(package, item) is not None for item in package.__all__)
    assert package.__version__ == "0.1.0"


@EACH
def test_a_package_that_is_imported_imports_nothing_heavy(name: str) -> None:
    code = f"import sys, toolkit_{name}; print(*sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr


@EACH
def test_the_top_of_a_package_does_nothing_but_name(name: str) -> None:
    modules = {node.module for node in top(name).body if isinstance(node, ast.ImportFrom)}
    assert modules <= AT_THE_TOP
    kinds = {type(node) for node in top(name).body} - {ast.ImportFrom, ast.If, ast.Assign, ast.Expr}
    assert kinds == set()


def top(name: str) -> ast.Module:
    return parse(PACKAGES[name] / "__init__.py")
