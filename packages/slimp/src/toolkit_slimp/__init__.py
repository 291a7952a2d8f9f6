"""SLIMP: nested contrastive pre-training of skin-lesion encoders with metadata.

The names below can be imported from here; torch is not, until they are.
"""

from typing import TYPE_CHECKING

from toolkit_common.extras import attach

if TYPE_CHECKING:
    from toolkit_slimp.exporting.embed import Slimp
    from toolkit_slimp.exporting.read import load_slimp

    __version__: str

__all__ = ["Slimp", "load_slimp"]
__getattr__, __dir__ = attach(
    __name__, {"Slimp": "exporting.embed", "load_slimp": "exporting.read"}
)
