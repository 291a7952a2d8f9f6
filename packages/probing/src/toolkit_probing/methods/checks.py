"""What a run cannot do, refused before anything is computed or written."""

from collections.abc import Mapping

import numpy as np
import torch

from toolkit_common.backbones.contract import BackboneInfo
from toolkit_common.config import DEFAULT, RESUMED
from toolkit_common.console import console
from toolkit_common.errors import InputError
from toolkit_common.registry import did_you_mean
from toolkit_common.scores.metrics import METRICS, Predictions
from toolkit_probing.heads.head import build_pool
from toolkit_probing.heads.inputs import base_of
from toolkit_probing.methods import METHODS
from toolkit_probing.methods.choose import choose_fit, requested_methods
from toolkit_probing.methods.options import read_options
from toolkit_probing.methods.specs import sources_of
from toolkit_probing.settings import ProbeSettings
from toolkit_probing.task.task import Task


def refuse_bad_options(settings: ProbeSettings, sources: Mapping[str, str]) -> None:
    """Refuse options that no method has, and values that are none of theirs.

    Args:
        settings: The settings.
        sources: Where each came from, by dotted key.

    Raises:
        InputError: If there are any; the message gives the nearest names, or the value.
    """
    for name, given in settings.options.items():
        own = {option: sources.get(f"options.{name}.{option}", DEFAULT) for option in given}
        if name not in METHODS:
            place = next(iter(own.values()), DEFAULT)
            hint = did_you_mean(name, {*METHODS, *type(settings).model_fields})
            raise InputError(f"{place}: unknown method or group of settings {name!r}{hint}")
        read_options(name, METHODS[name].options, given, sources=own)


def refuse_unused(settings: ProbeSettings, sources: Mapping[str, str]) -> None:
    """Refuse what the user gave and the run would not read.

    Options of other methods are named alone where a file gives them, which may be another run's or
    for several, or an option of before, which was always for those methods that have it.

    Args:
        settings: The settings.
        sources: Where each came from, by dotted key.

    Raises:
        InputError: If there is any; the message gives it.
    """
    if settings.head is not None:
        _refuse_beside_head(settings)
    if settings.views and settings.augment == "none":
        raise InputError(f"--views {settings.views} are crops: add --augment crops")
    if settings.metadata is not None and settings.inputs == "image":
        raise InputError(
            f"--metadata {settings.metadata} would not be read: add --inputs image+meta, or meta"
        )
    if any(settings.hide_metadata) and settings.inputs == "image":
        shares = ",".join(f"{share:g}" for share in settings.hide_metadata)
        raise InputError(
            f"--hide-metadata {shares} hides what is not read: add --inputs image+meta, or meta"
        )
    of_others = {DEFAULT, RESUMED, f"protocol {settings.protocol}"}
    methods = ",".join(settings.method)
    why = f"--method {methods} has none" if settings.head is None else "--head brings its own"
    ignored = []
    for name, given in settings.options.items():
        if name in settings.method and settings.head is None:
            continue
        for option in given:
            source = sources.get(f"options.{name}.{option}", DEFAULT)
            if source == "--set" or (source.startswith("--") and settings.head is not None):
                raise InputError(f"{source}: {name}.{option} would not be read: {why}")
            if source not in of_others:
                ignored.append(f"{name}.{option} ({source})")
    if ignored:
        console.print(f"note: not read, as {why}: {', '.join(ignored)}", markup=False)


def refuse_impossible(settings: ProbeSettings, task: Task) -> None:
    """Refuse what the data cannot give.

    Raises:
        InputError: If there are too few labels, the metric that picks is undefined, or options do
            not go together.
    """
    if settings.head is not None:
        return
    _refuse_without_images(settings)
    _refuse_untunable(settings)
    targets = task.targets_of(settings.select_on)
    # Whether a metric is defined is for the targets to say: any finite probabilities tell.
    even = np.full((len(targets), len(task.labels.classes)), 1.0 / len(task.labels.classes))
    metric, ones = METRICS[settings.select_by], np.ones((1, len(targets)))
    if np.isnan(metric(Predictions(even, targets), ones)[0]):
        raise InputError(
            f"--select-by {settings.select_by} is undefined on the {settings.select_on} split: it "
            f"has {len(np.unique(targets))} of {len(task.labels.classes)} classes; choose another "
            "metric or --split-seed"
        )


def refuse_unreadable(settings: ProbeSettings, info: BackboneInfo) -> None:
    """Refuse what the backbone does not have.

    Raises:
        InputError: If a method is to read what it has not, or an option does not fit its width.
    """
    facts = info.facts
    if settings.tune != "none" and info.layers != (facts.depth,):
        raise InputError(
            f"--tune {settings.tune} reads the last layer of {info.name}: drop --layers "
            f"{','.join(map(str, info.layers))}"
        )
    has = {
        "patches": True,
        "all": facts.has_class_token,
        "mean": True,
        "cls": facts.has_class_token,
        "mean_raw": facts.has_final_norm,
        "cls_raw": facts.has_final_norm and facts.has_class_token,
        "pooled": facts.pooled_dim is not None and info.layers == (facts.depth,),
    }
    for method in requested_methods(settings):
        for source in sources_of(method, settings, info):
            if settings.reads_images and not has.get(base_of(source)):
                names = ", ".join(name for name, there in has.items() if there)
                layers = ", ".join(map(str, info.layers))
                raise InputError(
                    f"{method.name} cannot read {source!r}: layer {layers} of {info.name} has "
                    f"{names}"
                )
    _refuse_misfits(settings, info)


def _refuse_beside_head(settings: ProbeSettings) -> None:
    """Refuse what cannot be together with a published head, which is judged as it is."""
    known = [name for name, method in METHODS.items() if method.published is not None]
    if len(settings.method) > 1 or settings.method[0] not in known:
        raise InputError(
            f"--head is judged alone, as --method {' or '.join(known)}: got --method "
            f"{','.join(settings.method)}"
        )
    if settings.tune != "none":
        raise InputError(f"a published head is judged as it is: drop --tune {settings.tune}")
    if settings.inputs != "image":
        raise InputError(
            f"a published head reads images alone: drop --inputs {settings.inputs} or --head"
        )
    for flag, given in (("--shots", settings.shots), ("--label-fraction", settings.label_fraction)):
        if given:
            values = ",".join(map(str, given))
            raise InputError(
                f"{flag} {values} does nothing with --head, which learns from no labels: drop it"
            )


def _refuse_without_images(settings: ProbeSettings) -> None:
    """Refuse options about images where metadata alone are read."""
    if settings.reads_images:
        return
    *others, last = [name for name, method in METHODS.items() if not method.needs_images]
    for method in requested_methods(settings):
        if method.needs_images:
            raise InputError(
                f"method {method.name} reads tokens of an image, and --inputs {settings.inputs} "
                f"has none: use {', '.join(others)} or {last}, or --inputs image+meta"
            )
    for flag, is_given in (
        ("--layers", settings.layers is not None),
        ("--vectors", settings.vectors != ("auto",)),
        ("--augment crops", settings.augment == "crops"),
    ):
        if is_given:
            raise InputError(f"{flag} is about images, and --inputs {settings.inputs} reads none")


def _refuse_untunable(settings: ProbeSettings) -> None:
    """Refuse what cannot be together with an encoder that is trained."""
    if settings.tune == "none":
        if settings.encoder_lr is not None:
            raise InputError("--encoder-lr trains an encoder: add --tune lora or --tune full")
        return
    tune = f"--tune {settings.tune}"
    for method in requested_methods(settings):
        if choose_fit(method, settings) is None:
            raise InputError(f"method {method.name} trains no head: leave it out, or drop {tune}")
    if settings.inputs != "image":
        raise InputError(f"{tune} trains with images alone: drop --inputs {settings.inputs}")
    if settings.store in ("disk", "memory") or settings.views:
        kept = f"--views {settings.views}" if settings.views else f"--store {settings.store}"
        raise InputError(f"{kept} keeps features, which {tune} changes at every step: drop one")


def _refuse_misfits(settings: ProbeSettings, info: BackboneInfo) -> None:
    """Refuse options that do not fit the encoder's width, before it runs over the data."""
    facts = info.facts
    if settings.head is not None or facts.depth not in info.layers:
        return  # other layers of a pyramid have widths that only their tokens tell
    for method in requested_methods(settings):
        if method.reads_tokens:
            for options in method.variants(settings):
                # Shapes alone: nothing is allocated or drawn.
                with torch.device("meta"):
                    build_pool(method.name, facts.embed_dim, grid=facts.grid, options=options)
