"""What an audit looks at: the options of `toolkit data audit`."""

from toolkit_common.config import option
from toolkit_common.data.settings import DATA, SplitSettings


class AuditSettings(SplitSettings):
    """What an audit compares a data set with, and what it reads of it."""

    against: str | None = option(
        None, "Another data set's id, or the folder of an exported encoder.", panel=DATA
    )
    label: str | None = option(None, "Label that columns are scored against.", panel=DATA)
    images: bool = option(True, "Decode all images: broken files, duplicates.", panel=DATA)
