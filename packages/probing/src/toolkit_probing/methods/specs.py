"""From settings to heads: which methods, reading what, at which layers, with which options."""

from collections.abc import Sequence

from toolkit_common.backbones.contract import BackboneInfo
from toolkit_common.errors import InputError
from toolkit_probing.heads.head import HeadSpec
from toolkit_probing.heads.inputs import NO_LAYER, WITH_METADATA
from toolkit_probing.methods.method import Method
from toolkit_probing.settings import ProbeSettings


def head_specs(
    methods: Sequence[Method], settings: ProbeSettings, info: BackboneInfo
) -> list[HeadSpec]:
    """Return the heads of methods: layers x sources x options x learning rates x seeds of each."""
    specs = [
        HeadSpec(method.name, layer, source, lr, settings.seed + seed, method.named(options))
        for method in methods
        for layer in layers_of(settings, info)
        for source in sources_of(method, settings, info)
        for options in method.variants(settings)
        for lr in rates_of(method, settings)
        for seed in range(settings.num_seeds if takes_steps(method, settings) else 1)
    ]
    return list({spec.key: spec for spec in specs}.values())


def rates_of(method: Method, settings: ProbeSettings) -> Sequence[float | None]:
    """Return the learning rates that are tried; None where a classifier is fitted and no more."""
    return settings.lr if takes_steps(method, settings) else (None,)


def takes_steps(method: Method, settings: ProbeSettings) -> bool:
    """Whether steps train a method's heads: a fitted classifier has no rate and no seed."""
    more = method.reads_tokens or settings.tune != "none" or settings.classifier == "trained"
    return method.is_trained and more


def layers_of(settings: ProbeSettings, info: BackboneInfo) -> tuple[int, ...]:
    """Return the layers that are read; metadata alone come from none."""
    return info.layers if settings.reads_images else (NO_LAYER,)


def sources_of(method: Method, settings: ProbeSettings, info: BackboneInfo) -> list[str]:
    """Return what a method reads, each once: as requested, or (`auto`) by the encoder's card.

    Raises:
        InputError: If a method that reads the patch grid is to read the class token too.
    """
    if not settings.reads_images:
        return [settings.inputs]
    beside = WITH_METADATA if settings.inputs == "image+meta" else ""
    if method.vector is not None:
        return [method.vector + beside]
    requested: Sequence[str] = settings.tokens if method.reads_tokens else settings.vectors
    vector: str = info.card.linear
    named = {"auto": info.card.ep if method.reads_tokens else vector, "raw": f"{vector}_raw"}
    # No row of the grid is the class token's.
    if method.pool is not None and method.pool.needs_grid:
        named["auto"] = "patches"
        if "all" in requested:
            raise InputError(
                f"method {method.name} reads the patch grid, of which the class token is no part: "
                f"use --tokens patches, or leave {method.name} out"
            )
    # `auto` and what it stands for are one request.
    return list(dict.fromkeys(named.get(source, source) + beside for source in requested))
