"""Commands of the probing package."""

from typing import Any

import typer

from toolkit_common.command import Invocation, run_command
from toolkit_probing.protocols import PRESETS
from toolkit_probing.settings import ProbeSettings

app = typer.Typer(add_completion=False)


@run_command(app, ProbeSettings, presets=PRESETS, name="probe")
def probe(invocation: Invocation[ProbeSettings]) -> Any:
    """Judge a frozen encoder: EP and its rivals, linear probing and k-NN under one protocol.

    With no options it probes a stand-in encoder on the embedded skin lesions, offline.
    """
    from toolkit_probing.run import run_probe

    return run_probe(invocation)
