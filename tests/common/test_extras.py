"""Optional libraries are imported where used, or refused in a line; own names when used."""

import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from toolkit_common.errors import InputError
from toolkit_common.extras import attach, is_installed, require

PYPROJECT = Path(__file__).parents[2] / "packages/common/pyproject.toml"
BROUGHT = {
    "lesions": {"openpyxl", "h5py"},
    "audit": {"ImageHash"},
    "plots": {"matplotlib", "vl-convert-python"},
    "slurm": {"submitit"},
}


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


# A package's own names


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`toolkit_common` as another module of its name would be: two names, and nothing else."""
    module = ModuleType("toolkit_common")
    places = {"did_you_mean": "registry", "look": "registry:lookup"}
    module.__getattr__, module.__dir__ = attach("toolkit_common", places)  # type: ignore[attr-defined]
    module.__path__ = sys.modules["toolkit_common"].__path__
    monkeypatch.setitem(sys.modules, "toolkit_common", module)
    return module


def test_a_name_is_that_of_its_module_and_kept(package: ModuleType) -> None:
    from toolkit_common.registry import did_you_mean, lookup

    assert "did_you_mean" not in vars(package)
    assert (package.did_you_mean, package.look) == (did_you_mean, lookup)
    assert vars(package)["look"] is lookup


def test_the_version_is_that_of_the_distribution(package: ModuleType) -> None:
    assert package.__version__ == "0.1.0"


def test_the_names_are_listed_before_they_are_used(package: ModuleType) -> None:
    assert {"did_you_mean", "look", "__version__", "__name__"} <= {*dir(package)}


def test_another_name_is_refused_as_python_does(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match="module 'toolkit_common' has no attribute 'nothing'"):
        _ = package.nothing
