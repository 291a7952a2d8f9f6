"""Small pictures that stand in a page: pixels alone, without what a file says of them."""

import base64
import io

from markupsafe import Markup, escape
from PIL import Image, ImageOps

from toolkit_common.printable import one_line

SIDE = 144  # pixels: sharp where a page shows half of it
QUALITY = 80


def picture(image: Image.Image, *, label: str, side: int = SIDE) -> Markup:
    """Return an image as the square of its middle, without its file's name, place and date.

    Args:
        image: The image, upright RGB.
        label: What it shows, for those who cannot see it.
        side: Of the square, in pixels.
    """
    buffer = io.BytesIO()
    # A copy of the pixels: EXIF data of the file stay behind.
    square = Image.new("RGB", (side, side))
    square.paste(ImageOps.fit(image, (side, side)))
    square.save(buffer, format="JPEG", quality=QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup('<img src="data:image/jpeg;base64,{}" alt="{}" width="{}" height="{}">').format(
        Markup(data), escape(one_line(label)), side, side
    )
