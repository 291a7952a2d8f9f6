"""Installs a command for the tests: a module, and the metadata in which `toolkit` finds it."""

from pathlib import Path
from textwrap import dedent


def module_of(command: str) -> str:
    """Return the name of the module that holds a command."""
    return f"{command.rpartition('.')[2]}_plugin"


def write_plugin(folder: Path, command: str, source: str) -> Path:
    """Install `toolkit COMMAND` into a folder of the import path, and return the folder.

    Args:
        folder: Where; to be put on `sys.path` or PYTHONPATH.
        command: Name of the entry point; its last part names the module.
        source: The module's code, which defines `app`.
    """
    module = module_of(command)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[toolkit.commands]\n{command} = {module}:app\n")
    (folder / f"{module}.py").write_text(dedent(source))
    return folder
