"""An optional library is imported where it is used, or refused in one line with the command."""

import sys
import tomllib
from pathlib import Path

import pytest

from toolkit_common.errors import InputError
from toolkit_common.extras import is_installed, require

PYPROJECT = Path(__file__).parents[2] / "packages/common/pyproject.toml"
BROUGHT = {"lesions": {"openpyxl", "h5py"}, "audit": {"ImageHash"}, "plots": {"matplotlib"}}


def test_what_is_installed_is_imported() -> None:
    figure = require("matplotlib.figure", extra="plots", purpose="a picture")
    assert figure is sys.modules["matplotlib.figure"]


@pytest.mark.parametrize("module", ["no_such_library", "no_such_library.part"])
def test_what_is_missing_is_named_with_the_use_and_the_command(module: str) -> None:
    with pytest.raises(InputError) as caught:
        require(module, extra="tune", purpose="--tune lora", package="toolkit-probing")
    assert str(caught.value) == (
        "--tune lora needs no_such_library, which is not installed: "
        "pip install 'toolkit-probing[tune]'"
    )


def test_a_library_that_is_there_but_broken_is_not_called_missing(tmp_path, monkeypatch) -> None:
    (tmp_path / "broken_library.py").write_text("import no_such_dependency", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert is_installed("broken_library")
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        require("broken_library", extra="plots", purpose="a picture")


def test_the_extras_bring_each_library_and_nothing_else_does() -> None:
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    brought = {extra: {item.partition(">")[0] for item in extras[extra]} for extra in BROUGHT}
    assert brought == BROUGHT
    assert extras["all"] == [f"toolkit-common[{','.join(BROUGHT)}]"]
    always = {requirement.partition(">")[0] for requirement in project["dependencies"]}
    assert always & set().union(*BROUGHT.values()) == set()
