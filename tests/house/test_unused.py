"""Nothing public is there for tests alone: packages or benchmarks use it, or a page names it."""

import ast
import re
from collections.abc import Iterable, Iterator

import pytest

from helpers.repository import ROOT, assert_only_known, modules, parse, public_names

USERS = ("packages/*/src/**/*.py", "packages/*/scripts/*.py", "benchmarks/**/*.py")
PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md", "packages/*/README.md")
ENTRY_POINTS = {  # commands that nothing but Typer calls
    "toolkit_slimp/cli.py: extrapolate_slimp",
    "toolkit_slimp/cli.py: pretrain_slimp",
    "toolkit_slimp/cli.py: write_schema",
}


def used_in(tree: ast.Module) -> Iterator[str]:
    """Yield the names that code reads or imports, those in `"module:name"` and the like too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"(?:^|(?<=[:\[.]))\w+(?:$|(?=\]))", node.value)


def named_in(text: str) -> Iterator[str]:
    """Yield the words of the code in a page."""
    for code in re.findall(r"```.*?```|`[^`]+`", text, flags=re.DOTALL):
        yield from re.findall(r"\w+", code)


def unused(trees: Iterable[tuple[str, ast.Module]], used: set[str]) -> list[str]:
    return [f"{path}: {name}" for path, tree in trees for name in public_names(tree) - used]


@pytest.mark.slow
def test_what_is_public_is_used_or_named() -> None:
    code = [path for place in USERS for path in ROOT.glob(place)]
    pages = [path for place in PAGES for path in ROOT.glob(place)]
    used = {name for path in code for name in used_in(parse(path))}
    used |= {name for path in pages for name in named_in(path.read_text(encoding="utf-8"))}
    trees = [(path.split("/src/")[1], tree) for path, tree in modules().items()]
    rule = "what is public is used outside tests, or named in a page"
    assert_only_known(unused(trees, used), ENTRY_POINTS, rule=rule)


def test_what_only_tests_read_is_seen() -> None:
    source = "A, B = 1, 2\nC: 'D' = 'p.q:E'\nclass D: ...\ndef E(): ...\ndef f(): return A\n_g = 3"
    tree = ast.parse(source)
    assert sorted(unused([("m.py", tree)], set(used_in(tree)))) == ["m.py: B", "m.py: C", "m.py: f"]
    assert list(named_in("f, `f(B)` and C")) == ["f", "B"]
