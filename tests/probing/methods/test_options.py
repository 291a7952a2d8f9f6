"""Options are a signature's keyword-only arguments: read, checked, spread to variants."""

import pytest

from toolkit_common.errors import InputError
from toolkit_probing.methods import METHODS
from toolkit_probing.methods.options import complete_options, options_of, read_options
from toolkit_probing.probes import POOLS


def test_what_the_papers_leave_open_are_options_and_the_grid_is_none():
    options = {name: options_of(pool) for name, pool in POOLS.items()}
    assert list(options["ep"]) == ["num_queries", "width_divisor", "value_init"]
    assert list(options["abmilp"]) == ["mode", "depth", "activation"]
    many = ["esimpool", "clip", "siglip", "aim", "coca", "cait", "cae", "dinovit", "jepa", "mhca"]
    assert {name for name in POOLS if "num_heads" in options[name]} >= {*many}
    assert not [name for name in POOLS if "grid" in options[name]]


def test_several_values_make_variants_and_a_tuple_holds_them_all():
    def signature(*, depth: int = 2, tried: tuple[float, ...] = (0.1,)) -> None: ...

    options = options_of(signature)
    arguments = read_options("m", options, {"depth": [1, "3", 1], "tried": ["1", 2]})
    assert arguments == {"depth": (1, 3), "tried": ((1.0, 2.0),)}
    assert read_options("m", options, {}) == {"depth": (2,), "tried": ((0.1,),)}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["x"], r"^m\.depth: .*valid integer.*, got 'x'$"),
        ([1.5], r"^m\.depth: .*got 1\.5$"),
        ([True], r"^m\.depth: .*got True$"),
        ([8, False], r"^m\.depth: .*got False$"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_the_value(values, message):
    def signature(*, depth: int = 2) -> None: ...

    with pytest.raises(InputError, match=message):
        read_options("m", options_of(signature), {"depth": values})


def test_what_is_unknown_or_of_another_kind_is_refused_with_its_source():
    def signature(*, depth: int = 2) -> None: ...

    options, sources = options_of(signature), {"depth": "f.yaml", "dept": "f.yaml"}
    with pytest.raises(InputError, match=r"^m\.depth: .*, got 'x' \(from f\.yaml\)$"):
        read_options("m", options, {"depth": ["x"]}, sources=sources)
    with pytest.raises(InputError, match=r"^f\.yaml: unknown option of m 'dept'; did you mean"):
        read_options("m", options, {"dept": [1]}, sources=sources)
    with pytest.raises(InputError, match=r"^unknown option of m 'depth': m has no options$"):
        read_options("m", {}, {"depth": [1]})


def test_defaults_that_are_given_are_the_defaults():
    for name, method in METHODS.items():
        given = {key: item.default_values for key, item in method.options.items()}
        assert read_options(name, method.options, given) == read_options(name, method.options, {})


def test_choices_are_words_that_an_option_may_be():
    options = options_of(POOLS["abmilp"])
    assert options["mode"].choices == "both|map|none"
    assert options["depth"].choices == ""


def test_options_that_are_not_given_have_their_defaults():
    given = complete_options(POOLS["abmilp"], {"depth": 3})
    assert given == {"mode": "both", "depth": 3, "activation": "tanh"}
