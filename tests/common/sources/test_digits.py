"""The embedded digits are those of scikit-learn."""

import numpy as np
from sklearn.datasets import load_digits

from toolkit_common.images.open import open_image
from toolkit_common.sources.load import load_data


def test_counts_and_classes_are_those_of_the_sheet() -> None:
    data = load_data("digits")
    labels = data.labels()
    assert len(data) == data.sheet.counts["images"] == 1797
    assert labels.classes == tuple("0123456789")
    assert np.array_equal(labels.targets, load_digits().target)
    assert data.groups is None


def test_images_keep_their_sixteen_levels() -> None:
    data, digits = load_data("digits"), load_digits()
    for row in (0, 42, 1796):
        pixels = np.asarray(open_image(data.images[row]["image"]))[..., 0]
        assert np.array_equal((pixels / 255 * 16).round(), digits.images[row])
