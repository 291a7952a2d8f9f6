"""Small pictures that stand in a page: pixels alone, without what a file says of them."""

import base64
import io

from markupsafe import Markup
from PIL import Image, ImageOps

from toolkit_common.printable import one_line

SIDE = 144  # pixels: sharp where a page shows half of it
QUALITY = 80  # of JPEG: a picture of a page is a few kilobytes


def picture(image: Image.Image, *, label: str) -> Markup:
    """Return an image as it stands in a page.

    Args:
        image: The image, upright RGB.
        label: What it shows, for those who cannot see it.
    """
    return Markup('<img src="{}" alt="{}" width="{}" height="{}">').format(
        data_uri(image), one_line(label), image.width, image.height
    )


def square(image: Image.Image, *, side: int = SIDE) -> Image.Image:
    """Return the square of an image's middle, of a side in pixels."""
    return ImageOps.fit(image, (side, side))


def data_uri(image: Image.Image) -> Markup:
    """Return an image as JPEG within an address, without its file's name, place and date."""
    # A copy of the pixels: a comment of the file and its EXIF data stay behind.
    plain = Image.new("RGB", image.size)
    plain.paste(image)
    buffer = io.BytesIO()
    plain.save(buffer, format="JPEG", quality=QUALITY)
    code = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Markup(f"data:image/jpeg;base64,{code}")
