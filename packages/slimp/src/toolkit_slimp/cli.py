"""Commands of the SLIMP package."""

from typing import Any

import typer

from toolkit_common.command import Invocation, run_command
from toolkit_slimp.settings import SlimpSettings

pretrain = typer.Typer(add_completion=False)


@run_command(pretrain, SlimpSettings, name="slimp")
def pretrain_slimp(invocation: Invocation[SlimpSettings]) -> Any:
    """Pre-train an image encoder with SLIMP: images with lesion and patient metadata, nested.

    With no options it trains a small ViT on the embedded skin lesions, offline.
    """
    from toolkit_slimp.run import run_pretrain

    return run_pretrain(invocation)
