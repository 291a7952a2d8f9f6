"""A folder is a room: its place in an order, no circle, at most twelve files, names of its own.

What stands against a rule today is listed in `KNOWN_...`: the lists may only become shorter.
"""

import ast
import re
import tomllib
from collections import Counter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from helpers.repository import (
    NAMES,
    PACKAGES,
    ROOT,
    assert_only_known,
    circles,
    dotted,
    import_graph,
    modules,
    room,
    upward,
)

ORDER = {  # a room or leaf imports only what stands before it
    "common": (
        "printable errors outside registry foreign extras ids split_names seed config launched "
        "console torchvision_ops runs pages images training data sources backbones seen sharing "
        "features scores audit synthetic study cli __main__"
    ),
    "probing": (
        "settings protocols probes heads task training results arms methods attention "
        "published reports leaderboard "
        "loaded run folds library features token_table hold_out vector_fit estimator predict cli"
    ),
    "slimp": (
        "architecture settings ablations metadata model watching training exporting extrapolation "
        "reports run cli"
    ),
}
RESERVED: set[str] = set()  # their rank is settled, later work makes them
MAX_FILES = 12
ONE_IDEA_A_FILE = {  # one paper or one data set a file: as many as there are
    "packages/probing/src/toolkit_probing/probes",
    "packages/common/src/toolkit_common/sources/lesions",
}
KNOWN_UPWARD: set[str] = set()
KNOWN_CIRCLES: set[str] = set()
KNOWN_LARGE: set[str] = set()


def trees_of(name: str) -> dict[str, ast.Module]:
    prefix = PACKAGES[name].relative_to(ROOT).as_posix()
    trees = {dotted(path): tree for path, tree in modules().items() if path.startswith(prefix)}
    del trees[f"toolkit_{name}"]  # its lazy names say nothing of rooms
    return trees


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_room_imports_only_rooms_below_it(name: str) -> None:
    against = upward(import_graph(trees_of(name)), ORDER[name].split())
    known = {arrow for arrow in KNOWN_UPWARD if arrow.startswith(f"toolkit_{name}.")}
    assert_only_known(against, known, rule="a room imports only rooms that ORDER has before it")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_order_names_the_rooms_that_there_are(name: str) -> None:
    rooms = {room(module) for module in trees_of(name)}
    assert set(ORDER[name].split()) - RESERVED == rooms


@pytest.mark.slow
def test_no_imports_go_round_in_a_circle() -> None:
    trees = {dotted(path): tree for path, tree in modules().items()}
    circular = {" ".join(circle) for circle in circles(import_graph(trees))}
    assert_only_known(circular, KNOWN_CIRCLES, rule="imports do not go round in a circle")


def test_a_room_has_at_most_twelve_files() -> None:
    files = [path for folder in PACKAGES.values() for path in folder.rglob("*.py")]
    rooms = Counter(path.parent for path in files if path.name != "__init__.py")
    names = {path.relative_to(ROOT).as_posix() for path, n in rooms.items() if n > MAX_FILES}
    assert_only_known(names - ONE_IDEA_A_FILE, KNOWN_LARGE, rule="a room has at most 12 files")


def libraries() -> set[str]:
    """Return the names by which the libraries that our packages may need are imported."""
    needed = set()
    for name in NAMES:
        text = (ROOT / f"packages/{name}/pyproject.toml").read_text(encoding="utf-8")
        project = tomllib.loads(text)["project"]
        for requirements in (project["dependencies"], *project["optional-dependencies"].values()):
            needed |= {distribution(requirement) for requirement in requirements}
    places = packages_distributions().items()
    imported = {module for module, owners in places if needed & set(map(distribution, owners))}
    return {module for module in imported if not module.startswith(("_", "toolkit_"))}


def distribution(requirement: str) -> str:
    """Return the normalised name of the distribution that a requirement asks for."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", requirement)[0]).lower()


@pytest.mark.slow
def test_no_module_has_the_name_of_a_library_it_may_wrap() -> None:
    assert {"torch", "timm", "open_clip", "datasets", "torchvision", "yaml", "PIL"} <= libraries()
    paths = [Path(path) for path in modules()]
    names = {path.parent.name if path.name == "__init__.py" else path.stem for path in paths}
    assert_only_known(names & libraries(), (), rule="no module has the name of a library")


# The checks see what they look for

A_ROUND = {
    "p.a.one": "from p.a import two",
    "p.a.two": "def f():\n    import p.b.three",
    "p.b.three": "if TYPE_CHECKING:\n    from p.a.one import X",
    "p.b.four": "from p.b.three import x\nimport torch",
}


@pytest.mark.parametrize(
    "source",
    [
        "from p.a import two",
        "from p.a.two import x",
        "import p.a.two",
        "def f():\n    from p.a.two import x",
        "if TYPE_CHECKING:\n    from p.a import two",
        "importlib.import_module('p.a.two')",
    ],
)
def test_every_way_to_import_a_module_is_an_arrow(source: str) -> None:
    trees = {"p.a.one": ast.parse(source), "p.a.two": ast.parse("import torch")}
    assert import_graph(trees) == {"p.a.one": {"p.a.two"}, "p.a.two": set()}


def test_a_planted_circle_and_arrow_are_seen() -> None:
    graph = import_graph({name: ast.parse(source) for name, source in A_ROUND.items()})
    assert circles(graph) == [["p.a.one", "p.a.two", "p.b.three"]]
    assert upward(graph, ["a", "b"]) == {"p.a.two -> p.b.three"}
    assert upward(graph, ["b", "a"]) == {"p.b.three -> p.a.one"}
    straight = import_graph(
        {**dict.fromkeys(A_ROUND, ast.parse("")), "p.c": ast.parse("import p.b.four")}
    )
    assert circles(straight) == []


def test_a_list_of_known_ones_neither_grows_nor_stays() -> None:
    assert_only_known(["a"], ["a"], rule="r")
    with pytest.raises(AssertionError, match=r"r; these do not: \['b'\]"):
        assert_only_known(["a", "b"], ["a"], rule="r")
    with pytest.raises(AssertionError, match=r"delete them .*: \['a'\]"):
        assert_only_known([], ["a"], rule="r")


def test_two_circles_are_kept_apart() -> None:
    graph = {"a": {"b"}, "b": {"a", "c"}, "c": {"d"}, "d": {"c"}, "e": {"a", "e"}}
    assert circles(graph) == [["a", "b"], ["c", "d"]]
