"""Commands of the probing package."""

from typing import Any

import typer

from toolkit_common.cli.command import run_command
from toolkit_common.config import Invocation
from toolkit_probing.protocols import PRESETS
from toolkit_probing.settings import ExtractSettings, ProbeSettings

app = typer.Typer(add_completion=False)
features_app = typer.Typer(add_completion=False)


def list_methods(invocation: Invocation[ProbeSettings]) -> Any:
    """List every method with its source, and its size and cost at --backbone; no data is read."""
    from toolkit_probing.methods.listing import list_methods

    return list_methods(invocation)


@run_command(app, ProbeSettings, presets=PRESETS, name="probe", listing=list_methods)
def probe(invocation: Invocation[ProbeSettings]) -> Any:
    """Judge a frozen encoder: EP and its rivals, linear probing and k-NN under one protocol.

    With no options it probes a stand-in encoder on the embedded skin lesions, offline.
    """
    from toolkit_probing.run import run_probe

    return run_probe(invocation)


@run_command(features_app, ExtractSettings, name="features", has_folder=False)
def features(invocation: Invocation[ExtractSettings]) -> Any:
    """Run a frozen encoder over a data set once and keep its tokens for every probe after.

    Prints what it will cost first. Killed, it goes on with the shards that are missing; done, it
    says where the store is. `toolkit probe` with the same backbone and data reads it.
    """
    from toolkit_probing.features import run_features

    return run_features(invocation)
