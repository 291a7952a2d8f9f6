"""Efficient Probing and its rivals for frozen image encoders, under one protocol.

`EfficientProbing` and `ProbeClassifier` can be imported from here; torch is not, until they are.
"""


def __getattr__(name: str) -> object:
    from importlib import import_module

    places = {"EfficientProbing": "probes", "ProbeClassifier": "estimator"}
    if name not in places:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{places[name]}"), name)
