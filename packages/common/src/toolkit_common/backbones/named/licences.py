"""The licence of an encoder's published weights, as far as a library or a short name says it."""

from typing import Any

from toolkit_common.backbones.named.resolve import known_aliases, short_name
from toolkit_common.ids import split_options
from toolkit_common.torchvision_ops import prepare

UNKNOWN, NONE = "unknown", "none (random weights)"


def weights_licence(text: str) -> str:
    """Return the licence of the weights that a backbone's id names, `unknown` where none is said.

    Args:
        text: An id, with the short name that stood for it in `name=`; or `random`.

    Raises:
        InputError: If the user's file of short names holds what none can be.
    """
    if text == "random":
        return NONE
    alias = known_aliases().get(short_name(text).partition("(")[0])
    if alias is not None and alias.licence:
        return alias.licence
    place, options = split_options(text)
    source, _, name = place.partition(":")
    if "weights" in options or source != "timm" or ":" in name:
        return UNKNOWN
    prepare()
    import timm

    config: Any = timm.get_pretrained_cfg(name, allow_unregistered=True)
    return (config and config.license) or UNKNOWN
