"""InputError is what users may mend: one line, whatever stands in it."""

from toolkit_common.errors import MOST, InputError
from toolkit_common.images.open import BadImageError


def test_callers_of_the_library_may_catch_it_as_a_value_error() -> None:
    assert issubclass(InputError, ValueError)
    assert str(InputError("queries must be at least 1, got 0")).endswith("got 0")


def test_control_characters_are_shown_and_lines_are_one() -> None:
    for kind in (InputError, BadImageError):
        assert str(kind("a\nb \x1b[31m")) == r"a\nb \x1b[31m"


def test_a_value_without_end_is_cut_and_a_path_is_not() -> None:
    path = "/".join(["f" * 100] * 6)
    text = str(InputError(f"{path}: got {'9' * 5000}, mend it"))
    assert text == f"{path}: got {'9' * 200}..., mend it"
    assert str(InputError(text)) == text
    assert str(InputError(f"got {'ab/' * 900}, mend it")) == f"got {('ab/' * 67)[:200]}... mend it"
    assert len(str(InputError("word " * 10**6))) == MOST + len("...")
