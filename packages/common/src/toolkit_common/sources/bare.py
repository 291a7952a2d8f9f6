"""The sheet of a table that has none: what the lesion archives know of its columns."""

from toolkit_common.data.sheet import Sheet
from toolkit_common.sources.lesions.build import MALIGNANCY
from toolkit_common.sources.lesions.ham10000 import SHEET as HAM10000
from toolkit_common.sources.lesions.isic import SHEET as ISIC
from toolkit_common.sources.lesions.pad_ufes_20 import SHEET as PAD_UFES_20

ANYTHING = ("target", "pixels_x", "pixels_y")  # any table might use the name for something else
SUSPECTS = {
    name: reason
    for sheet in (ISIC, HAM10000, PAD_UFES_20)
    for name, reason in sheet.leaks.items()
    if name not in ANYTHING
}


def bare_sheet(title: str, *, licence: str = "unknown") -> Sheet:
    """Return the sheet of a user's own table."""
    return Sheet(title, licence=licence, binary=MALIGNANCY, suspects=SUSPECTS)
