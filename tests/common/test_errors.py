"""InputError is what users may mend."""

from toolkit_common.errors import InputError


def test_callers_of_the_library_may_catch_it_as_a_value_error() -> None:
    assert issubclass(InputError, ValueError)
    assert str(InputError("queries must be at least 1, got 0")).endswith("got 0")
