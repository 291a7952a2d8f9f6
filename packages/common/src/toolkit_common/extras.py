"""What is imported when it is used: libraries that only some uses need, and a package's own names.

Who wants a probe on tokens installs no reader of Excel sheets: which extra brings which library
stands in each package's `pyproject.toml`. And the command line imports every package of ours, while
torch takes seconds to import.
"""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from toolkit_common.errors import InputError

VERSION = "__version__"


def require(module: str, *, extra: str, purpose: str, package: str = "toolkit-common") -> Any:
    """Import a library that is not installed with every package of ours.

    Args:
        module: What to import, such as `openpyxl` or `matplotlib.figure`.
        extra: The extra that brings it.
        purpose: What needs it, as a sentence begins: `the Excel sheet of PH2`.
        package: The distribution whose extra it is.

    Raises:
        InputError: If it is not installed: what is missing, for what, and the command.
    """
    require_installed(module.partition(".")[0], extra=extra, purpose=purpose, package=package)
    return import_module(module)


def require_installed(
    library: str, *, extra: str, purpose: str, package: str = "toolkit-common"
) -> None:
    """Refuse to go on without a library, as `require` does, and import nothing.

    Raises:
        InputError: If it is not installed.
    """
    if not is_installed(library):
        raise InputError(
            f"{purpose} needs {library}, which is not installed: pip install '{package}[{extra}]'"
        )


def is_installed(library: str) -> bool:
    """Return whether a library could be imported, without importing it."""
    return find_spec(library) is not None


def attach(
    package: str, places: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a package (PEP 562): its names, and `__version__`.

    Args:
        package: Its name, of which its distribution's follows.
        places: Name -> where it is, `MODULE` or `MODULE:OTHER_NAME`, from the package on.
    """

    def get(name: str) -> Any:
        if name == VERSION:
            from importlib.metadata import version  # most of what an import would cost

            value: Any = version(package.replace("_", "-"))
        elif name in places:
            module, _, own = places[name].partition(":")
            value = getattr(import_module(f"{package}.{module}"), own or name)
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, value)  # from now on without this function
        return value

    return get, lambda: sorted({*vars(sys.modules[package]), *places, VERSION})
