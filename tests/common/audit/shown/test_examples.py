"""Small pictures of each class."""

from PIL import Image

from helpers.small_data import build_data, encode
from toolkit_common.audit.shown import examples
from toolkit_common.audit.shown.examples import (
    HEADING,
    TILE,
    draw_contact_sheet,
    draw_tile,
    examples_of,
    without_labels,
)


def test_a_contact_sheet_has_a_row_for_each_class_and_a_group_once() -> None:
    red, blue = (encode(Image.new("RGB", (8, 4), color)) for color in ("red", "blue"))
    groups = ["p1", "p1", "p2", "p3"]
    data = build_data(["a", "a", "a", "b"], groups=groups, images=[red, red, blue, b"broken"])
    unlabelled = draw_contact_sheet(data, None, per_class=2)
    assert unlabelled.size == (236, 136)
    sheet = draw_contact_sheet(data, data.labels(), per_class=2)
    assert sheet.size == (236, 268)
    centre = HEADING + 4 + TILE // 2
    shown = {sheet.getpixel((x, centre)) for x in (60, 176)}
    assert shown == {(255, 0, 0), (0, 0, 255)}
    assert sheet.getpixel((60, centre + HEADING + TILE + 4)) == (128, 128, 128)


def test_pictures_of_a_class_name_it_and_no_image(monkeypatch) -> None:
    monkeypatch.setattr(examples, "ON_PAGE", 2)
    data = build_data(["a", "a", "a", "<b>"])
    first, second = examples_of(data, data.labels())
    assert (first.name, first.count, len(first.pictures)) == ("<b>", 1, 1)
    assert 'alt="example of &lt;b&gt;"' in first.pictures[0]
    assert (second.name, second.count, len(second.pictures)) == ("a", 3, 2)
    assert "i1" not in second.pictures[0].partition("alt=")[2]
    (only, _) = examples_of(data, data.labels(), data.labels().targets[:1] * 0 + 3)
    assert only.count == 1


def test_data_without_a_label_are_one_class() -> None:
    data = build_data(["a", "b"])
    assert without_labels(data).targets.tolist() == [0, 0]


def test_a_tile_is_square() -> None:
    assert draw_tile(build_data(["a", "b"]), 0, side=40).size == (40, 40)
