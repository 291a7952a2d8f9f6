"""Handwritten digits, embedded with scikit-learn: 1,797 real 8 x 8 grey images, 10 classes.

Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI, doi
10.24432/C50P49, CC BY 4.0; the test part, as `sklearn.datasets.load_digits` ships it.
"""

from collections.abc import Mapping
from io import BytesIO

import numpy as np
import pandas as pd
from PIL import Image

from toolkit_common.data.dataset import ImageData, build_image_data
from toolkit_common.data.sheet import Sheet
from toolkit_common.ids import refuse_options

SHEET = Sheet(
    title="Handwritten digits",
    source="Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI",
    doi="10.24432/C50P49",
    licence="CC BY 4.0",
    counts={"images": 1797},
    notes=("8 x 8 pixels: good for a first run, too easy to rank encoders by",),
)


def load_digits(identifier: str, name: str, options: Mapping[str, str]) -> ImageData:
    """Build the data set in memory.

    Raises:
        InputError: If there is an option.
    """
    from sklearn.datasets import load_digits as load_from_sklearn

    del name
    refuse_options(identifier, options, ())
    digits = load_from_sklearn()
    frame = pd.DataFrame(
        {
            "image": [_encode(image) for image in digits.images],
            "image_id": [f"digit-{index:04d}" for index in range(len(digits.target))],
            "label": digits.target,
        }
    )
    names = tuple(map(str, digits.target_names))
    return build_image_data(identifier, frame, SHEET, class_names=names)


def _encode(image: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray((image * (255 / 16)).round().astype(np.uint8)).save(file, "PNG")
    return file.getvalue()
