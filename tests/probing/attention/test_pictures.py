"""Which images are drawn over."""

from toolkit_probing.attention.pictures import find_images, spread


def test_images_are_found_below_a_folder_and_evenly_chosen(image_folder):
    found = find_images(image_folder)
    assert len(found) == 24
    assert [item.caption for item in spread(found, 3)] == ["000", "000", "011"]
    assert spread(found[:1], 3) == found[:1]
