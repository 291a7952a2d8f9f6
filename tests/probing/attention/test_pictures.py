"""Which images are drawn over."""

from toolkit_probing.attention.pictures import find_images, spread


def test_images_are_found_below_a_folder_and_evenly_chosen(image_folder):
    images = find_images(image_folder, None)
    assert len(images) == 24
    assert [item.name for item in spread(images, 3)] == ["000", "000", "011"]
    assert spread(images[:1], 3) == images[:1]
