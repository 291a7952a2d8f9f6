"""What each wheel holds, and what works where only some of them are installed."""

import zipfile
from pathlib import Path

import pytest

from helpers.repository import NAMES, PACKAGES
from toolkit_common.cli.doctor import CHECKS

pytestmark = pytest.mark.slow  # builds wheels and runs them in processes of their own

COMMON = {"backbones", "data", "doctor", "study"}


@pytest.mark.parametrize("name", NAMES)
def test_a_wheel_holds_its_own_package_and_all_of_it(wheels: dict[str, Path], name: str) -> None:
    files = {path for path in zipfile.ZipFile(wheels[name]).namelist() if ".dist-info/" not in path}
    folder = PACKAGES[name]
    folders = [folder, folder.parent / "toolkit"] if name == "common" else [folder]
    paths = [path for place in folders for path in place.rglob("*")]
    expected = [path for path in paths if path.is_file() and path.suffix != ".pyc"]
    assert files == {path.relative_to(folder.parent).as_posix() for path in expected}
    assert f"toolkit_{name}/py.typed" in files


def test_the_wheel_of_common_holds_the_embedded_lesions(wheels: dict[str, Path]) -> None:
    files = zipfile.ZipFile(wheels["common"]).namelist()
    sample = "toolkit_common/sources/lesions/pad_ufes_20_sample/"
    assert sum(path.startswith(f"{sample}images/") for path in files) >= 100
    assert any(path.startswith(sample) and path.endswith(".csv") for path in files)


@pytest.mark.parametrize(
    ("names", "commands"),
    [
        (["common"], []),
        (["common", "probing"], ["probe"]),
        (["common", "slimp"], ["pretrain"]),
        (["common", "probing", "slimp"], ["pretrain", "probe"]),
    ],
    ids="+".join,
)
def test_the_command_line_has_what_is_installed(install, names, commands: list[str]) -> None:
    here = install(*names)
    done = here.toolkit("--help")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("│ ")]
    assert {words[1] for words in lines} - {"--version", "--help"} >= COMMON
    assert {words[1] for words in lines} & {"probe", "pretrain"} == set(commands)
    for absent in {"probe", "pretrain"} - set(commands):
        assert f"unknown command '{absent}'" in here.toolkit(absent).stderr


@pytest.mark.parametrize(
    ("name", "command"), [("probing", ["probe"]), ("slimp", ["pretrain", "slimp"])]
)
def test_a_package_works_without_its_sibling(install, name: str, command: list[str]) -> None:
    """Far enough to have imported all of it: the data set is the first thing that is missed."""
    done = install("common", name).toolkit(*command, "--data", "csv:none.csv")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "none.csv" in done.stderr


def test_the_command_line_is_a_module_of_its_name(install) -> None:
    done = install("common").python(
        "import runpy; runpy.run_module('toolkit', run_name='__main__')", "--version"
    )
    assert (done.returncode, done.stdout) == (0, "toolkit 0.1.0\n"), done.stderr


def test_an_installation_without_extras_is_sound(install) -> None:
    extras = ("openpyxl", "h5py", "imagehash", "matplotlib", "peft")
    done = install("common", "probing", "slimp", without=extras).toolkit("doctor")
    assert done.returncode == 0, done.stdout
    begun = [line for line in done.stdout.splitlines() if line[:1] != " "]  # others go on
    assert len(begun) == len(CHECKS)
    assert all(line.startswith("ok ") for line in begun)
    assert "peft absent (of --tune lora alone)" in done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_a_wheel_says_whose_it_is_and_what_for(wheels: dict[str, Path], name: str) -> None:
    archive = zipfile.ZipFile(wheels[name])
    (place,) = [path for path in archive.namelist() if path.endswith(".dist-info/METADATA")]
    text = archive.read(place).decode()
    for part in ("Author: The toolkit developers", "License: Apache-2.0", "Keywords: ", "Summary: ",
                 "Classifier: Typing :: Typed", "Requires-Python: >=3.11"):  # fmt: skip
        assert part in text
