"""Pictures show the colours and shapes of the numbers that they are drawn from."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from toolkit_common.synthetic.pictures import draw_image, draw_mask, lab_to_rgb, write_masks

LOOK = pd.Series(
    {"long_mm": 6.0, "short_mm": 5.0, "angle": 0, "asymmetry": 0.0, "border": 0.0,
     "L0": 68.0, "a0": 13.0, "b0": 23.0, "L1": 45.0, "a1": 16.0, "b1": 20.0}
)  # fmt: skip


def test_lab_of_grey_is_grey() -> None:
    grey = lab_to_rgb(np.array([[[0.0, 0, 0], [53.585, 0, 0], [100, 0, 0]]]))
    np.testing.assert_allclose(grey[0], [[0] * 3, [128] * 3, [255] * 3], atol=1)


def test_an_asymmetric_lesion_is_drawn_so() -> None:
    halves = {}
    for asymmetry in (0.0, 1.0):
        look = LOOK.copy()
        look["asymmetry"] = asymmetry
        grey = np.asarray(draw_image(look, 128, np.random.default_rng(0)).convert("L"), float)
        is_lesion = grey < (grey.min() + grey.max()) / 2
        halves[asymmetry] = is_lesion[:, 64:].sum() / is_lesion[:, :64].sum()
    assert halves[1.0] > 1.2 > 1.1 > halves[0.0]


def test_a_mask_has_the_area_of_the_ellipse(tmp_path: Path) -> None:
    write_masks(LOOK.to_frame().T, [tmp_path / "mask.png"], size=150, least=0.5)
    with Image.open(tmp_path / "mask.png") as image:
        area_mm2 = np.asarray(image).mean() * 15**2
    assert abs(area_mm2 - np.pi / 4 * 6 * 5) < 0.5
    assert draw_mask(LOOK, 150).max() > 0.99
