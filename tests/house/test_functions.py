"""Functions fit on a screen: a body of at most 40 lines, 8 parameters, 3 of them by position.

What is longer or wider today is listed: the lists may only become shorter.
"""

import ast
from collections.abc import Iterator

import pytest

from helpers.repository import (
    assert_only_known,
    body_lines,
    functions,
    is_command,
    modules,
    num_parameters,
    num_positional,
)

MAX_LINES = 40
MAX_LINES_OF_A_LOOP = 60  # a training is read in one piece
TRAINING_LOOPS = {
    "toolkit_probing/training/loop.py: train_bank",
    "toolkit_slimp/training/loop.py: pretrain",
}
MAX_PARAMETERS = 8
MAX_POSITIONAL = 3
KNOWN_LONG: set[str] = set()
KNOWN_WIDE: set[str] = {
    # scikit-learn's contract: get_params, set_params and clone read every one off __init__.
    "toolkit_probing/estimator.py: ProbeClassifier.__init__",
}
KNOWN_POSITIONAL: set[str] = {
    "toolkit_common/config/resolve.py: _merge_groups_",
    "toolkit_common/features/encode.py: RowEncoder.__init__",
    "toolkit_probing/methods/frozen.py: published_head",
    "toolkit_probing/methods/vectors.py: _judge",
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

@app.command("x")
def typed(a, b, c, d): ...
'''


def all_functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path, tree in modules().items():
        for name, function in functions(tree).items():
            yield f"{path.split('/src/')[1]}: {name}", function


@pytest.mark.slow
def test_a_function_fits_on_a_screen() -> None:
    lines = {name: body_lines(function) for name, function in all_functions()}
    assert lines.keys() >= TRAINING_LOOPS
    assert max(lines[name] for name in TRAINING_LOOPS) <= MAX_LINES_OF_A_LOOP
    long = [name for name, n in lines.items() if n > MAX_LINES and name not in TRAINING_LOOPS]
    assert_only_known(long, KNOWN_LONG, rule=f"a body has at most {MAX_LINES} lines")


@pytest.mark.slow
def test_a_function_has_few_parameters() -> None:
    wide = [name for name, function in all_functions() if num_parameters(function) > MAX_PARAMETERS]
    assert_only_known(wide, KNOWN_WIDE, rule=f"at most {MAX_PARAMETERS} parameters")


@pytest.mark.slow
def test_a_function_takes_little_by_position() -> None:
    """Typer calls its commands by keyword, whatever they look like."""
    many = [
        name
        for name, function in all_functions()
        if num_positional(function) > MAX_POSITIONAL and not is_command(function)
    ]
    rule = f"at most {MAX_POSITIONAL} parameters by position"
    assert_only_known(many, KNOWN_POSITIONAL, rule=rule)


def test_lines_and_parameters_are_counted_as_a_reader_does() -> None:
    known = functions(ast.parse(SOURCE))
    lines = {name: body_lines(function) for name, function in known.items()}
    inner = {"Thing.method": 1, "Thing.outer": 1, "Thing.outer.inner": 1}
    assert lines == {"short": 3, **inner, "typed": 1}
    parameters = {name: num_parameters(function) for name, function in known.items()}
    inner = {"Thing.method": 3, "Thing.outer": 0, "Thing.outer.inner": 1}
    assert parameters == {"short": 3, **inner, "typed": 4}
    positional = {name: num_positional(function) for name, function in known.items()}
    inner = {"Thing.method": 2, "Thing.outer": 0, "Thing.outer.inner": 1}
    assert positional == {"short": 2, **inner, "typed": 4}
    assert [name for name, function in known.items() if is_command(function)] == ["typed"]
