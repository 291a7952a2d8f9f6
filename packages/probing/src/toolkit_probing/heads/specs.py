"""From settings to heads: which methods, reading what, at which layers, with which options."""

from collections.abc import Sequence
from typing import Any

from toolkit_common.backbones.contract import BackboneInfo
from toolkit_common.backbones.metadata import LEVELS
from toolkit_common.errors import InputError
from toolkit_probing.heads.head import VECTOR_METHODS, HeadSpec
from toolkit_probing.heads.inputs import NO_LAYER, WITH_METADATA
from toolkit_probing.probes import POOLS
from toolkit_probing.settings import ProbeSettings


def head_specs(settings: ProbeSettings, info: BackboneInfo) -> list[HeadSpec]:
    """Return every head asked for: methods x layers x sources x options x rates x seeds."""
    specs = [
        HeadSpec(method, layer, source, lr, settings.seed + seed, options)
        for method in settings.method
        if method in POOLS or method in VECTOR_METHODS
        for layer in layers_of(settings, info)
        for source in sources_of(method, settings, info)
        for options in pool_options(method, settings)
        for lr in settings.lr
        for seed in range(settings.num_seeds)
    ]
    return list({spec.key: spec for spec in specs}.values())


def pool_options(method: str, settings: ProbeSettings) -> list[dict[str, Any]]:
    """Return the options of a method's pooling, one set for each variant that is asked for."""
    if method != "ep":
        return [{}]
    divisor = {} if settings.width_divisor == 1 else {"width_divisor": settings.width_divisor}
    return [{"num_queries": count, **divisor} for count in settings.queries]


def layers_of(settings: ProbeSettings, info: BackboneInfo) -> tuple[int, ...]:
    """Return the layers that are read; metadata alone come from none."""
    return (NO_LAYER,) if settings.inputs in LEVELS else info.layers


def sources_of(method: str, settings: ProbeSettings, info: BackboneInfo) -> list[str]:
    """Return what a method reads, each once: as the user says, or (`auto`) as the card says.

    Raises:
        InputError: If a method that reads the patch grid is to read the class token too.
    """
    if settings.inputs in LEVELS:
        return [settings.inputs]
    beside = WITH_METADATA if settings.inputs == "image+meta" else ""
    if method in ("cls", "mean"):
        return [method + beside]
    pools, linear = method in POOLS, info.card.linear
    asked: Sequence[str] = settings.tokens if pools else settings.read
    named = {"auto": info.card.ep} if pools else {"auto": linear, "raw": f"{linear}_raw"}
    if pools and POOLS[method].needs_grid:
        named = {"auto": "patches"}
        if "all" in asked:
            raise InputError(
                f"method {method} reads the patch grid, of which the class token is no part: use "
                f"--tokens patches, or leave {method} out"
            )
    return list(dict.fromkeys(named.get(source, source) + beside for source in asked))
