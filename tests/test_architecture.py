"""Three packages, one direction: who imports whom, what stays lazy, what each wheel holds."""

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED: dict[str, set[str]] = {
    "toolkit_common": set(),
    "toolkit_probing": {"toolkit_common"},
    "toolkit_slimp": {"toolkit_common"},
}
NAMES = [name.removeprefix("toolkit_") for name in ALLOWED]
PACKAGES = {name: ROOT / f"packages/{name}/src/toolkit_{name}" for name in NAMES}
GUARDED = {"timm", "open_clip", "torchvision", "peft"}

# Imports


def modules() -> dict[str, ast.Module]:
    """Return the syntax tree of every module, by its path in the repository."""
    paths = sorted(path for folder in PACKAGES.values() for path in folder.rglob("*.py"))
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}
    return {path.relative_to(ROOT).as_posix(): tree for path, tree in trees.items()}


def imported(node: ast.AST) -> set[str]:
    """Return the top-level packages that one statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return {str(node.module).partition(".")[0]}
    return set()


def docstrings(tree: ast.AST) -> set[ast.AST]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, kinds) and node.body]
    return {body[0].value for body in bodies if isinstance(body[0], ast.Expr)}


def named(tree: ast.AST) -> set[str]:
    """Return our packages that a string names: `import_module("toolkit_slimp.run")`, "a:b"."""
    constants = {node for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    texts = [str(node.value) for node in constants - docstrings(tree)]
    return {package for package in ALLOWED if any(package in text for text in texts)}


def reached(tree: ast.Module) -> set[str]:
    """Return which of our packages a module imports or names in a string."""
    return named(tree).union(*(imported(node) for node in ast.walk(tree))) & set(ALLOWED)


def test_a_package_reaches_only_the_common_one() -> None:
    extra = {}
    for path, tree in modules().items():
        own = path.split("/")[3]
        extra[path] = reached(tree) - {own} - ALLOWED[own]
    assert {path: found for path, found in extra.items() if found} == {}
    assert len(extra) > 50


@pytest.mark.parametrize(
    "source",
    [
        "import toolkit_slimp.run",
        "def a():\n    from toolkit_slimp import run",
        "importlib.import_module('toolkit_slimp.run')",
        "point = f'toolkit_slimp.{name}:app'",
    ],
)
def test_every_way_to_reach_a_package_is_seen(source: str) -> None:
    assert reached(ast.parse(source)) == {"toolkit_slimp"}
    assert reached(ast.parse('"""Unlike toolkit_slimp."""')) == set()


def test_imports_are_absolute() -> None:
    relative = [
        f"{path}:{node.lineno}"
        for path, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def unguarded(scope: ast.AST, *, prepared: bool = False) -> Iterator[int]:
    """Yield the lines that import a guarded package before `prepare()` was called.

    A function sees what its module has prepared at import, but not what other functions did.
    """
    inner = []
    for node in statements(scope):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inner.append(node)
        elif calls_prepare(node):
            prepared = True
        elif imported(node) & GUARDED and not prepared:
            yield node.lineno
    for function in inner:
        yield from unguarded(function, prepared=prepared)


def statements(scope: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements of a scope in reading order, without entering functions."""
    for child in ast.iter_child_nodes(scope):
        if isinstance(child, ast.stmt):
            yield child
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from statements(child)


def calls_prepare(node: ast.stmt) -> bool:
    value = getattr(node, "value", None)
    return isinstance(value, ast.Call) and getattr(value.func, "id", None) == "prepare"


def test_torchvision_is_prepared_before_it_is_imported() -> None:
    early = [f"{path}:{line}" for path, tree in modules().items() for line in unguarded(tree)]
    assert early == []


def test_the_check_of_prepare_finds_what_it_looks_for() -> None:
    source = """
prepare()
import timm
def a():
    import timm
"""
    assert list(unguarded(ast.parse(source))) == []
    assert list(unguarded(ast.parse(source.replace("prepare()", "pass")))) == [3, 5]
    late = "def a():\n  if b:\n    from torchvision.ops import nms\n  x = prepare()"
    assert list(unguarded(ast.parse(late))) == [3]


@pytest.mark.parametrize("folder", PACKAGES.values(), ids=PACKAGES)
def test_the_top_of_a_package_holds_only_a_docstring(folder: Path) -> None:
    body = ast.parse((folder / "__init__.py").read_text(encoding="utf-8")).body
    lazy = [node for node in body[1:] if getattr(node, "name", None) == "__getattr__"]
    assert isinstance(body[0], ast.Expr)
    assert isinstance(body[0].value, ast.Constant)
    assert body[1:] == lazy


@pytest.mark.parametrize("folder", PACKAGES.values(), ids=PACKAGES)
def test_every_folder_is_a_package_and_says_it_is_typed(folder: Path) -> None:
    folders = {path.parent for path in folder.rglob("*.py")}
    assert [path for path in folders if not (path / "__init__.py").exists()] == []
    assert (folder / "py.typed").exists()


# Wheels


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build the three wheels, from copies so that the checkout stays clean."""
    pytest.importorskip("build")
    found = {}
    for name in PACKAGES:
        source = tmp_path_factory.mktemp("source") / name
        out = tmp_path_factory.mktemp("wheel")
        ignored = shutil.ignore_patterns("*.egg-info", "build", "__pycache__")
        shutil.copytree(ROOT / "packages" / name, source, ignore=ignored)
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
        subprocess.run([*command, "--outdir", out, source], check=True, capture_output=True)
        found[name] = next(out.glob("*.whl"))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKAGES)
def test_a_wheel_holds_its_own_package_and_all_of_it(wheels: dict[str, Path], name: str) -> None:
    files = {path for path in zipfile.ZipFile(wheels[name]).namelist() if ".dist-info/" not in path}
    folder = PACKAGES[name]
    expected = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert files == {path.relative_to(folder.parent).as_posix() for path in expected}
    assert f"toolkit_{name}/py.typed" in files


@pytest.mark.slow
def test_the_wheel_of_common_holds_the_embedded_lesions(wheels: dict[str, Path]) -> None:
    files = zipfile.ZipFile(wheels["common"]).namelist()
    sample = "toolkit_common/sources/lesions/pad_ufes_20_sample/"
    assert sum(path.startswith(f"{sample}images/") for path in files) >= 100
    assert any(path.startswith(sample) and path.endswith(".csv") for path in files)


# Installations


@pytest.fixture(scope="session")
def third_parties(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that is installed here but ours: neither code, nor metadata, nor .pth."""
    folder = tmp_path_factory.mktemp("third-parties")
    for place in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for path in Path(place).iterdir():
            if "toolkit_" not in path.name and path.suffix != ".pth":
                (folder / path.name).symlink_to(path)
    return folder


def toolkit(site: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the console script's function with nothing of ours to import but what is in `site`."""
    folder, third_parties = site, site.parent / "third-parties"
    code = f"""
import sys
import toolkit_common
assert toolkit_common.__file__.startswith({str(folder)!r}), toolkit_common.__file__
from toolkit_common.cli.app import main
main()
"""
    # -S: no site-packages and hence no .pth files, in which editable installations live.
    command = [sys.executable, "-S", "-c", code, *args]
    path = os.pathsep.join(map(str, (folder, third_parties)))
    variables = os.environ | {"PYTHONPATH": path}
    return subprocess.run(command, capture_output=True, text=True, env=variables)


@pytest.fixture
def install(wheels: dict[str, Path], third_parties: Path, tmp_path: Path):
    """Unpack wheels side by side, as pip does for packages of Python alone."""

    def unpack(*names: str) -> Path:
        (tmp_path / "third-parties").symlink_to(third_parties)
        for name in names:
            zipfile.ZipFile(wheels[name]).extractall(tmp_path / "site")
        return tmp_path / "site"

    return unpack


COMMON = {"backbones", "data", "doctor"}


@pytest.mark.slow
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
    site = install(*names)
    done = toolkit(site, "--help")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("│ ")]
    assert {words[1] for words in lines} - {"--version", "--help"} >= COMMON
    assert {words[1] for words in lines} & {"probe", "pretrain"} == set(commands)
    for absent in {"probe", "pretrain"} - set(commands):
        assert f"unknown command '{absent}'" in toolkit(site, absent).stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "command"), [("probing", ["probe"]), ("slimp", ["pretrain", "slimp"])]
)
def test_a_package_works_without_its_sibling(install, name: str, command: list[str]) -> None:
    """Far enough to have imported all of it: the data set is the first thing that is missed."""
    site = install("common", name)
    done = toolkit(site, *command, "--data", "csv:none.csv")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "none.csv" in done.stderr
