"""Settings: classes of options, filled from layers, with the source of every value.

What others use of the room is named here: packages of the user's own import it from here too.
"""

from toolkit_common.config.layers import Layer, parse_assignment, read_yaml
from toolkit_common.config.resolve import resolve, use_new_names
from toolkit_common.config.resolved import DEFAULT, RESUMED, Invocation, Resolved, flatten
from toolkit_common.config.settings import (
    Groups,
    Names,
    PositiveFloats,
    S,
    Settings,
    Values,
    field_extra,
    option,
    split_commas,
)

__all__ = [
    "DEFAULT",
    "RESUMED",
    "Groups",
    "Invocation",
    "Layer",
    "Names",
    "PositiveFloats",
    "Resolved",
    "S",
    "Settings",
    "Values",
    "field_extra",
    "flatten",
    "option",
    "parse_assignment",
    "read_yaml",
    "resolve",
    "split_commas",
    "use_new_names",
]
