"""`toolkit probe`: judges a frozen encoder."""

from collections.abc import Collection
from typing import Any

import typer

from toolkit_common.cli.command import run_command
from toolkit_common.config import Invocation, Resolved
from toolkit_probing.protocols import PRESETS
from toolkit_probing.settings import ProbeSettings

app = typer.Typer(add_completion=False)


def list_methods(invocation: Invocation[ProbeSettings]) -> Any:
    """List every method with its source and options, its size and cost at --backbone."""
    from toolkit_probing.methods.listing import list_methods

    return list_methods(invocation)


def method_names() -> Collection[str]:
    """Return the methods, whose options are groups of settings."""
    from toolkit_probing.methods import METHODS

    return METHODS


def check_probe(resolved: Resolved[ProbeSettings]) -> Resolved[ProbeSettings]:
    """Refuse settings that go together with no data, and add every option of the methods."""
    from toolkit_probing.methods.checks import refuse_bad_options, refuse_unused
    from toolkit_probing.methods.choose import with_all_methods, with_all_options

    settings = with_all_methods(resolved.settings)
    refuse_bad_options(settings, resolved.sources)
    refuse_unused(settings, resolved.sources)
    return with_all_options(resolved)


@run_command(
    app,
    ProbeSettings,
    presets=("protocol", PRESETS),
    name="probe",
    listing=list_methods,
    group_names=method_names,
    check=check_probe,
)
def probe(invocation: Invocation[ProbeSettings]) -> Any:
    """Judge a frozen encoder: EP and its rivals, linear probing and k-NN under one protocol.

    With no options it probes a stand-in encoder on the embedded skin lesions, offline.

    Examples:
        toolkit probe --method ep,linear,knn --backbone runs/derm
        toolkit probe --backbone timm:vit_base_patch16_224.mae --data imagefolder:PATH
        toolkit probe --folds 5 --set ep.num_queries=8,16 --data csv:lesions.csv
    """
    from toolkit_probing.folds import run_any

    return run_any(invocation)
