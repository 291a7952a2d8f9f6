"""`toolkit doctor`: is this installation sound?"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Annotated

import typer

OF_EXTRAS = {"peft": "of --tune lora alone"}  # what a sound installation may lack

app = typer.Typer(add_completion=False)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Check versions, torchvision's library, devices, threads, memory, disk, caches and secret.

    Examples:
        toolkit doctor
        toolkit doctor --json
    """
    findings = examine()
    if as_json:
        typer.echo(json.dumps([vars(finding) for finding in findings], indent=2))
    else:
        _show(findings)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _show(findings: "list[Finding]") -> None:
    from toolkit_common.console import plain_table, result_console

    table = plain_table()
    table.show_header = False
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        table.add_row("ok" if finding.ok else "BAD", finding.name, finding.value)
    result_console(as_json=False).print(table)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    value: str


def examine() -> list[Finding]:
    """Look at everything; a check that raises is a finding, not a crash."""
    return [_run(name, check) for name, check in CHECKS.items()]


def _run(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, ok=True, value=check())
    except Exception as error:
        return Finding(name, ok=False, value=f"{type(error).__name__}: {error}")


def _packages() -> str:
    from toolkit_common.runs.environment import RECORDED_PACKAGES

    names = [name for name in RECORDED_PACKAGES if not name.startswith("toolkit-")]
    return ", ".join(_package(name) for name in names)


def _package(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        if name not in OF_EXTRAS:
            raise
        return f"{name} absent ({OF_EXTRAS[name]})"  # as in any installation without extras


def _commands() -> str:
    points = sorted(entry_points(group="toolkit.commands"), key=lambda point: point.name)
    # Loaded, not listed alone: a plug-in that fails to import is found here.
    for point in points:
        point.load()
    return ", ".join(point.name for point in points)


def _torchvision() -> str:
    from toolkit_common.torchvision_ops import prepare

    loaded = prepare()
    import torchvision

    note = "" if loaded else " (its compiled operators do not load here; none of them is used)"
    return f"{torchvision.__version__} imports{note}"


def _encoders() -> str:
    from toolkit_common.backbones.load import load_backbone

    # A tiny model of timm's own tests: what is looked at is that encoders build.
    facts = load_backbone("timm:test_vit", random_init=True).info.facts
    return f"timm:test_vit builds, grid {facts.grid[0]} x {facts.grid[1]}"


def _devices() -> str:
    import torch

    from toolkit_common.runs.environment import cpu_name

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return f"{', '.join(gpus) or 'no GPU'}; {cpu_name()}, {torch.get_num_threads()} threads"


def _memory() -> str:
    from toolkit_common.features.planner import available_memory, size

    return f"{size(available_memory())} free"


def _disk() -> str:
    from toolkit_common.features.planner import size

    free = shutil.disk_usage(Path.cwd()).free
    return f"{size(free)} free here"


def _hub() -> str:
    offline = os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0")
    return "offline (HF_HUB_OFFLINE is set)" if offline else "used when weights are not cached"


def _secret() -> str:
    from toolkit_common.seen.secret import describe_secret

    return describe_secret()


CHECKS: dict[str, Callable[[], str]] = {
    "packages": _packages,
    "commands": _commands,
    "torchvision": _torchvision,
    "encoders": _encoders,
    "devices": _devices,
    "memory": _memory,
    "disk": _disk,
    "hub": _hub,
    "secret": _secret,
}
