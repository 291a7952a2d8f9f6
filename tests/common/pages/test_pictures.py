"""Small pictures in a page: pixels alone."""

import base64
import io
import re

from PIL import Image

from toolkit_common.pages.pictures import data_uri, picture, square


def decoded(markup: str) -> Image.Image:
    data = re.search(r"base64,([^\"]+)", markup)[1]
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_a_picture_is_the_square_of_the_middle_in_the_colours_of_the_image():
    image = Image.new("RGB", (90, 30), (255, 0, 0))
    image.paste((0, 0, 255), (30, 0, 60, 30))
    markup = picture(square(image, side=16), label="x")
    assert markup.endswith('alt="x" width="16" height="16">')
    small = decoded(markup)
    assert small.size == (16, 16)
    red, _, blue = small.getpixel((8, 8))
    assert blue > 200
    assert red < 50


def test_nothing_of_the_file_but_its_pixels_is_in_it():
    image = Image.new("RGB", (20, 20))
    image.getexif()[0x010E] = "PATIENT 7"
    image.info |= {"comment": b"PATIENT 7", "exif": image.getexif().tobytes()}
    for markup in (picture(image, label="x"), f'"{data_uri(image)}"'):
        data = base64.b64decode(re.search(r"base64,([^\"]+)", markup)[1])
        assert b"PATIENT" not in data
        assert len(decoded(markup).getexif()) == 0


def test_its_label_is_escaped():
    assert 'alt="&lt;b&gt;\\x1b&#34;"' in picture(Image.new("RGB", (8, 8)), label='<b>\x1b"')
