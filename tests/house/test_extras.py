"""Probing needs no openpyxl, h5py or matplotlib; who misses a library reads one line."""

import ast
import sys
import tomllib
from pathlib import Path

import pytest

from conftest import assert_bad_input
from helpers.repository import ROOT, modules

OPTIONAL = ("h5py", "imagehash", "matplotlib", "mpl_toolkits", "openpyxl", "vl_convert")
FIT_ON_TOKENS = """
import numpy as np, torch
from toolkit_probing import EfficientProbing, ProbeClassifier
rng = np.random.default_rng(0)
tokens, targets = rng.normal(size=(32, 9, 64)).astype("float32"), np.arange(32) % 2
assert ProbeClassifier(epochs=1).fit(tokens, targets).predict(tokens).shape == (32,)
assert EfficientProbing(64)(torch.from_numpy(tokens)).shape == (32, 64)
"""
TINY = ["--backbone", "timm:test_vit", "--random-init", "--epochs", "1"]


@pytest.mark.slow
def test_tokens_are_probed_without_the_extras(install) -> None:
    here = install("common", "probing", without=OPTIONAL)
    for library in OPTIONAL:
        assert here.python(f"import {library}").stderr.endswith(f"No module named '{library}'\n")
    done = here.python(FIT_ON_TOKENS)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_images_are_probed_without_the_extras(install) -> None:
    here = install("common", "probing", without=OPTIONAL)
    few = ["--shots", "1,2", "--method", "ep,linear,knn", "--output", "run"]
    done = here.toolkit("probe", *TINY, *few)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "matplotlib" in line]
    assert line.endswith("pip install 'toolkit-probing[plots]'")
    assert list(Path("run/curves").glob("*.csv"))


CASES = [
    ("vl_convert", "probing[plots]", "report run --output report.html"),
    ("h5py", "common[lesions]", f"probe {' '.join(TINY)} --cache-images 256"),
    ("imagehash", "common[audit]", "data audit lesions"),
    ("h5py", "common[lesions]", "data make slice-3d made --rows 20 --layout kaggle"),
    ("h5py", "common[lesions]", "data describe slice-3d:kaggle"),
    ("openpyxl", "common[lesions]", "data make ph2 made --rows 20 --layout xlsx"),
    ("openpyxl", "common[lesions]", "data describe ph2:xlsx"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("library", "extra", "command"), CASES)
def test_a_missing_library_is_named_with_the_command(
    run_cli, monkeypatch, library: str, extra: str, command: str
) -> None:
    words = command.split()
    if words[1] == "describe":
        name, layout = words[2].split(":")
        run_cli("data", "make", name, layout, "--layout", layout, "--rows", 20)
    monkeypatch.setitem(sys.modules, library, None)  # as if it were not installed
    assert_bad_input(run_cli(*words), library, f"pip install 'toolkit-{extra}'")


def requirements(package: str, extra: str) -> set[str]:
    """Return the libraries that an extra of a package brings, by import name."""
    text = (ROOT / f"packages/{package.removeprefix('toolkit-')}/pyproject.toml").read_text()
    listed = tomllib.loads(text)["project"]["optional-dependencies"].get(extra, [])
    names = {requirement.partition(">")[0].lower() for requirement in listed}
    names = {name.removesuffix("-python").replace("vl-", "vl_") for name in names}
    forwarded = [name for name in names if name.startswith("toolkit-common[")]
    return names.union(*(requirements("toolkit-common", extra) for _ in forwarded))


@pytest.mark.slow
def test_who_requires_a_library_names_an_extra_that_brings_it() -> None:
    calls = [
        (path, node)
        for path, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "require"
    ]
    for path, call in calls:
        named = {
            word.arg: ast.literal_eval(word.value)
            for word in call.keywords
            if word.arg in ("extra", "package")
        }
        library = ast.literal_eval(call.args[0]).partition(".")[0]
        brought = requirements(named.get("package", "toolkit-common"), named["extra"])
        assert library in brought, f"{path}:{call.lineno}"
    assert len(calls) >= 4
