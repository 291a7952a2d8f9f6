"""What the toolkit packages share: backbones, data, token store, runs, training and the CLI.

The names below can be imported from here; torch is not, until they are. After an import of this
package `import torchvision`, and timm and open_clip with it, work on every machine.
"""

from typing import TYPE_CHECKING

from toolkit_common.extras import attach
from toolkit_common.torchvision_ops import guard_import

if TYPE_CHECKING:
    from toolkit_common.backbones.contract import Backbone, Tokens
    from toolkit_common.backbones.load import load_backbone
    from toolkit_common.data.dataset import ImageData
    from toolkit_common.errors import InputError
    from toolkit_common.features.arrays import FeatureArrays
    from toolkit_common.features.arrays import extract_arrays as extract
    from toolkit_common.sources.load import load_data

    __version__: str

__all__ = [
    "Backbone", "FeatureArrays", "ImageData", "InputError", "Tokens", "extract", "load_backbone",
    "load_data",
]  # fmt: skip
__getattr__, __dir__ = attach(
    __name__,
    {
        "Backbone": "backbones.contract",
        "FeatureArrays": "features.arrays",
        "ImageData": "data.dataset",
        "InputError": "errors",
        "Tokens": "backbones.contract",
        "extract": "features.arrays:extract_arrays",
        "load_backbone": "backbones.load",
        "load_data": "sources.load",
    },
)

guard_import()
