"""The repository as text and syntax trees, and who imports whom in it: what its rules are about."""

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = ("common", "probing", "slimp")
PACKAGES = {name: ROOT / f"packages/{name}/src/toolkit_{name}" for name in NAMES}

Graph = Mapping[str, set[str]]


def modules() -> dict[str, ast.Module]:
    """Return the syntax tree of every module, by its path in the repository."""
    paths = sorted(path for folder in PACKAGES.values() for path in folder.rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): parse(path) for path in paths}


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def dotted(path: str) -> str:
    """Return the name by which a module at `packages/NAME/src/...` is imported."""
    return ".".join(Path(path).with_suffix("").parts[3:]).removesuffix(".__init__")


def import_graph(trees: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """Return whom each module imports, of the modules given, by dotted names.

    Imports inside functions and those for the type checker alone count.
    """
    return {name: _imports(tree, trees.keys()) - {name} for name, tree in trees.items()}


def _imports(tree: ast.Module, known: Iterable[str]) -> set[str]:
    reached = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            reached |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            reached |= {name if name in known else str(node.module) for name in names}
        elif isinstance(node, ast.Call) and _is_named(node.func, "import_module"):
            reached |= {str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)}
    return reached & set(known)


def _is_named(node: ast.expr, name: str) -> bool:
    return getattr(node, "id", None) == name or getattr(node, "attr", None) == name


def circles(graph: Graph) -> list[list[str]]:
    """Return the strongly connected parts of more than one node, each sorted (Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    parts: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in order:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == order[node]:
            at = stack.index(node)
            parts.append(sorted(stack[at:]))
            del stack[at:]

    for node in sorted(graph):
        if node not in order:
            visit(node)
    return sorted(part for part in parts if len(part) > 1)


def room(module: str) -> str:
    """Return the room, or the leaf, of a module: what follows its package's name."""
    return module.split(".")[1]


def upward(graph: Graph, order: Iterable[str]) -> set[str]:
    """Return the imports `a -> b` where b's room does not come before a's in the order.

    A module whose room is not in the order is returned by itself.
    """
    rank = {name: at for at, name in enumerate(order)}
    homeless = {module for module in graph if room(module) not in rank}
    return homeless | {
        f"{module} -> {other}"
        for module in graph.keys() - homeless
        for other in graph[module] - homeless
        if rank[room(other)] > rank[room(module)]
    }


def assert_only_known(violations: Iterable[str], known: Iterable[str], *, rule: str) -> None:
    """Assert that exactly those break a rule that are known to: the list can only shrink."""
    new, mended = set(violations) - set(known), set(known) - set(violations)
    assert not new, f"{rule}; these do not: {sorted(new)}"
    assert not mended, f"these keep it now, delete them from the known ones: {sorted(mended)}"


def docstrings(tree: ast.AST) -> set[ast.Constant]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    first = [node.body[0] for node in ast.walk(tree) if isinstance(node, kinds) and node.body]
    values = [node.value for node in first if isinstance(node, ast.Expr)]
    return {value for value in values if isinstance(value, ast.Constant)}


def functions(tree: ast.Module) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return every function and method by its name within the module, such as `Class.method`."""
    result = {}

    def walk(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            name = f"{prefix}{getattr(child, 'name', '')}"
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                result[name] = child
            is_scope = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            walk(child, f"{name}." if is_scope else prefix)

    walk(tree, "")
    return result


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines a function's body has, its docstring apart."""
    body = function.body[ast.get_docstring(function) is not None :]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def num_parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many parameters a function has, `self` and its like apart."""
    return num_positional(function) + len(function.args.kwonlyargs)


def num_positional(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many parameters may be given by position, `self` and its like apart."""
    named = [arg.arg for arg in (*function.args.posonlyargs, *function.args.args)]
    return len([name for name in named if name not in ("self", "cls", "ctx")])


def is_command(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether a function is called by Typer: it is decorated by `app.command(...)`."""
    calls = [item.func for item in function.decorator_list if isinstance(item, ast.Call)]
    return any(getattr(call, "attr", None) in ("command", "callback") for call in calls)


def public_names(tree: ast.Module) -> set[str]:
    """Return the functions, classes, constants and types that a module defines for others."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    names = {node.name for node in tree.body if isinstance(node, kinds)}
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {item.id for target in targets for item in ast.walk(target)
                      if isinstance(item, ast.Name)}  # fmt: skip
    return {name for name in names if not name.startswith("_")}
