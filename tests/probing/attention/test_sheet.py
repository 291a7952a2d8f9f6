"""The contact sheet: what is where, in which colour."""

import numpy as np
from PIL import Image

from toolkit_probing.attention.maps import MAX_GROUPS
from toolkit_probing.attention.sheet import COLOURS, MARGIN, Caption, _cut, draw_overlay, draw_sheet


def test_every_group_has_a_colour():
    assert len(COLOURS) == MAX_GROUPS


def test_the_strongest_map_gives_the_colour_where_it_looks():
    maps = np.full((2, 4, 4), 0.01)
    maps[0, 0, 0] = maps[1, 3, 3] = 0.85
    pixels = np.asarray(draw_overlay(Image.new("RGB", (64, 64)), maps), dtype=float)
    for group, at in ((0, (2, 2)), (1, (61, 61))):
        gaps = np.abs(pixels[at] / pixels[at].sum() - COLOURS / COLOURS.sum(1, keepdims=True))
        assert gaps.sum(1).argmin() == group
    assert np.ptp(pixels[2, 61]) < 12  # grey elsewhere


def test_a_sheet_keeps_the_shape_of_the_images():
    maps = np.random.default_rng(0).uniform(size=(2, 3, 2, 5))
    photos = [Image.new("RGB", (100, 40))] * 2
    sheet = draw_sheet(
        photos, maps, groups=np.arange(3), captions=[Caption(("a", "b"))] * 2, title="t"
    )
    assert sheet.width == 5 * (144 + MARGIN) + MARGIN
    assert sheet.height == 3 * 16 + MARGIN + 2 * (58 + 2 * 16 + MARGIN)


def test_one_map_is_drawn_once_and_a_long_title_fits():
    maps = np.random.default_rng(0).uniform(size=(1, 1, 2, 2))
    photos = [Image.new("RGB", (40, 40))]
    drawn = {"groups": np.zeros(1, int), "captions": [Caption(("a",))]}
    assert draw_sheet(photos, maps, title="t", **drawn).width == 2 * (144 + MARGIN) + MARGIN
    sheet = draw_sheet(photos, maps, title="a long title " * 8 + "end", **drawn)
    top = np.asarray(sheet.convert("L"))[:20]
    assert top[:, -4:].min() == 255  # a margin is left
    assert top[:, -30:-4].min() < 128  # behind the last letters


def test_a_long_line_is_cut_and_keeps_its_figure():
    text = "predicted: a diagnosis with a very long name 0.93"
    assert _cut(text).startswith("predicted: a diagnosi")
    assert _cut(text).endswith(".. 0.93")
    assert _cut("predicted: short 0.93") == "predicted: short 0.93"
