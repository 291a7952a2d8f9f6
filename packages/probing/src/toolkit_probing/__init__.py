"""Efficient Probing and its rivals for frozen image encoders, under one protocol.

The names below can be imported from here; torch is not, until they are.
"""

from typing import TYPE_CHECKING

from toolkit_common.extras import attach

if TYPE_CHECKING:
    from toolkit_probing.estimator import ProbeClassifier
    from toolkit_probing.library import ProbeResult, probe
    from toolkit_probing.probes import EfficientProbing

    __version__: str

__all__ = ["EfficientProbing", "ProbeClassifier", "ProbeResult", "probe"]
__getattr__, __dir__ = attach(
    __name__,
    {
        "EfficientProbing": "probes",
        "ProbeClassifier": "estimator",
        "ProbeResult": "library",
        "probe": "library",
    },
)
