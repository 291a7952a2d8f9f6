"""The lowest versions are those of the packages' ranges, and below what is installed here."""

from importlib.metadata import version

from versions.lowest import _as_numbers, lowest, plain, tools


def test_every_range_has_its_lower_bound() -> None:
    bounds = lowest()
    assert {"torch", "timm", "open-clip-torch", "accelerate", "datasets", "peft"} <= set(bounds)
    assert bounds["numpy"] == "2"
    assert not {name for name in bounds if name.startswith("toolkit")}


def test_what_is_installed_is_no_older() -> None:
    # wandb is no part of what CI installs.
    older = {
        name: bound
        for name, bound in lowest().items()
        if name != "wandb" and _as_numbers(version(name)) < _as_numbers(bound)
    }
    assert older == {}


def test_tools_are_those_of_the_tests_as_pinned() -> None:
    assert {"pytest", "hypothesis", "beartype"} <= set(tools())
    assert not set(tools()) & set(lowest())


def test_names_are_compared_as_pip_does() -> None:
    assert plain("open_clip_torch") == plain("Open.Clip-Torch") == "open-clip-torch"
    assert _as_numbers("2.10.1") > _as_numbers("2.9")
