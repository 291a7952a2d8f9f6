"""Libraries that only some uses need: asked for where they are used, refused in one line.

Who wants a probe on tokens installs no reader of Excel sheets. Which extra brings which library
stands in each package's `pyproject.toml`.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from toolkit_common.errors import InputError


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
    library = module.partition(".")[0]
    if not is_installed(library):
        raise InputError(
            f"{purpose} needs {library}, which is not installed: pip install '{package}[{extra}]'"
        )
    return import_module(module)


def is_installed(library: str) -> bool:
    """Return whether a library could be imported, without importing it."""
    return find_spec(library) is not None
