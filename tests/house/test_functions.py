"""Functions fit on a screen: a body of at most 50 lines, at most 8 parameters.

What is longer or wider today is listed: the lists may only become shorter.
"""

import ast
from collections.abc import Iterator

from helpers.repository import assert_only_known, body_lines, functions, modules, num_parameters

MAX_LINES = 50
MAX_PARAMETERS = 8
KNOWN_LONG: set[str] = set()
KNOWN_WIDE: set[str] = {
    "toolkit_probing/estimator.py: ProbeClassifier.__init__",
}

SOURCE = '''
def short(a, b=1, *c, d, **e):
    """One.

    Two.
    """
    return (
        a
    )

class Thing:
    def method(self, x, /, y, *, z): ...
    def outer(self):
        def inner(u): ...
'''


def all_functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path, tree in modules().items():
        for name, function in functions(tree).items():
            yield f"{path.split('/src/')[1]}: {name}", function


def test_a_function_fits_on_a_screen() -> None:
    long = [name for name, function in all_functions() if body_lines(function) > MAX_LINES]
    assert_only_known(long, KNOWN_LONG, rule=f"a body has at most {MAX_LINES} lines")


def test_a_function_has_few_parameters() -> None:
    wide = [name for name, function in all_functions() if num_parameters(function) > MAX_PARAMETERS]
    assert_only_known(wide, KNOWN_WIDE, rule=f"at most {MAX_PARAMETERS} parameters")


def test_lines_and_parameters_are_counted_as_a_reader_does() -> None:
    known = functions(ast.parse(SOURCE))
    lines = {name: body_lines(function) for name, function in known.items()}
    assert lines == {"short": 3, "Thing.method": 1, "Thing.outer": 1, "Thing.outer.inner": 1}
    parameters = {name: num_parameters(function) for name, function in known.items()}
    assert parameters == {"short": 3, "Thing.method": 3, "Thing.outer": 0, "Thing.outer.inner": 1}
