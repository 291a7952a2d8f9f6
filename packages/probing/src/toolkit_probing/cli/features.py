"""`toolkit features`: runs an encoder once and keeps its tokens."""

from typing import Any

import typer

from toolkit_common.cli.command import run_command
from toolkit_common.config import Invocation
from toolkit_probing.settings import ExtractSettings

app = typer.Typer(add_completion=False)


@run_command(app, ExtractSettings, name="features", has_folder=False)
def features(invocation: Invocation[ExtractSettings]) -> Any:
    """Run a frozen encoder over a data set once and keep its tokens for every probe after.

    Prints what it will cost first. Killed, it goes on with the shards that are missing; done, it
    prints where the store is. `toolkit probe` with the same backbone and data reads it.

    Examples:
        toolkit features --backbone runs/derm --data lesions
        toolkit features -b timm:vit_base_patch16_224 --data imagefolder:PATH
    """
    from toolkit_probing.features import run_features

    return run_features(invocation)
