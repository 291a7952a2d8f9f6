"""Which methods the settings request, and how those want them fitted."""

from dataclasses import replace

from toolkit_common.config import DEFAULT, Resolved
from toolkit_common.registry import lookup
from toolkit_probing.methods import METHODS
from toolkit_probing.methods.method import Fit, Method
from toolkit_probing.settings import ProbeSettings

ALL_METHODS = "all"


def with_all_methods(settings: ProbeSettings) -> ProbeSettings:
    """Replace `all` by every method that can be fitted; refuse unknown ones.

    A published head is of one method, so that `all` beside it stays, to be refused.
    """
    for name in settings.method:
        lookup(dict.fromkeys((*METHODS, ALL_METHODS)), name, kind="method")
    if ALL_METHODS not in settings.method or settings.head is not None:
        return settings
    names = tuple(
        name
        for name, method in METHODS.items()
        if choose_fit(method, settings) is not None
        # What linear reads is one of the two vectors: cls and mean would train it twice.
        and method.vector is None
        and not (method.reads_tokens and not settings.reads_images)
    )
    return settings.model_copy(update={"method": names})


def with_all_options(resolved: Resolved[ProbeSettings]) -> Resolved[ProbeSettings]:
    """Add the options that the requested methods have and nobody gave, at their defaults.

    A published head brings its own. Recorded so, a run stays what it was when a default changes.
    """
    settings = resolved.settings
    if settings.head is not None:
        return resolved
    options, sources = dict(settings.options), dict(resolved.sources)
    for method in requested_methods(with_all_methods(settings)):
        defaults = {name: item.default_values for name, item in method.options.items()}
        if defaults:
            options[method.name] = {**defaults, **options.get(method.name, {})}
            for name in defaults:
                sources.setdefault(f"options.{method.name}.{name}", DEFAULT)
    completed = settings.model_copy(update={"options": options})
    return replace(resolved, settings=completed, sources=sources)


def requested_methods(settings: ProbeSettings) -> list[Method]:
    """Return the methods that the settings name, in their order."""
    return [METHODS[name] for name in settings.method]


def group_by_fit(settings: ProbeSettings) -> list[tuple[Fit, list[Method]]]:
    """Return each fit with the requested methods that share it: heads train on one pass.

    Fits come in the order of `METHODS`, the methods of one in the user's.
    """
    requested = requested_methods(settings)
    fits = dict.fromkeys(choose_fit(method, settings) for method in METHODS.values())
    groups = [
        (fit, [method for method in requested if choose_fit(method, settings) is fit])
        for fit in fits
        if fit is not None
    ]
    return [(fit, methods) for fit, methods in groups if methods]


def choose_fit(method: Method, settings: ProbeSettings) -> Fit | None:
    """Return how the settings want a method fitted; None where it cannot be fitted so."""
    if settings.tune != "none":
        return method.tuned
    return method.fit if settings.head is None else method.published
